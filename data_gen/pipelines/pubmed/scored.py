"""Every stage of a run on the synthetic library, scored against the truth."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_gen.pipelines.pubmed.base import Article, from_json
from data_gen.pipelines.pubmed.collect.items import Item
from data_gen.pipelines.pubmed.collect.run import Collected
from data_gen.pipelines.pubmed.scores.captions import caption_similarity, texts_of
from data_gen.pipelines.pubmed.scores.figures import DrawnFigure, boxes_of, score_figures
from data_gen.pipelines.pubmed.scores.pairs import count_pairs, score_pairs
from data_gen.pipelines.pubmed.scores.ratios import clusters_of, ratio_intervals
from data_gen.pipelines.pubmed.scores.truth import TrueFigure, TruePanel
from data_gen.pipelines.pubmed.stages import reading, screening
from data_gen.pipelines.pubmed.stages.lines import Place, Row
from data_gen.pipelines.pubmed.stages.matched import NEEDS, Whole, figures_of
from data_gen.pipelines.pubmed.stages.recording import NAME as RECORDS
from data_gen.pipelines.pubmed.synthetic.library import SyntheticLibrary
from data_gen.pipelines.pubmed.synthetic.truth import FigureTruth
from medvlp_jax.eval.metrics.bootstrap import Bootstrap


@dataclasses.dataclass
class _Ratios:
    """Counts per unit, and the article of each, for ratios with intervals."""

    above: dict[str, list[float]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    below: dict[str, list[float]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    articles: dict[str, list[str]] = dataclasses.field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, article: str, above: float, below: float) -> None:
        """One unit; nothing below counts for nothing."""
        if below:
            self.above[name].append(above)
            self.below[name].append(below)
            self.articles[name].append(article)

    def decided(self, name: str, article: str, said: bool, true: bool) -> None:
        """A yes or no, for precision and recall."""
        self.add(f"{name}_precision", article, said and true, said)
        self.add(f"{name}_recall", article, said and true, true)

    def as_json(self, bootstrap: Bootstrap) -> dict[str, Any]:
        """Name -> interval, with the number of units."""
        out = {}
        for name in self.above:
            above, below = (np.array(x[name], np.float64) for x in (self.above, self.below))
            clusters = clusters_of(self.articles[name])
            found = ratio_intervals({name: above}, {name: below}, bootstrap, clusters)
            out[name] = {**found[name].to_json(), "of": int(below.sum())}
        return out


def true_figure(truth: FigureTruth, article: str) -> TrueFigure:
    """A figure's truth as the scores of the pairs take it."""
    texts = texts_of(truth.caption)
    panels = tuple(
        TruePanel(
            panel.box,
            ((panel.name,),) if panel.name else (),
            texts.get(panel.name, ""),
            panel.exchanged,
        )
        for panel in truth.panels
    )
    return TrueFigure(panels, article)


def drawn_figure(truth: FigureTruth) -> DrawnFigure:
    """A figure's truth as the scores of the panels take it."""
    printed = [label for panel in truth.panels for label in panel.labels]
    return DrawnFigure(
        boxes_of([panel.box for panel in truth.panels]),
        tuple(panel.labels[0].text if panel.labels else "" for panel in truth.panels),
        boxes_of([label.box for label in printed]),
        tuple(label.text for label in printed),
        boxes_of([]),
    )


def score(place: Place, collected: Collected, library: SyntheticLibrary) -> dict[str, Any]:
    """The scores of a finished run, by stage, with intervals by bootstrap over articles."""
    bootstrap = Bootstrap(resamples=500)
    text, read, image = _Ratios(), _Ratios(), _Ratios()
    for item in collected.items():
        _score_text(item, library, text)
    wholes: list[tuple[Whole, FigureTruth, str]] = []
    for row in _rows(place):
        truths = {f.graphic: f for f in library.truth(row.item.id).figures}
        _score_reading(row, list(truths.values()), read)
        for _, line in screening.numbered(row):
            truth = truths.get(line["graphic"])
            if truth is not None and line["class"]:
                image.decided("medical", row.item.id, line["keep"], truth.medical)
        for figure, truth in enumerate(library.truth(row.item.id).figures):
            said = [x["reason"] for _, x in screening.numbered(row) if x["figure"] == figure]
            kept = not any(reason.startswith("text") for reason in said)
            text.add("medical_figures_kept", row.item.id, kept, truth.medical)
        wholes += [(one, truths[one.matched.graphic], row.item.id) for one in figures_of(row)]
    return {
        "text screen": text.as_json(bootstrap),
        "jats": read.as_json(bootstrap),
        "image screen": image.as_json(bootstrap),
        **_score_figures(wholes, bootstrap),
    }


def _rows(place: Place) -> Iterator[Row]:
    for shard in place.shards(RECORDS):
        yield from place.rows(shard, NEEDS)


def _score_text(item: Item, library: SyntheticLibrary, ratios: _Ratios) -> None:
    """Articles that the screen saw: the others had no licence, or were retracted, or failed."""
    refused = item.status == "skipped" and item.reason.startswith(screening.REFUSED)
    if item.status == "fetched" or refused:
        on_topic = not refused or item.reason.endswith(screening.NO_FIGURE)
        ratios.decided("relevant", item.id, on_topic, library.truth(item.id).relevant)


def _score_reading(row: Row, truths: Sequence[FigureTruth], ratios: _Ratios) -> None:
    told = row.before[reading.NAME]
    if "article" not in told:
        return
    article = from_json(Article, told["article"])
    name = row.item.id
    ratios.add("figures_found", name, min(len(article.figures), len(truths)), len(truths))
    if len(article.figures) != len(truths):
        return
    for figure, truth in zip(article.figures, truths, strict=True):
        ratios.add("labels_exact", name, figure.label == truth.label, 1)
        ratios.add("captions_exact", name, figure.caption == truth.caption.text, 1)
        letters = [m.letters for m in figure.mentions]
        ratios.add("mentions_exact", name, letters == [m.letters for m in truth.mentions], 1)


def _score_figures(
    wholes: Sequence[tuple[Whole, FigureTruth, str]], bootstrap: Bootstrap
) -> dict[str, Any]:
    names = [name for *_, name in wholes]
    counts = [
        count_pairs(
            true_figure(truth, name),
            one.matched.separated,
            one.matched.split,
            one.matched.pairs,
        )
        for one, truth, name in wholes
    ]
    captions = _Ratios()
    for one, truth, name in wholes:
        wanted, found = texts_of(truth.caption), texts_of(one.matched.split)
        captions.add("labels_exact", name, wanted.keys() == found.keys(), 1)
        similar = caption_similarity(wanted, found)
        if similar is not None:
            captions.add("similarity", name, similar, 1)
    drawn = [drawn_figure(truth) for _, truth, _ in wholes]
    separated = [one.matched.separated for one, *_ in wholes]
    cut = [one.cut for one, *_ in wholes]
    return {
        "figures": score_figures(drawn, separated, cut, bootstrap),
        "captions": captions.as_json(bootstrap),
        "pairs": score_pairs(counts, bootstrap, names),
    }
