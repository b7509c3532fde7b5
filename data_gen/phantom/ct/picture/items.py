"""What a slice is made of, as plain arrays: outlines and strokes in the order they are painted.

A region lists its structures here in NumPy; what a slice does not have is simply not listed. The
painter (:mod:`data_gen.phantom.ct.picture.canvas`) is compiled for the padded lists once.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from data_gen.phantom.ct.picture.shapes import HARMONICS

#: What fills an outline.
PLAIN, GAS_LEVEL, FAECES, AERATED = 0.0, 1.0, 2.0, 3.0

#: Organs with a mask, in the order of their bits in the truth.
ORGANS = (
    "liver",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "aorta",
    "right lung",
    "left lung",
    "heart",
    "brain",
    "ventricles",
)
FIRST_ORGAN_BIT = 8
_NOWHERE = 1.0e4
VECTOR = 4 + 2 * HARMONICS

BLOB_WIDTH = VECTOR + 10
STROKE_WIDTH = 11


def organ_bit(name: str) -> int:
    """Bit of an organ's mask in the truth."""
    return FIRST_ORGAN_BIT + ORGANS.index(name)


class Stage(NamedTuple):
    """How many outlines and strokes a stage of a region holds at most."""

    blobs: int
    strokes: int


class Layers:
    """Collects the structures of one stage; :meth:`arrays` pads them to the stage's size."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._blobs: list[np.ndarray] = []
        self._strokes: list[tuple[float, ...]] = []

    def blob(
        self,
        vector: Float[np.ndarray, " n"],
        hu: float,
        wall: tuple[float, float] | None = None,
        clip: float = -99.0,
        fill: float = PLAIN,
        level: float = 0.0,
        texture: float = 0.0,
        organ: str = "",
        halo: float = 0.0,
        soft: float = 1.2,
    ) -> None:
        """An outline.

        Args:
          vector: of :func:`data_gen.phantom.ct.picture.shapes.blob`.
          hu: of what is in it.
          wall: (HU, mm) of its wall.
          clip: mm that it stays inside the cavity; -99 is not cut.
          fill, level: one of the words above; ``level`` is where gas gives way to fluid, mm.
          texture: standard deviation of a smooth mottling, HU.
          organ: whose mask it is.
          halo: mm of fat around it.
          soft: mm over which it fades, from its obliquity to the slice.
        """
        wall_hu, wall_mm = wall or (hu, 0.0)
        bit = float(organ_bit(organ)) if organ else -1.0
        tail = (hu, wall_hu, wall_mm, clip, fill, level, texture, bit, halo, soft)
        self._blobs.append(np.concatenate([vector, tail]).astype(np.float32))

    def stroke(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radii: tuple[float, float],
        hu: float,
        wall: tuple[float, float] | None = None,
        clip: float = -99.0,
        soft: float = 1.0,
    ) -> None:
        """A stroke of tapering half-width; ``wall`` as in :meth:`blob`."""
        wall_hu, wall_mm = wall or (hu, 0.0)
        self._strokes.append((*start, *end, *radii, hu, wall_hu, wall_mm, clip, soft))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """(outlines, strokes), float32, padded with structures that lie nowhere."""
        blobs = np.zeros((self._stage.blobs, BLOB_WIDTH), np.float32)
        blobs[:, 0] = _NOWHERE
        blobs[:, VECTOR + 9] = 1.0
        strokes = np.zeros((self._stage.strokes, STROKE_WIDTH), np.float32)
        strokes[:, [0, 2]] = _NOWHERE
        strokes[:, 10] = 1.0
        for target, given in ((blobs, self._blobs), (strokes, self._strokes)):
            if len(given) > len(target):
                raise ValueError(f"a stage of {len(target)} structures was given {len(given)}")
            for i, item in enumerate(given):
                target[i] = item
        return blobs, strokes


#: Columns of a site: where a finding is, how large, and how dense.
SITE_WIDTH = 9
SITES = 4


class Site(NamedTuple):
    """One place of a finding, in mm of the region's own frame.

    Attributes:
      x, y, rx, ry, turn: centre, half-axes and angle (radians) of an ellipse, or as the kind reads
        them.
      hu: density, or its change.
      owner: index in ``study.findings``.
      a, b: more numbers of the kind.
    """

    x: float
    y: float
    rx: float
    ry: float
    turn: float
    hu: float
    owner: int
    a: float = 0.0
    b: float = 0.0


def site_array(sites: list[Site]) -> Float[np.ndarray, "n k"]:
    """Sites padded to :data:`SITES` with some of no owner, -1, that lie nowhere."""
    out = np.zeros((SITES, SITE_WIDTH), np.float32)
    out[:, 0], out[:, 2], out[:, 3], out[:, 6] = _NOWHERE, 1.0, 1.0, -1.0
    for i, site in enumerate(sites[:SITES]):
        out[i] = site
    return out
