"""An article as it is planned: a pure function of (seed, index), without a pixel."""

import dataclasses
import datetime
import string

import numpy as np

from data_gen.pipelines.pubmed.base import Mention
from data_gen.pipelines.pubmed.synthetic import prose
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig
from data_gen.pipelines.pubmed.synthetic.drawer import Drawer
from data_gen.pipelines.pubmed.synthetic.figures import FigurePlan, plan_figure, with_article
from data_gen.pipelines.pubmed.synthetic.licences import FORMS, WEIGHTS, licence
from data_gen.pipelines.pubmed.synthetic.prose import Paragraph
from data_gen.pipelines.pubmed.synthetic.truth import ArticleTruth

FIRST = 20_000_000
"""Number of the first article: far above those that PubMed Central gives."""
_START = datetime.date(2019, 1, 1)
_SECTIONS = ("Introduction", "Methods", "Results", "Discussion")


@dataclasses.dataclass(frozen=True)
class ArticlePlan:
    """All of an article but the pixels of its figures.

    Attributes:
      pmcid, index: which.
      kind: of :data:`data_gen.pipelines.pubmed.synthetic.prose.KINDS`.
      title, abstract, keywords: what it is found by.
      year, released: of publication, and the day of its release.
      licence_code, licence_form: see :mod:`data_gen.pipelines.pubmed.synthetic.licences`.
      versions: number of each version and whether it is an author's manuscript.
      retracted: what the metadata say.
      figures: with ids, files and mentions.
      hrefs: what the ``graphic`` elements say; ``shapes`` how each stands in the text.
      paragraphs: of the body, by section.
    """

    pmcid: str
    index: int
    kind: str
    title: str
    abstract: str
    keywords: tuple[str, ...]
    year: int
    released: datetime.date
    licence_code: str
    licence_form: str
    versions: tuple[tuple[int, bool], ...]
    retracted: bool
    figures: tuple[FigurePlan, ...]
    hrefs: tuple[str, ...]
    shapes: tuple[str, ...]
    paragraphs: tuple[tuple[str, str], ...]

    @property
    def truth(self) -> ArticleTruth:
        """What the stages are measured against, for the version that is to be chosen."""
        published = [number for number, manuscript in self.versions if not manuscript]
        version = max(published or [number for number, _ in self.versions])
        return ArticleTruth(
            self.pmcid,
            version,
            self.kind == "brain",
            licence(self.licence_code),
            self.retracted,
            not published,
            tuple(plan.truth for plan in self.figures),
        )


def pmcid_of(index: int) -> str:
    """Of article ``index``."""
    return f"PMC{FIRST + index}"


def plan_article(config: SyntheticConfig, drawer: Drawer, index: int) -> ArticlePlan:
    """Plans article ``index``.

    Args:
      config: of the library.
      drawer: where its panels come from.
    """
    rng = np.random.default_rng([config.seed, index])
    names = list(prose.KINDS)
    kind = names[int(rng.choice(len(names), p=list(prose.KINDS.values())))]
    plans = _figures(rng, config, drawer, kind, index)
    seen = [f.name for plan in plans for f in plan.truth.findings]
    finding = seen[0] if seen else "mass lesion"
    year = int(rng.integers(2012, 2026))
    codes = list(WEIGHTS)
    code = codes[int(rng.choice(len(codes), p=list(WEIGHTS.values())))]
    form = str(rng.choice(FORMS, p=[0.55, 0.2, 0.15, 0.1]))
    status = rng.random(4)
    retracted = bool(status[0] < config.retracted)
    if config.edition and index < config.articles:
        retracted |= bool(status[1] < config.retracted)
        code = "TDM" if status[2] < 0.02 else code
    versions = _versions(status[3], config)
    stem = f"syn-{index:07d}"
    ids, hrefs, files, shapes = _placed(rng, stem, len(plans))
    paragraphs, mentions = _body(rng, kind, plans, ids)
    placed = tuple(
        with_article(
            plan,
            ids[i],
            "" if shapes[i] == "no label" else f"Figure {i + 1}",
            files[i],
            tuple(m for name, m in mentions if ids[i] and name == ids[i]),
        )
        for i, plan in enumerate(plans)
    )
    return ArticlePlan(
        pmcid_of(index),
        index,
        kind,
        prose.title(rng, kind, finding),
        prose.abstract(rng, kind, finding),
        prose.keywords(kind, finding),
        year,
        _START + datetime.timedelta(days=index * 7919 % 2400),
        code,
        form,
        versions,
        retracted,
        placed,
        hrefs,
        shapes,
        paragraphs,
    )


def _versions(chance: float, config: SyntheticConfig) -> tuple[tuple[int, bool], ...]:
    if chance < config.manuscripts:
        return ((1, False), (2, True))
    if chance < config.manuscripts + config.versions:
        return ((1, False), (2, False))
    return ((1, False),)


def _figures(
    rng: np.random.Generator, config: SyntheticConfig, drawer: Drawer, kind: str, index: int
) -> list[FigurePlan]:
    plans = []
    for _ in range(int(rng.integers(1, config.figures + 1))):
        count = 1
        if rng.random() < 0.72:
            count = int(min(2 + rng.geometric(0.33) - 1, config.panels))
        panels = drawer.panels(rng, kind, index, count)
        plans.append(plan_figure(rng, panels, config.swapped, config.unlabelled))
    return plans


def _placed(
    rng: np.random.Generator, stem: str, count: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Ids, hrefs, names of files and shapes of so many figures."""
    style = str(rng.choice(["F{}", "fig{}", "Fig{}", "pone-g{:03d}"]))
    ending = str(rng.choice(["", ".jpg", ".tif"], p=[0.5, 0.35, 0.15]))
    ids, hrefs, files, shapes = [], [], [], []
    for i in range(count):
        shape = str(
            rng.choice(
                ["plain", "alternatives", "group", "no id", "no label"],
                p=[0.82, 0.08, 0.04, 0.03, 0.03],
            )
        )
        file = f"{stem}-g{i + 1:03d}.{'png' if rng.random() < 0.1 else 'jpg'}"
        ids.append("" if shape == "no id" else style.format(i + 1))
        files.append(file)
        # An href may lack the ending, or have that of the file that the publisher sent in.
        own = ending != ".tif" and ending
        hrefs.append(file if own else file.rpartition(".")[0] + ending)
        shapes.append(shape)
    return tuple(ids), tuple(hrefs), tuple(files), tuple(shapes)


def _body(
    rng: np.random.Generator, kind: str, plans: list[FigurePlan], ids: tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], list[tuple[str, Mention]]]:
    """(section, XML of a paragraph) in order, and every mention with the id of its figure."""
    out, mentions = [], []
    waiting = [i for i, name in enumerate(ids) if name]
    for section in _SECTIONS:
        for _ in range(int(rng.integers(1, 3))):
            paragraph = Paragraph(section)
            paragraph.put(prose.filler(rng, kind) + " ")
            if section in ("Results", "Methods") and waiting:
                i = waiting.pop(0)
                labels = [t.labels[0].text for t in plans[i].truth.panels if t.labels]
                labels = sorted(labels) if len(labels) == len(plans[i].panels) else []
                plain = all(label in string.ascii_letters for label in labels)
                prose.mention(rng, paragraph, ids[i], i + 1, labels if plain else [])
                paragraph.put(" ")
            paragraph.put(prose.filler(rng, kind) + " ")
            paragraph.cite(int(rng.integers(1, 30)))
            paragraph.put(".")
            out.append((section, paragraph.xml))
            mentions += paragraph.mentions()
    return tuple(out), mentions
