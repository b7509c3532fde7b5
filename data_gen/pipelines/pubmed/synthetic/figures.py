"""A figure as it is planned: panels, layout, labels, caption; and the truth that follows."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import Mention, ReadLabel, Region
from data_gen.pipelines.pubmed.synthetic import captions, words
from data_gen.pipelines.pubmed.synthetic.captions import Entry, Frame
from data_gen.pipelines.pubmed.synthetic.layout import Layout, choose
from data_gen.pipelines.pubmed.synthetic.lettering import FORMS, PLACES, Lettering, box_of
from data_gen.pipelines.pubmed.synthetic.naming import (
    ROMAN,
    entries_of,
    named,
    pairs_of,
    positions_of,
    printed_order,
    series,
)
from data_gen.pipelines.pubmed.synthetic.panel import KINDS, Panel
from data_gen.pipelines.pubmed.synthetic.sheet import Written
from data_gen.pipelines.pubmed.synthetic.truth import FigureTruth, FindingTruth, PanelTruth

#: How often a caption names its panels in each way.
WEIGHTS = {
    "(a) text": 0.3,
    "bold (a) text": 0.06,
    "a) text": 0.07,
    "A, text": 0.05,
    "A. text": 0.07,
    "A: text": 0.06,
    "bold A, text": 0.05,
    "bold a text": 0.09,
    "text (a)": 0.12,
    "list items": 0.05,
    "Panel A": 0.04,
    "positions": 0.04,
}
_SCHEMES = {"upper": 0.45, "lower": 0.4, "roman": 0.03, "digits": 0.05, "sub": 0.07}


@dataclasses.dataclass(frozen=True)
class FigurePlan:
    """All of a figure but its pixels.

    Attributes:
      panels: what is shown, in reading order.
      layout, gutter: where; ``ground`` is the gray value between.
      lettering: how labels are printed; ``printed`` what is, "" for nothing.
      written: the caption.
      truth: what stages are measured against; its ids and mentions are the article's to give.
      noise: seed of what the renderer draws at random.
    """

    panels: tuple[Panel, ...]
    layout: Layout
    gutter: int
    ground: int
    lettering: Lettering
    printed: tuple[str, ...]
    written: Written
    truth: FigureTruth
    noise: int


def _weighted(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    p = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def plan_figure(
    rng: np.random.Generator, panels: Sequence[Panel], swap: float, unlabelled: float
) -> FigurePlan:
    """Lays out ``panels`` and writes a caption about them.

    Args:
      swap: share of labelled figures whose labels leave reading order.
      unlabelled: share of compound figures without printed labels.
    """
    count, brain = len(panels), any(KINDS[p.kind].brain for p in panels)
    place = str(rng.choice(PLACES, p=[0.6, 0.12, 0.06, 0.04, 0.18]))
    width = int(rng.integers(480, 1100)) if count > 1 else int(rng.integers(360, 720))
    size = int(rng.integers(16, 34))
    aspects = [p.width / p.height for p in panels]
    strip = round(1.45 * size) if place == "outside" and count > 1 else 0
    layout, gutter = choose(rng, aspects, width, strip)
    smallest = min(min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in layout.boxes)
    lettering = Lettering(
        place,
        FORMS[int(rng.integers(len(FORMS)))],
        int(np.clip(size, 12, max(12, smallest // 4))),
        int(rng.integers(6)),
        bool(rng.random() < 0.15),
    )
    found = [words.findings(rng, panel) for panel in panels]
    convention = _weighted(rng, WEIGHTS) if count > 1 else ""
    if count > 1 and rng.random() < 0.03:
        convention = ""  # the caption speaks of the figure as a whole
    positions = positions_of(layout)
    if convention == "positions" and not positions:
        convention = "(a) text"
    frame = _frame(rng, brain, count, convention)
    scheme = _weighted(rng, _SCHEMES)
    if scheme == "roman" and count > len(ROMAN):
        scheme = "upper"
    labels = series(scheme, count) if count > 1 else ()
    swapped = False
    printed = ("",) * count
    if convention == "positions":
        labels = positions
    elif count > 1 and rng.random() >= unlabelled:
        printed, swapped = printed_order(rng, labels, layout, swap)
    by_label = [printed.index(label) for label in labels] if any(printed) else list(range(count))
    if convention:
        group = convention != "positions"
        entries = entries_of(rng, panels, by_label, labels, found, group)
        other_case = scheme in ("upper", "lower") and rng.random() < 0.08  # than the pixels have
        spoken = str.swapcase if other_case and group else str
        said = [Entry(tuple(spoken(label) for label in e.labels), e.text) for e in entries]
    else:
        entries = said = [
            Entry((), words.said_of(rng, [p], [f]))
            for p, f in list(zip(panels, found, strict=True))[:3]
        ]
    written = captions.write(convention, rng, said, frame)
    dark = all(KINDS[p.kind].modality in ("mri", "ct", "xray", "ultrasound") for p in panels)
    ground = 0 if dark and rng.random() < 0.3 else 255
    printed = tuple(lettering.form.format(text) if text else "" for text in printed)
    truth = _truth(panels, layout, lettering, printed, written, convention, entries, found)
    pairs = pairs_of(convention, entries, labels, by_label, any(printed))
    placed = truth.panels
    if convention:
        placed = named(placed, labels, by_label, convention == "positions")
    truth = dataclasses.replace(truth, panels=placed, pairs=pairs, swapped=swapped)
    return FigurePlan(
        tuple(panels),
        layout,
        gutter,
        ground,
        lettering,
        printed,
        written,
        truth,
        int(rng.integers(2**31)),
    )


def _frame(rng: np.random.Generator, brain: bool, count: int, convention: str) -> Frame:
    chance = 0.55 if count > 1 else 0.25
    preface = words.preface(rng, brain) if rng.random() < chance else ""
    suffix = words.suffix(rng) if rng.random() < 0.4 else ""
    return Frame(preface, suffix, bool(preface) and rng.random() < 0.3)


def _fraction(box: tuple[int, int, int, int], layout: Layout) -> Region:
    w, h = layout.width, layout.height
    x0, y0, x1, y1 = box
    return Region(
        *(round(v, 6) for v in (max(x0, 0) / w, max(y0, 0) / h, min(x1 / w, 1), min(y1 / h, 1)))
    )


def _truth(
    panels: Sequence[Panel],
    layout: Layout,
    lettering: Lettering,
    printed: Sequence[str],
    written: Written,
    convention: str,
    entries: Sequence[Entry],
    found: Sequence[Sequence[str]],
) -> FigureTruth:
    placed, seen = [], []
    for i, panel in enumerate(panels):
        box, labels = layout.boxes[i], ()
        if printed[i]:
            ink = _fraction(box_of(printed[i], lettering, box), layout)
            labels = (ReadLabel(printed[i].strip("()."), ink),)
        kind = KINDS[panel.kind]
        whole = _fraction(box, layout)
        told = PanelTruth(whole, panel.kind, kind.modality, labels)
        placed.append(dataclasses.replace(told, present=panel.present, absent=panel.absent))
        for one, phrase in zip(panel.shown, found[i], strict=True):
            seen += [
                FindingTruth(one.name, phrase, i, _inside(whole, within), within)
                for within in one.boxes
            ]
    return FigureTruth(
        id="",
        label="",
        graphic="",
        width=layout.width,
        height=layout.height,
        medical=any(p.modality for p in placed),
        relevant=any(KINDS[p.kind].brain for p in panels),
        panels=tuple(placed),
        caption=written.split,
        convention=convention,
        pairs=(),
        findings=tuple(seen),
    )


def _inside(panel: Region, box: Region) -> Region:
    w, h = panel.x1 - panel.x0, panel.y1 - panel.y0
    corners = (
        panel.x0 + box.x0 * w,
        panel.y0 + box.y0 * h,
        panel.x0 + box.x1 * w,
        panel.y0 + box.y1 * h,
    )
    return Region(*(round(v, 6) for v in corners))


def with_article(
    plan: FigurePlan, id: str, label: str, graphic: str, mentions: tuple[Mention, ...]
) -> FigurePlan:
    """The plan with what its article gives it."""
    truth = dataclasses.replace(plan.truth, id=id, label=label, graphic=graphic, mentions=mentions)
    return dataclasses.replace(plan, truth=truth)
