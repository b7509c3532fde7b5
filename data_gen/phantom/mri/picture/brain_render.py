"""One picture of a brain with its truth."""

from typing import Any

from jaxtyping import Array

from data_gen.phantom.fields import Map, bits, enlarge, hold
from data_gen.phantom.mri.brain_site import (
    EDEMA,
    HEMORRHAGE,
    HYDROCEPHALUS,
    INFARCT,
    PLAQUES,
    TUMOR,
)
from data_gen.phantom.mri.picture import brain, brain_lesions, scanner
from data_gen.phantom.mri.picture.brain_scene import NOISE
from data_gen.phantom.mri.picture.places import places

BITS = ("brain", "ventricles", TUMOR, INFARCT, PLAQUES, EDEMA, HEMORRHAGE, HYDROCEPHALUS)
"""What the bits of the truth say, organs first."""
ORGANS = 2


def locate(a: dict[str, Any]) -> dict[str, Any]:
    """Noise maps, and where every pixel lies."""
    a = a | {name: enlarge(a[name], scanner.MATRIX) for name in NOISE}
    x, y = hold(places(a))
    px, py = brain_lesions.displaced(a, x, y, brain.skull(a, x, y))
    return a | {"x": x, "y": y, "px": px, "py": py}


def dissect(a: dict[str, Any]) -> dict[str, Any]:
    """Distances to surfaces of the healthy head."""
    return a | brain.distances(a, a["x"], a["y"], a["px"], a["py"])


def colour(a: dict[str, Any]) -> dict[str, Any]:
    """Signal of the healthy head."""
    return a | {"image": brain.draw(a, a["x"], a["y"], a["px"], a["py"])}


def harm(a: dict[str, Any]) -> dict[str, Any]:
    """Signal and truth with the findings."""
    head = brain.Head(a["inside"], a["cortex"], a["ventricles"])
    shown = brain_lesions.apply(a, a["image"], head, a["x"], a["y"])
    wet = head.ventricle > 0
    solid = (head.inside > 0) & (head.cortex > 0) & ~wet
    masks = (
        solid, wet, shown.tumor, shown.infarct, shown.plaques, shown.edema, shown.hemorrhage, wet
    )  # fmt: skip
    return a | {"image": shown.image, "truth": bits(masks)}


def finish(a: dict[str, Any]) -> tuple[Map, Array]:
    """Picture 0 to 255, and truth bits."""
    return scanner.expose(a, scanner.acquire(a, a["image"])), a["truth"]


STAGES = (locate, dissect, colour, harm, finish)
