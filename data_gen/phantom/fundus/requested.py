"""Studies that somebody asked for, and the counterpart of a study with one finding switched."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from data_gen.phantom.base import Switched
from data_gen.phantom.colour.draws import keyed, pick
from data_gen.phantom.colour.requested import check_together, wanted_names
from data_gen.phantom.fundus.findings import (
    DIABETIC,
    FINDING_NAMES,
    GRADES,
    LABEL_NAMES,
    MACULAR,
    MAX_FINDINGS,
    Finding,
    Study,
    compatible,
)
from data_gen.phantom.fundus.sample import make_finding, sample_study

#: Grade of retinopathy -> the signs that make it.
_SIGNS = {
    GRADES[0]: ("microaneurysms",),
    GRADES[1]: ("microaneurysms", "hard exudates"),
    GRADES[2]: ("microaneurysms", "retinal hemorrhages"),
    GRADES[3]: ("neovascularization",),
}


def requested_study(
    id: str,
    seed: int,
    labels: Mapping[str, int],
    findings: tuple[Finding, ...] | None = None,
) -> Study:
    """The study that is drawn for the request ``id``; eye and photograph are drawn by the seed.

    A grade of retinopathy or a disease without its signs gets signs of it.

    Raises:
      UserError: nothing to draw, unknown labels, or findings that cannot be seen together.
    """
    study = sample_study(0, seed)
    if findings is None:
        others = [name for name in LABEL_NAMES if name not in FINDING_NAMES]
        names = wanted_names(id, labels, FINDING_NAMES, others)
        rng = keyed(seed, 5)
        names = _with_signs(rng, set(names), labels)
        findings = tuple(_draw(rng, name, labels) for name in names)
    check_together(id, findings, compatible, MAX_FINDINGS)
    return dataclasses.replace(study, findings=findings)


def _with_signs(rng: np.random.Generator, names: set[str], labels: Mapping[str, int]) -> list[str]:
    for grade, signs in _SIGNS.items():
        if labels.get(grade) == 1:
            names |= set(signs)
    if labels.get("diabetic retinopathy") == 1 and not names & set(DIABETIC):
        names.add(pick(rng, DIABETIC[:4]))
    if labels.get("age-related macular degeneration") == 1 and not names & set(MACULAR):
        names.add(pick(rng, MACULAR))
    return sorted(names)


def _draw(rng: np.random.Generator, name: str, labels: Mapping[str, int]) -> Finding:
    severe = labels.get(GRADES[2])
    if name == "retinal hemorrhages" and severe is not None:
        return make_finding(rng, name, (0, 0, 1) if severe == 1 else (1, 1, 0))
    return make_finding(rng, name)


def switched(study: Study) -> Switched:
    """The same eye and photograph with one finding fewer, or one more where there is none."""
    rng = keyed(study.seed, 7 + 16 * study.index)
    if study.findings:
        gone = study.findings[int(rng.integers(len(study.findings)))]
        left = tuple(f for f in study.findings if f is not gone)
        return Switched(dataclasses.replace(study, findings=left), gone.name, False)
    added = make_finding(rng, pick(rng, FINDING_NAMES))
    return Switched(dataclasses.replace(study, findings=(added,)), added.name, True)
