"""A matched figure on disk, with its image, as the stages before would leave it."""

import dataclasses
import pathlib

import numpy as np

from data_gen.pipelines.pubmed import base
from data_gen.pipelines.pubmed.match.match import match
from data_gen.pipelines.pubmed.match.matched import MatchedFigure, write_matched
from data_gen.pipelines.pubmed.records.pixels import as_jpeg, as_png

#: Panels of the figure below: a row of two and one below.
PANELS = (
    base.Region(0.0, 0.0, 0.48, 0.5, 0.99),
    base.Region(0.52, 0.0, 1.0, 0.5, 0.98),
    base.Region(0.0, 0.55, 1.0, 1.0, 0.97),
)
SUFFIX = "Scale bar, 5 mm."


def split_of(bodies, preface="Brain MRI.", suffix=SUFFIX):
    """A caption of parts (labels, words) in the style "(A) words."."""
    text, parts = "", []
    lead = ()
    if preface:
        text, lead = preface + " ", (base.Span(0, len(preface) + 1),)
    for labels, words in bodies:
        start = len(text)
        text += f"({', '.join(labels)}) "
        middle = len(text)
        text += words + " "
        parts.append(base.Part(tuple(labels), (base.Span(middle, len(text)),),
                               (base.Span(start, middle),)))  # fmt: skip
    tail = (base.Span(len(text), len(text) + len(suffix)),) if suffix else ()
    return base.SplitCaption(text + suffix, "(A)", tuple(parts), lead, tail)


def letter(panel, text, score=0.95):
    box = PANELS[panel]
    near = base.Region(box.x0 + 0.02, box.y0 + 0.02, box.x0 + 0.06, box.y0 + 0.08)
    return panel, base.ReadLabel(text, near, score)


def picture(width=200, height=160, seed=0):
    """Smooth noise in colour, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    whole = np.kron(small, np.ones((height // 8, width // 8, 1), np.uint8))
    return np.ascontiguousarray(whole[:height, :width])


def matched(number=1, labels="ABC", bodies=None, **more):
    """A figure of three panels; ``labels`` are those read in them, a dot for none."""
    bodies = bodies or [("A", "Axial view."), ("B", "Coronal view."), ("C", "The lesion.")]
    split = split_of(bodies)
    read = tuple(letter(i, c) for i, c in enumerate(labels) if c != ".")
    separated = base.Separated(200, 160, PANELS, read)
    article = base.Article(
        f"PMC{number}",
        1,
        pmid=str(number),
        journal="Journal",
        year=2020,
        title="A title",
        abstract="An abstract",
        licence=base.Licence("CC BY", "commercial", "https://creativecommons.org/licenses/by/4.0"),
    )
    text = "The tumour grew. Fig. 1B shows its edge. Nothing else."
    start = text.index("Fig. 1B")
    mentions = (
        base.Mention(text, start, start + 7, ("B",), "Results"),
        base.Mention("All of it is in Figure 1.", 16, 24, (), "Results"),
    )
    figure = base.Figure("f1", "Figure 1", split.text, graphics=("f1.png",), mentions=mentions)
    whole = MatchedFigure(
        article, figure, "f1.png", separated, split, match(separated, split),
        "https://example.org/f1.png", "2026-11-30",
    )  # fmt: skip
    return dataclasses.replace(whole, **more) if more else whole


def on_disk(folder, figures):
    """Writes the images and ``matched.jsonl``; returns the path of that."""
    for i, one in enumerate(figures):
        path = pathlib.Path(folder) / "articles" / one.folder / one.graphic
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = picture(one.separated.width, one.separated.height, i)
        path.write_bytes(as_png(pixels) if path.suffix == ".png" else as_jpeg(pixels, 95))
    return write_matched(pathlib.Path(folder) / "matched.jsonl", figures)
