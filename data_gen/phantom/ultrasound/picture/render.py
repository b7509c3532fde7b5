"""Renders studies of every region of the ultrasound phantom."""

from collections.abc import Sequence

from data_gen.phantom.base import Rendered
from data_gen.phantom.regional import Study
from data_gen.phantom.regional_render import Region, render_regions
from data_gen.phantom.ultrasound import sites as S
from data_gen.phantom.ultrasound.picture import organs
from data_gen.phantom.ultrasound.picture.marks import stamp
from data_gen.phantom.ultrasound.picture.scene import scene

REGIONS = {
    "breast": Region(
        scene,
        (organs.locate, organs.breast, organs.finish),
        ("glandular tissue", S.BENIGN_BREAST, S.MALIGNANT_BREAST),
        1,
        stamp,
    ),
    "thyroid": Region(
        scene,
        (organs.locate, organs.thyroid, organs.finish),
        ("thyroid", S.BENIGN_THYROID, S.MALIGNANT_THYROID),
        1,
        stamp,
    ),
    "gallbladder": Region(
        scene,
        (organs.locate, organs.gallbladder, organs.finish),
        ("gallbladder", S.STONES, S.WALL),
        1,
        stamp,
    ),
}


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Pictures with their truth; see :func:`render_regions`."""
    return render_regions(REGIONS, studies, size, masks)
