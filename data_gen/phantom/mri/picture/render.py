"""Renders studies of every region of the MRI phantom."""

from collections.abc import Sequence

from data_gen.phantom.base import Rendered
from data_gen.phantom.mri.knee_site import CONDYLE_NAME, NOTCH_NAME
from data_gen.phantom.mri.picture import brain_render, knee
from data_gen.phantom.mri.picture.brain_scene import brain_scene
from data_gen.phantom.mri.picture.knee_scene import knee_scene
from data_gen.phantom.regional import Study
from data_gen.phantom.regional_render import Region, render_regions

_KNEE = Region(knee_scene, knee.STAGES, knee.BITS, knee.ORGANS)

REGIONS = {
    "brain": Region(brain_scene, brain_render.STAGES, brain_render.BITS, brain_render.ORGANS),
    CONDYLE_NAME: _KNEE,
    NOTCH_NAME: _KNEE,
}


def render_batch(studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
    """Pictures with their truth; see :func:`render_regions`."""
    return render_regions(REGIONS, studies, size, masks)
