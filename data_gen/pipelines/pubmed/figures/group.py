"""Images that share a label joined to one panel."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.figures.fuse import share_inside


def group(
    boxes: Float[np.ndarray, "n 4"], places: Mapping[int, int], from_top_left: bool
) -> list[list[int]]:
    """Panels as lists of images, each with its labelled image first.

    Where the labels that were read count without a gap, every image without one belongs to the
    label before it: to the nearest panel that it can be added to without covering another one's
    images. Where a label seems to be missing, an image without one is a panel of its own.

    Args:
      boxes: of images, in pixels.
      places: index of an image -> place of its label in the series, from 0.
      from_top_left: labels stand at the upper left of their panel, so that its other images lie to
        the right of it or below.
    """
    groups = {i: [i] for i in places}
    rest = [i for i in range(len(boxes)) if i not in places]
    if len(places) < 2 or not rest or not _complete(sorted(places.values())):
        return [*groups.values(), *([i] for i in rest)]
    while rest:
        best: tuple[float, int, int] | None = None
        for i in rest:
            for lead, members in groups.items():
                if from_top_left and not _after(boxes[lead], boxes[i]):
                    continue
                distance = _distance(_hull(boxes[members]), boxes[i])
                if (best is None or distance < best[0]) and _free(boxes, members, i):
                    best = (distance, i, lead)
        if best is None:
            break
        _, i, lead = best
        groups[lead].append(i)
        rest.remove(i)
    return [*groups.values(), *([i] for i in rest)]


def _complete(places: list[int]) -> bool:
    return places[0] == 0 and places[-1] == len(places) - 1


def _after(lead: np.ndarray, box: np.ndarray) -> bool:
    """Whether a box lies to the right of a panel's first image, or below it."""
    width, height = lead[2:] - lead[:2]
    return bool(box[0] >= lead[0] - 0.3 * width and box[1] >= lead[1] - 0.3 * height)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    gap = np.maximum(np.maximum(a[:2] - b[2:], b[:2] - a[2:]), 0)
    # Neighbours in a row or column come before those across a corner.
    return float(gap.sum() + (min(gap) > 0) * 1e3)


def _hull(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _free(boxes: np.ndarray, members: list[int], new: int) -> bool:
    """Whether the panel with ``new`` would cover no image of others."""
    hull = _hull(boxes[[*members, new]])
    others = [k for k in range(len(boxes)) if k not in members and k != new]
    return not others or bool(share_inside(boxes[others], hull[None]).max() < 0.25)
