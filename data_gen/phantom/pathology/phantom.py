"""The microscopic slide as a phantom: what :class:`data_gen.phantom.base.Phantom` asks for."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

from data_gen.phantom import base
from data_gen.phantom.base import (
    FindingMix,
    PictureReview,
    Rendered,
    Report,
    ReportPrompt,
    Switched,
)
from data_gen.phantom.pathology import requested
from data_gen.phantom.pathology.findings import NO_FINDING, Finding, Study
from data_gen.phantom.pathology.prompt import PROMPT
from data_gen.phantom.pathology.review import REVIEW
from data_gen.phantom.pathology.sample import sample_study
from data_gen.phantom.pathology.words.report import write_report


class Pathology:
    """Slides of colon, breast, lymph node and blood; see :class:`data_gen.phantom.base.Phantom`."""

    name: str = "pathology"
    title: str = "microscopic slides"
    modality: str = "pathology"
    no_finding: str = NO_FINDING
    prompt: ReportPrompt = PROMPT
    review: PictureReview = REVIEW

    def sample(self, seed: int, index: int, mix: FindingMix | None = None) -> Study:
        return sample_study(seed, index, mix)

    def restore(self, provenance: Mapping[str, Any]) -> Study:
        found = tuple(
            Finding(f["name"], f["side"], f["zone"], f["severity"], f["attributes"])
            for f in provenance["findings"]
        )
        # The mix of a data set decides about the findings alone, which the record keeps.
        return dataclasses.replace(
            sample_study(provenance["seed"], provenance["index"]), findings=found
        )

    def requested(
        self,
        id: str,
        seed: int,
        labels: Mapping[str, int],
        findings: Sequence[base.Finding] | None = None,
    ) -> Study:
        listed = None if findings is None else cast(tuple[Finding, ...], tuple(findings))
        return requested.requested_study(id, seed, labels, listed)

    def switched(self, study: base.Study) -> Switched:
        return requested.switched(cast(Study, study))

    def report(self, study: base.Study, seed: int) -> Report:
        return write_report(cast(Study, study), seed)

    def render(self, studies: Sequence[base.Study], size: int, masks: bool = True) -> Rendered:
        # Only here, so that the process that hands out shards needs no JAX.
        from data_gen.phantom.pathology.picture.render import render_batch

        return render_batch(cast(Sequence[Study], studies), size, masks)

    def parameters(self, study: base.Study) -> dict[str, Any]:
        whole = cast(Study, study)
        return {"view": whole.view, "specimen": whole.specimen}
