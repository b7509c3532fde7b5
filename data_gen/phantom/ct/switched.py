"""The partner of a study: the same patient, slice, noise and window with one finding switched."""

import dataclasses

from data_gen.phantom.base import Switched
from data_gen.phantom.ct.choices import pick
from data_gen.phantom.ct.draw import make_finding
from data_gen.phantom.ct.findings import Study, judged
from data_gen.phantom.ct.sample import stream


def switched_study(study: Study) -> Switched:
    """``study`` with one finding fewer, or with one where it shows none.

    Which one is a function of the study's seed and index alone.
    """
    rng = stream(study.seed, study.index, "switch")
    if study.findings:
        drop = int(rng.integers(len(study.findings)))
        kept = tuple(f for i, f in enumerate(study.findings) if i != drop)
        changed = dataclasses.replace(study, findings=kept)
        return Switched(changed, study.findings[drop].name, present=False)
    finding = make_finding(rng, pick(rng, judged(study)), study)
    return Switched(dataclasses.replace(study, findings=(finding,)), finding.name, present=True)
