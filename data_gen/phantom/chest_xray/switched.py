"""The counterfactual of a study: one finding taken away, or given to a patient who has none."""

import dataclasses

import numpy as np

from data_gen.phantom.base import Switched
from data_gen.phantom.chest_xray.draw import make_finding, pick
from data_gen.phantom.chest_xray.findings import (
    FINDING_NAMES,
    SUPPORT_DEVICES,
    Finding,
    Study,
    compatible,
)
from data_gen.phantom.chest_xray.sample import stream

#: Draws of one kind until it can be seen beside what is there.
_TRIES = 20


def switch(study: Study) -> Switched:
    """One finding fewer, or one more where there is none; devices and everything else stay.

    Only a finding whose label goes with it is taken away: of two nodules none, and no consolidation
    beside a lobar pneumonia, which is one too. A study that has no other is given one.
    """
    rng = stream(study.seed, study.index, "switched")
    labels = study.labels()
    fewer = [
        Switched(without, finding.name, False)
        for i, finding in enumerate(study.findings)
        if finding.name != SUPPORT_DEVICES
        and (without := _having(study, study.findings[:i] + study.findings[i + 1 :]))
        and without.labels()[finding.name] == 0
    ]
    if fewer:
        return pick(rng, tuple(fewer))
    absent = [n for n in FINDING_NAMES if n != SUPPORT_DEVICES and labels[n] == 0]
    for name in rng.permutation(absent):
        added = _addition(rng, str(name), study)
        if added is not None:
            # Before the devices, where the findings of every study are.
            ill = sum(f.name != SUPPORT_DEVICES for f in study.findings)
            found = (*study.findings[:ill], added, *study.findings[ill:])
            return Switched(_having(study, found), added.name, True)
    raise ValueError(f"study {study.index} of seed {study.seed}: no finding can be seen beside it")


def _having(study: Study, found: tuple[Finding, ...]) -> Study:
    return dataclasses.replace(study, findings=found)


def _addition(rng: np.random.Generator, name: str, study: Study) -> Finding | None:
    for _ in range(_TRIES):
        drawn = make_finding(rng, name, study.position)
        if all(compatible(drawn, other) for other in study.findings):
            return drawn
    return None
