"""Studies that somebody asked for, and the counterpart of a study with one finding switched."""

import dataclasses
from collections.abc import Mapping

from data_gen.phantom.base import Switched
from data_gen.phantom.colour.draws import keyed, pick
from data_gen.phantom.colour.requested import check_together, wanted_names
from data_gen.phantom.pathology.findings import (
    FINDING_NAMES,
    JUDGED,
    MAX_FINDINGS,
    NO_FINDING,
    SPECIMENS,
    Finding,
    Study,
    compatible,
)
from data_gen.phantom.pathology.sample import make_finding, sample_study
from medvlp_jax.core.errors import UserError


def requested_study(
    id: str,
    seed: int,
    labels: Mapping[str, int],
    findings: tuple[Finding, ...] | None = None,
) -> Study:
    """The study that is drawn for the request ``id``.

    Slide and scan are drawn by the seed: the first of its slides whose specimen can show what is
    asked for, and is judged for all that the labels name.

    Raises:
      UserError: nothing to draw, unknown labels, or findings that no one specimen shows together.
    """
    if findings is None:
        names = wanted_names(id, labels, FINDING_NAMES, (NO_FINDING,))
        rng = keyed(seed, 5)
        findings = tuple(make_finding(rng, name) for name in names)
        asked = set(labels) & set(FINDING_NAMES)
    else:
        asked = {f.name for f in findings}
    check_together(id, findings, compatible, MAX_FINDINGS)
    shown = {f.name for f in findings}
    fit = [s for s in SPECIMENS if shown <= set(JUDGED[s])]
    if not fit:
        raise UserError(
            f"request {id}: {', '.join(sorted(shown))} cannot be seen in one picture: no specimen "
            "shows them all"
        )
    # Labels that are 0 choose the specimen too, if they can.
    fit = [s for s in fit if asked <= set(JUDGED[s])] or fit
    index = seed
    while (study := sample_study(0, index)).specimen not in fit:
        index += 1_000_003
    return dataclasses.replace(study, findings=findings)


def switched(study: Study) -> Switched:
    """The same slide and scan with one finding fewer, or one more where there is none."""
    rng = keyed(study.seed, 7 + 16 * study.index)
    if study.findings:
        gone = study.findings[int(rng.integers(len(study.findings)))]
        left = tuple(f for f in study.findings if f is not gone)
        return Switched(dataclasses.replace(study, findings=left), gone.name, False)
    added = make_finding(rng, pick(rng, JUDGED[study.specimen]))
    return Switched(dataclasses.replace(study, findings=(added,)), added.name, True)
