"""Ultrasound pictures as a phantom: breast, thyroid and gallbladder."""

from collections.abc import Sequence
from typing import cast

from data_gen.phantom import base
from data_gen.phantom.base import PictureReview, Rendered, Report, ReportPrompt
from data_gen.phantom.regional import Study
from data_gen.phantom.regional_phantom import RegionalPhantom
from data_gen.phantom.ultrasound.prompt import PROMPT, REVIEW
from data_gen.phantom.ultrasound.sites import ULTRASOUND


class Ultrasound(RegionalPhantom):
    """B-mode pictures; see :class:`data_gen.phantom.base.Phantom`."""

    name: str = "ultrasound"
    title: str = "ultrasound images"
    modality: str = "ultrasound"
    regions = ULTRASOUND
    prompt: ReportPrompt = PROMPT
    review: PictureReview = REVIEW

    def report(self, study: base.Study, seed: int) -> Report:
        from data_gen.phantom.regional_words import write_report
        from data_gen.phantom.ultrasound.words.us_words import ULTRASOUND_WORDS

        return write_report(ULTRASOUND_WORDS, cast(Study, study), seed)

    def render(self, studies: Sequence[base.Study], size: int, masks: bool = True) -> Rendered:
        # Only here, so that the process that hands out shards needs no JAX.
        from data_gen.phantom.ultrasound.picture.render import render_batch

        return render_batch(cast(Sequence[Study], studies), size, masks)
