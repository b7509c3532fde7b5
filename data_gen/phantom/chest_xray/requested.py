"""Studies that somebody asked for: by a list of findings, or by labels."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from data_gen.phantom.chest_xray.draw import make_device, make_finding, pick
from data_gen.phantom.chest_xray.findings import (
    FINDING_NAMES,
    LABEL_NAMES,
    MAX_FINDINGS,
    NO_FINDING,
    SUPPORT_DEVICES,
    Finding,
    Study,
    compatible,
)
from data_gen.phantom.chest_xray.sample import sample_study
from medvlp_jax.core.errors import UserError

#: Attempts to draw findings that can be seen beside each other.
_TRIES = 200
_DEVICES = ("endotracheal tube", "central line", "nasogastric tube", "chest drain", "pacemaker")


def patient(seed: int) -> Study:
    """Patient and film of the pictures of ``seed``, whatever they show; its findings mean nothing.

    An effusion layers in a patient who lies, so what is to be drawn may depend on the position.
    """
    return sample_study(0, seed)


def requested_study(
    id: str,
    seed: int,
    labels: Mapping[str, int],
    findings: tuple[Finding, ...] | None = None,
) -> Study:
    """The study that is drawn for the request ``id``.

    Patient and film are those of :func:`patient`. Without a list of findings, sides, places and
    severities of those that the labels name are drawn by the seed too.

    Raises:
      UserError: nothing to draw, unknown labels, or findings that cannot be seen together.
    """
    if findings is not None:
        _check(id, findings)
        return dataclasses.replace(patient(seed), findings=findings)
    if not labels:
        raise UserError(
            f"request {id} has a prompt only, and the phantom reads no prose: give labels "
            f"({', '.join(LABEL_NAMES)}), or use another back end"
        )
    wanted = [name for name, value in labels.items() if value == 1]
    unknown = sorted(set(wanted) - set(LABEL_NAMES))
    if unknown:
        raise UserError(
            f"request {id}: the phantom cannot draw {', '.join(unknown)}; it knows "
            + ", ".join(FINDING_NAMES)
        )
    study = patient(seed)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 5], np.uint64)))
    # Sorted: the order of a dict's keys is no part of the request.
    names = sorted(set(wanted) - {NO_FINDING})
    for _ in range(_TRIES):
        drawn = [_draw(rng, name, study) for name in names]
        if all(compatible(a, b) for a, b in itertools.combinations(drawn, 2)):
            return dataclasses.replace(study, findings=tuple(drawn))
    raise UserError(f"request {id}: {', '.join(names)} cannot be seen in one picture")


def _check(id: str, found: tuple[Finding, ...]) -> None:
    if len(found) > MAX_FINDINGS:
        raise UserError(
            f"request {id} lists {len(found)} findings; the phantom draws {MAX_FINDINGS}"
        )
    for a, b in itertools.combinations(found, 2):
        if not compatible(a, b):
            raise UserError(
                f"request {id}: {a.name} ({a.side} {a.zone}) and {b.name} ({b.side} "
                f"{b.zone}) cannot be seen in one picture"
            )


def _draw(rng: np.random.Generator, name: str, study: Study) -> Finding:
    if name == SUPPORT_DEVICES:
        return make_device(rng, pick(rng, _DEVICES))
    return make_finding(rng, name, study.position)
