"""What all regions need to place a finding: its side, its numbers, its own random stream."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data_gen.phantom.ct.findings import Finding, Study
from data_gen.phantom.ct.picture.items import Site

At = Mapping[str, Any]
Sites = list[Site]
#: The sites of a finding, given its index in the study and what there is to know of the anatomy.
Place = Callable[[Study, Finding, int, At], Sites]


def signs(finding: Finding) -> tuple[float, ...]:
    """-1 for the patient's right (the image's left), 1 for the left."""
    return {"left": (1.0,), "right": (-1.0,), "bilateral": (-1.0, 1.0), "": (1.0,)}[finding.side]


def number(finding: Finding, name: str) -> float:
    return float(finding.attributes[name])


def stream(finding: Finding) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(int(number(finding, "seed"))))
