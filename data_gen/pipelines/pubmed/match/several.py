"""A figure that the article has in several images is matched as one: they share a caption."""

import dataclasses
from collections.abc import Sequence

from data_gen.pipelines.pubmed.base import Pair, ReadLabel, Region, Separated, SplitCaption
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.match import match

#: Score of an image in which no panel was found, as the panel that it is.
_WHOLE = 0.5


def match_images(
    images: Sequence[Separated], split: SplitCaption, config: MatchConfig | None = None
) -> list[tuple[Pair, ...]]:
    """Pairs of each image of a figure, as :func:`.match.match` gives them for one.

    The images stand below each other, in the order of the article; one without panels is a panel.
    So a letter that one image lacks is found in another, and the order goes on from image to image.
    A part that no image has a panel for is rejected once, among the pairs of the first.

    Returns:
      Pairs by image. In an image without panels the pair of a part has none: the whole image goes
      with that part.
    """
    if len(images) <= 1:
        return [match(one, split, config) for one in images]
    stacked, origin = _stacked(images)
    pairs = match(stacked, split, config)
    out: list[list[Pair]] = [[] for _ in images]
    for pair in pairs:
        if not pair.panels:
            whole = pair.part < 0
            for mine in out if whole else out[:1]:
                mine.append(pair)
            continue
        by_image: dict[int, list[int]] = {}
        for panel in pair.panels:
            image, place = origin[panel]
            by_image.setdefault(image, []).append(place)
        for image, places in by_image.items():
            own = tuple(places) if images[image].panels else ()
            out[image].append(dataclasses.replace(pair, panels=own))
    return [tuple(mine) for mine in out]


def _stacked(images: Sequence[Separated]) -> tuple[Separated, list[tuple[int, int]]]:
    """All images as one, and for each of its panels (image, panel there)."""
    # Every image is as wide as the widest, or letters and panels would change their shape.
    heights = [one.height / max(one.width, 1) for one in images]
    total = sum(heights)
    panels: list[Region] = []
    labels: list[tuple[int, ReadLabel]] = []
    origin: list[tuple[int, int]] = []
    top = 0.0
    for number, (one, height) in enumerate(zip(images, heights, strict=True)):
        first = len(panels)
        for place, panel in enumerate(one.panels or (Region(0.0, 0.0, 1.0, 1.0, _WHOLE),)):
            panels.append(_moved(panel, top, height, total))
            origin.append((number, place))
        for panel, label in one.labels if one.panels else ():
            box = _moved(label.box, top, height, total)
            labels.append((first + panel, dataclasses.replace(label, box=box)))
        top += height
    width = max(one.width for one in images)
    size = max(round(width * total), 1)
    return Separated(width, size, tuple(panels), tuple(labels), images[0].method), origin


def _moved(region: Region, top: float, height: float, total: float) -> Region:
    y0, y1 = ((top + y * height) / total for y in (region.y0, region.y1))
    return dataclasses.replace(region, y0=y0, y1=y1)
