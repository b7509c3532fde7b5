"""Studies that somebody asked for: by a list of findings, or by labels."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from data_gen.phantom.ct.choices import pick
from data_gen.phantom.ct.draw import make_finding
from data_gen.phantom.ct.findings import (
    FINDING_NAMES,
    HEMORRHAGES,
    INTRACRANIAL_HEMORRHAGE,
    LABEL_NAMES,
    MAX_FINDINGS,
    NO_FINDING,
    Finding,
    Study,
    compatible,
    judged,
)
from data_gen.phantom.ct.sample import sample_study
from medvlp_jax.core.errors import UserError

#: Attempts to draw findings that can be seen beside each other, and to find a fitting slice.
_TRIES = 200


def patient(seed: int, wanted: Iterable[str], asked: Iterable[str] = ()) -> Study | None:
    """The first patient of ``seed`` whose slice can show ``wanted``, and judges ``asked`` if any.

    Region, level, phase and window belong to the slice, so what is wanted decides about them.
    """
    wanted, asked = frozenset(wanted), frozenset(asked)
    fallback = None
    for attempt in range(_TRIES):
        study = sample_study(attempt, seed)
        names = frozenset(judged(study))
        if wanted <= names:
            if asked <= names:
                return study
            fallback = fallback or study
    return fallback


def requested_study(
    id: str,
    seed: int,
    labels: Mapping[str, int],
    findings: tuple[Finding, ...] | None = None,
) -> Study:
    """The study that is drawn for the request ``id``; see :func:`patient`.

    Without a list of findings, sides, places and severities of those that the labels name are
    drawn by the seed too.

    Raises:
      UserError: nothing to draw, unknown labels, or findings that cannot be seen in one slice.
    """
    if findings is not None:
        return dataclasses.replace(_checked(id, seed, findings), findings=findings)
    if not labels:
        raise UserError(
            f"request {id} has a prompt only, and the phantom reads no prose: give labels "
            f"({', '.join(LABEL_NAMES)}), or use another back end"
        )
    wanted = {name for name, value in labels.items() if value == 1}
    unknown = sorted(wanted - set(LABEL_NAMES))
    if unknown:
        raise UserError(
            f"request {id}: the phantom cannot draw {', '.join(unknown)}; it knows "
            + ", ".join(LABEL_NAMES)
        )
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 5], np.uint64)))
    if INTRACRANIAL_HEMORRHAGE in wanted and not wanted & set(HEMORRHAGES):
        denied = {name for name, value in labels.items() if value == 0}
        wanted.add(pick(rng, tuple(n for n in HEMORRHAGES if n not in denied) or HEMORRHAGES))
    # Sorted: the order of a dict's keys is no part of the request.
    names = sorted(wanted - {NO_FINDING, INTRACRANIAL_HEMORRHAGE})
    asked = {n for n in labels if n in FINDING_NAMES}
    if INTRACRANIAL_HEMORRHAGE in labels:
        asked |= set(HEMORRHAGES)
    study = patient(seed, names, asked)
    if study is not None and len(names) <= MAX_FINDINGS:
        for _ in range(_TRIES):
            drawn = [make_finding(rng, name, study) for name in names]
            if all(compatible(a, b) for a, b in itertools.combinations(drawn, 2)):
                return dataclasses.replace(study, findings=tuple(drawn))
    raise UserError(f"request {id}: {', '.join(names)} cannot be seen in one slice")


def _checked(id: str, seed: int, found: tuple[Finding, ...]) -> Study:
    if len(found) > MAX_FINDINGS:
        raise UserError(
            f"request {id} lists {len(found)} findings; the phantom draws {MAX_FINDINGS}"
        )
    for a, b in itertools.combinations(found, 2):
        if not compatible(a, b):
            raise UserError(
                f"request {id}: {a.name} ({a.side or a.place}) and {b.name} "
                f"({b.side or b.place}) cannot be seen in one slice"
            )
    study = patient(seed, (f.name for f in found))
    if study is None:
        names = ", ".join(f.name for f in found)
        raise UserError(f"request {id}: {names} cannot be seen in one slice")
    return study
