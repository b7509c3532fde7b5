"""Which figures a page shows, and their colours."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from data_gen.pipelines.pubmed.base import Pair
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from medvlp_jax.data.images.base import Pixels
from medvlp_jax.pages.boxes import Colours

STATUSES = ("label_match", "order_match", "whole_figure", "rejected")
#: Class of what belongs to no part.
NONE = "kx"


@dataclasses.dataclass(frozen=True)
class Shown:
    """A figure with its pixels, uint8 [h, w] or [h, w, 3]."""

    figure: MatchedFigure
    pixels: Pixels = dataclasses.field(repr=False)


class PartColours(Colours):
    """A colour for each part of one caption: its panels, letters and words have the same."""

    def __init__(self, figure: MatchedFigure) -> None:
        super().__init__()
        self.part_of: dict[int, int] = {}
        for pair in figure.pairs:
            if pair.part >= 0 and pair.status != "rejected":
                for panel in pair.panels:
                    self.part_of.setdefault(panel, pair.part)
        self.names = [", ".join(part.labels) for part in figure.split.parts]
        self._by_name = {name: self.of_part(i) for i, name in reversed([*enumerate(self.names)])}

    def of_part(self, part: int) -> str:
        """Class of a part; that of nothing for -1."""
        return f"k{part % self.COUNT}" if part >= 0 else NONE

    def name(self, panel: int) -> str:
        """What is written beside the box of a panel."""
        part = self.part_of.get(panel, -1)
        return self.names[part] if part >= 0 else "?"

    def __getitem__(self, label: str) -> str:
        return self._by_name.get(label, NONE)


def status_of(pairs: Sequence[Pair]) -> str:
    """What a figure as a whole came to: the best of its pairs."""
    found = {pair.status for pair in pairs}
    return next((status for status in STATUSES if status in found), "rejected")


def count_reasons(every: Iterable[Sequence[Pair]]) -> dict[str, dict[str, int]]:
    """Status -> reason -> panels, parts or whole figures; details of reasons are left out."""
    out: dict[str, Counter[str]] = {status: Counter() for status in STATUSES}
    for pairs in every:
        for pair in pairs:
            out[pair.status][reasons.kind(pair.reason)] += max(len(pair.panels), 1)
    return {status: dict(counts.most_common()) for status, counts in out.items()}


def merged(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Sums of :func:`count_reasons`, of shards that were counted apart."""
    out: dict[str, Counter[str]] = {status: Counter() for status in STATUSES}
    for part in parts:
        for status, counts in part.items():
            out[status].update(counts)
    return {status: dict(counts.most_common()) for status, counts in out.items()}


def pick(every: Sequence[Sequence[Pair]], count: int) -> list[int]:
    """Indices of figures to show: the first of each reason, then others, evenly spaced.

    Args:
      every: pairs of each figure.
      count: at most so many.
    """
    chosen: dict[int, None] = {}
    seen: set[str] = set()
    for i, pairs in enumerate(every):
        new = {reasons.kind(pair.reason) for pair in pairs} - seen
        if new and len(chosen) < count:
            seen |= new
            chosen[i] = None
    spaced = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    for i in [*spaced.tolist(), *range(len(every))]:
        if len(chosen) >= min(count, len(every)):
            break
        chosen.setdefault(i, None)
    return sorted(chosen)


def reduced(pixels: Pixels, side: int) -> Image.Image:
    """At most ``side`` pixels long."""
    image = Image.fromarray(pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
