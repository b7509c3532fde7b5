"""The published suites: which sets, of which modality, with which classes in which order."""

import dataclasses
from collections.abc import Mapping

from medvlp_jax.eval.suites import medmnist, unimed
from medvlp_jax.eval.suites.base import SuiteSet

#: Suite -> its sets in the order of their publication.
SUITES: Mapping[str, tuple[SuiteSet, ...]] = {
    "unimed": unimed.SETS,
    "medmnist": medmnist.SETS,
}


def find(name: str) -> SuiteSet | None:
    """The set of that name in any suite."""
    return next((one for sets in SUITES.values() for one in sets if one.name == name), None)


def described(one: SuiteSet) -> dict[str, object]:
    """A set as plain values."""
    return dataclasses.asdict(one)
