"""Figures with all that the stages found in them, put together from the lines of the stages."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping

from data_gen.pipelines.pubmed.base import (
    Article,
    Pair,
    Region,
    Separated,
    SplitCaption,
    from_json,
)
from data_gen.pipelines.pubmed.match.matched import MatchedFigure, read_matched
from data_gen.pipelines.pubmed.stages import matching, reading, screening, separating, splitting
from data_gen.pipelines.pubmed.stages.lines import Place, Row, gone
from medvlp_jax.core.errors import one_net

#: Of a file of corrections that cannot be read.
MEND = "give the file that launch/label_studio.py wrote"
NEEDS = (reading.NAME, screening.NAME, separating.NAME, splitting.NAME, matching.NAME)


@dataclasses.dataclass(frozen=True)
class Whole:
    """A figure on its way to records.

    Attributes:
      matched: all that was found.
      path: of the image.
      modalities: panel -> modality; -1 is the whole figure. Unknown ones are left out.
      number: of the figure within its article.
      cut: panels by the rule without training, where that was asked for.
    """

    matched: MatchedFigure
    path: pathlib.Path
    modalities: Mapping[int, str]
    number: int
    cut: tuple[Region, ...] = ()


def figures_of(row: Row, corrected: str = "") -> Iterator[Whole]:
    """The figures of an article that came through all stages of :data:`NEEDS`.

    Args:
      corrected: file of figures that a person set right, which take the place of ours; "" for none.
    """
    if gone(row):
        return
    right = corrections(corrected) if corrected else {}
    told = row.before[reading.NAME]
    article = from_json(Article, told["article"])
    images = dict(screening.numbered(row))
    pairs = {one["image"]: one["pairs"] for one in row.before[matching.NAME]["images"]}
    for image in row.before[separating.NAME]["images"]:
        screened = images[image["image"]]
        number = screened["figure"]
        split = row.before[splitting.NAME]["splits"][str(number)]
        matched = MatchedFigure(
            article=article,
            figure=article.figures[number],
            graphic=screened["graphic"],
            separated=from_json(Separated, image["separated"]),
            split=from_json(SplitCaption, split),
            pairs=tuple(from_json(Pair, pair) for pair in pairs[image["image"]]),
            source_url=told["source"],
            retrieved=told["retrieved"],
        )
        if matched.key in right:
            yield Whole(right[matched.key], row.folder / screened["graphic"], {}, number)
            continue
        modalities = {int(p): name for p, name in image["modalities"].items() if name}
        if screened["modality"]:
            modalities[-1] = screened["modality"]
        cut = tuple(from_json(Region, box) for box in image.get("xy_cut", ()))
        yield Whole(matched, row.folder / screened["graphic"], modalities, number, cut)


def corrections(path: str) -> dict[str, MatchedFigure]:
    """The figures of a file that a person set right, by their key."""
    with one_net(path, MEND):
        written = os.stat(path).st_mtime_ns
    return _corrections(path, written)


@functools.lru_cache(maxsize=1)
def _corrections(path: str, written: int) -> dict[str, MatchedFigure]:
    del written  # the file of that name may have become another
    return {one.key: one for one in read_matched(path)}


def every_figure(place: Place) -> Iterator[Whole]:
    """The figures of all articles, in the order of the list."""
    for shard in place.shards(matching.NAME):
        for row in place.rows(shard, NEEDS):
            yield from figures_of(row)
