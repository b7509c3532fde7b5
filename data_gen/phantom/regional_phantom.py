"""What every phantom of several regions answers in the same way."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from data_gen.phantom import base
from data_gen.phantom.base import FindingMix, Switched
from data_gen.phantom.regional import NO_FINDING, Finding, Regions, Study


class RegionalPhantom:
    """Studies, switches and requests; see :class:`data_gen.phantom.base.Phantom`.

    A modality adds its names, its words and its pictures.
    """

    regions: Regions
    no_finding: str = NO_FINDING

    def sample(self, seed: int, index: int, mix: FindingMix | None = None) -> Study:
        return self.regions.sample(seed, index, mix)

    def restore(self, provenance: Mapping[str, Any]) -> Study:
        return self.regions.restore(provenance)

    def requested(
        self,
        id: str,
        seed: int,
        labels: Mapping[str, int],
        findings: Sequence[base.Finding] | None = None,
    ) -> Study:
        listed = None if findings is None else cast(tuple[Finding, ...], tuple(findings))
        return self.regions.requested(id, seed, labels, listed)

    def switched(self, study: base.Study) -> Switched:
        return Switched(*self.regions.switched(cast(Study, study)))

    def parameters(self, study: base.Study) -> dict[str, Any]:
        whole = cast(Study, study)
        return {
            "site": whole.site,
            "technique": whole.technique,
            "view": whole.view,
            "sex": whole.sex,
            "age": whole.age,
        }
