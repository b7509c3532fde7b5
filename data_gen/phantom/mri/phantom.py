"""Magnetic resonance images as a phantom: brain and knee."""

from collections.abc import Sequence
from typing import cast

from data_gen.phantom import base
from data_gen.phantom.base import PictureReview, Rendered, Report, ReportPrompt
from data_gen.phantom.mri.prompt import PROMPT, REVIEW
from data_gen.phantom.mri.sites import MRI as REGIONS
from data_gen.phantom.regional import Study
from data_gen.phantom.regional_phantom import RegionalPhantom


class Mri(RegionalPhantom):
    """Slices of brain and knee; see :class:`data_gen.phantom.base.Phantom`."""

    name: str = "mri"
    title: str = "MR images"
    modality: str = "mri"
    regions = REGIONS
    prompt: ReportPrompt = PROMPT
    review: PictureReview = REVIEW

    def report(self, study: base.Study, seed: int) -> Report:
        from data_gen.phantom.mri.words.mri_words import MRI_WORDS
        from data_gen.phantom.regional_words import write_report

        return write_report(MRI_WORDS, cast(Study, study), seed)

    def render(self, studies: Sequence[base.Study], size: int, masks: bool = True) -> Rendered:
        # Only here, so that the process that hands out shards needs no JAX.
        from data_gen.phantom.mri.picture.render import render_batch

        return render_batch(cast(Sequence[Study], studies), size, masks)
