"""Masks and boxes from the bits that a renderer sets in each pixel."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from data_gen.phantom.base import PhantomBox, Study
from data_gen.phantom.chest_xray.picture.render import enclosing_box


def bit(where: Array, number: int) -> UInt32[Array, "h w"]:
    """The bit ``number`` where a map is true."""
    return where.astype(jnp.uint32) << number


def unpack(
    truth: np.ndarray,
    studies: Sequence[Study],
    organs: Mapping[str, int],
    findings: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Masks by name from truth bits [b, y, x]; ``organs``, ``findings``: name -> bit."""
    named = {name: _plane(truth, number) for name, number in organs.items()}
    for i in range(max(len(s.findings) for s in studies)):
        named[f"finding {i}"] = np.stack(
            [
                _plane(truth[j], findings[s.findings[i].name])
                if i < len(s.findings)
                else np.zeros(truth.shape[1:], np.uint8)
                for j, s in enumerate(studies)
            ]
        )
    return named


def boxes(truth: np.ndarray, study: Study, findings: Mapping[str, int]) -> list[PhantomBox]:
    """One box around what each finding covers in the bits [y, x] of one picture."""
    found = []
    for i, finding in enumerate(study.findings):
        box = enclosing_box(_plane(truth, findings[finding.name]))
        if box is not None:
            found.append(PhantomBox(*box, finding.name, i))
    return found


def _plane(truth: np.ndarray, number: int) -> np.ndarray:
    return ((truth >> np.uint32(number)) & 1).astype(np.uint8)
