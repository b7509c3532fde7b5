"""CT as a phantom: what :class:`data_gen.phantom.base.Phantom` asks for."""

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
from data_gen.phantom.ct.findings import NO_FINDING, Finding, Study
from data_gen.phantom.ct.prompt import PROMPT
from data_gen.phantom.ct.review import REVIEW
from data_gen.phantom.ct.sample import sample_study

#: What a record keeps elsewhere, or what ``sample`` gives again from seed and index.
_ELSEWHERE = ("seed", "index", "findings", "anatomy", "acquisition")


class CT:
    """Axial CT slices of abdomen, chest and head; see :class:`data_gen.phantom.base.Phantom`."""

    name: str = "ct"
    title: str = "CT slices"
    modality: str = "ct"
    no_finding: str = NO_FINDING
    prompt: ReportPrompt = PROMPT
    review: PictureReview = REVIEW

    def sample(self, seed: int, index: int, mix: FindingMix | None = None) -> Study:
        return sample_study(seed, index, mix)

    def restore(self, provenance: Mapping[str, Any]) -> Study:
        found = tuple(
            Finding(f["name"], f["side"], f["place"], f["severity"], f["attributes"])
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
        from data_gen.phantom.ct.requested import requested_study

        listed = None if findings is None else cast(tuple[Finding, ...], tuple(findings))
        return requested_study(id, seed, labels, listed)

    def switched(self, study: base.Study) -> Switched:
        from data_gen.phantom.ct.switched import switched_study

        return switched_study(cast(Study, study))

    def report(self, study: base.Study, seed: int) -> Report:
        from data_gen.phantom.ct.words.report import write_report

        return write_report(cast(Study, study), seed, study.index)

    def render(self, studies: Sequence[base.Study], size: int, masks: bool = True) -> Rendered:
        # Only here, so that the process that hands out shards needs no JAX.
        from data_gen.phantom.ct.picture.render import render_batch

        return render_batch(cast(Sequence[Study], studies), size, masks)

    def parameters(self, study: base.Study) -> dict[str, Any]:
        whole = cast(Study, study)
        names = [field.name for field in dataclasses.fields(whole)]
        return {name: getattr(whole, name) for name in names if name not in _ELSEWHERE}
