"""Made-up compound figures with truth, as a separator and a splitter would hand them on, spoilt."""

import dataclasses
import string

import numpy as np

from data_gen.pipelines.pubmed.base import (
    Part,
    ReadLabel,
    Region,
    Separated,
    Span,
    SplitCaption,
)
from data_gen.pipelines.pubmed.scores.truth import TrueFigure, TruePanel

WORDS = ("axial", "coronal", "mass", "oedema", "lesion", "contrast", "frontal", "lobe", "T2", "CT")


@dataclasses.dataclass(frozen=True)
class Noise:
    """Shares of panels or labels that are spoilt.

    missing: labels not read. wrong: labels read as another letter. decoy: panels with a letter
    that is none. lost: panels not found. extra: panels found that are none. exchange: figures in
    which two labels have changed places (that is no fault of the reader). by_columns: figures that
    count down the columns.
    """

    missing: float = 0.0
    wrong: float = 0.0
    decoy: float = 0.0
    lost: float = 0.0
    extra: float = 0.0
    exchange: float = 0.0
    by_columns: float = 0.0
    lower: float = 0.5

    @classmethod
    def at(cls, level: float, **more):
        """All faults of the reader and the separator at one level (0 to 1)."""
        return cls(missing=level, wrong=level / 4, decoy=level, lost=level / 5, extra=level / 5,
                   **more)  # fmt: skip


def grid(rng):
    """Boxes in rows of equal or unequal length, in reading order; 2 to 12 of them."""
    rows = int(rng.integers(1, 5))
    lengths = [int(rng.integers(1, 5)) for _ in range(rows)]
    if rng.random() < 0.6 or sum(lengths) < 2:
        rows, lengths = max(rows, 2), [int(rng.integers(1, 4))] * max(rows, 2)
    boxes = []
    for r, n in enumerate(lengths):
        for c in range(n):
            boxes.append((c / n + 0.01, r / rows + 0.01, (c + 1) / n - 0.01, (r + 1) / rows - 0.01))
    return [Region(*box, score=float(rng.uniform(0.8, 1))) for box in boxes]


def caption(names, lower, rng):
    """A caption with a part per name, as the splitter gives it; and the words of each part."""
    text, parts, said = "Findings. ", [], {}
    preface = (Span(0, len(text)),)
    for name in names:
        mark = f"({name.lower() if lower else name}) "
        start = len(text)
        body = " ".join(rng.choice(WORDS, 4)) + f" {name}{len(names)}. "
        text += mark + body
        spans = Span(start + len(mark), len(text)), Span(start, start + len(mark))
        parts.append(Part((name,), (spans[0],), (spans[1],)))
        said[name] = body.strip()
    return SplitCaption(text, "(a)" if lower else "(A)", tuple(parts), preface), said


def figure(noise, seed):
    """(truth, separated, split) of one figure."""
    rng = np.random.default_rng(seed)
    boxes = grid(rng)
    n = len(boxes)
    names = list(string.ascii_uppercase[:n])
    order = list(range(n))
    if rng.random() < noise.by_columns:
        order.sort(key=lambda i: (round(boxes[i].x0, 2), boxes[i].y0))
    name_of = {panel: names[rank] for rank, panel in enumerate(order)}
    exchanged = set()
    if n > 2 and rng.random() < noise.exchange:
        a, b = (int(i) for i in rng.choice(n, 2, replace=False))
        name_of[a], name_of[b] = name_of[b], name_of[a]
        exchanged = {a, b}
    lower = bool(rng.random() < noise.lower)
    split, said = caption(names, lower, rng)
    truth = TrueFigure(
        tuple(
            TruePanel(box, ((name_of[i],),), said[name_of[i]], i in exchanged)
            for i, box in enumerate(boxes)
        ),
        article=f"PMC{seed}",
    )
    return truth, separated(boxes, name_of, lower, noise, rng), split


def separated(boxes, name_of, lower, noise, rng):
    """The panels and labels that are found."""
    kept = [i for i in range(len(boxes)) if rng.random() >= noise.lost]
    found = [(box_near(boxes[i], rng), i) for i in kept]
    for _ in range(int(rng.random() < noise.extra * len(boxes))):
        x, y = rng.uniform(0, 0.8, 2)
        found.insert(int(rng.integers(0, len(found) + 1)),
                     (Region(x, y, x + 0.1, y + 0.1, 0.5), -1))  # fmt: skip
    labels = []
    for at, (box, i) in enumerate(found):
        options = []
        if i >= 0 and rng.random() >= noise.missing:
            name = name_of[i]
            score = float(rng.beta(12, 1.5))
            if rng.random() < noise.wrong:
                name = str(rng.choice([c for c in string.ascii_uppercase[:14] if c != name]))
                score = float(rng.uniform(0.3, 0.95))
            options.append(letter(name, box, (0.06, 0.06), score, lower))
        if rng.random() < noise.decoy:
            name = str(rng.choice(list(string.ascii_uppercase[:14])))
            place = tuple(rng.uniform(0.2, 0.9, 2))
            options.append(letter(name, box, place, float(rng.uniform(0.2, 0.8)), lower))
        options.sort(key=lambda one: -one.score)
        labels += [(at, one) for one in options]
    return Separated(1200, 900, tuple(box for box, _ in found), tuple(labels))


def box_near(box, rng):
    w, h = box.x1 - box.x0, box.y1 - box.y0
    corners = np.array((box.x0, box.y0, box.x1, box.y1)) + rng.uniform(-0.03, 0.03, 4) * (
        w,
        h,
        w,
        h,
    )
    return Region(*np.clip(corners, 0, 1).tolist(), score=box.score)


def letter(name, box, place, score, lower):
    x = box.x0 + place[0] * (box.x1 - box.x0)
    y = box.y0 + place[1] * (box.y1 - box.y0)
    text = name.lower() if lower else name
    return ReadLabel(text, Region(x, y, x + 0.02, y + 0.02), min(score, 1.0))
