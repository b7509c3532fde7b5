"""The least time that a compiled program can take: arithmetic, memory and links at their best.

The roofline of Williams et al. 2009 (doi:10.1145/1498765.1498785), with the links between chips as
a third resource. Real steps take longer; the text says what is assumed.
"""

import dataclasses
from typing import NamedTuple

from medvlp_jax.aot.compiled import Compiled, Slice
from medvlp_jax.core.profiling import peak_flops


class Speed(NamedTuple):
    """Published bytes a second of one JAX device: its memory, and all its links one way."""

    memory: float
    links: float


#: By the family in a topology name. Sources: the system architecture pages of
#: cloud.google.com/tpu/docs (of a tpu7x chip, half).
SPEEDS = {
    "v4": Speed(1228e9, 300e9),
    "v5e": Speed(819e9, 200e9),
    "v5p": Speed(2765e9, 600e9),
    "v6e": Speed(1600e9, 400e9),
    "tpu7x": Speed(3690e9, 600e9),
}


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one call on one device, by resource.

    Attributes:
      rows: of one call on all devices together.
      peak: operations a second.
      note: what the arithmetic counts.
    """

    arithmetic: float
    memory: float
    links: float
    rows: int
    peak: float
    speed: Speed
    note: str

    @property
    def overlapped(self) -> float:
        """Where everything else hides behind the slowest resource."""
        return max(self.arithmetic, self.memory, self.links)

    @property
    def in_turn(self) -> float:
        """Where nothing overlaps."""
        return self.arithmetic + self.memory + self.links

    def lines(self) -> list[str]:
        """For the table of a report."""
        parts = ", ".join(
            f"{name} {1e3 * getattr(self, name):.0f}" for name in ("arithmetic", "memory", "links")
        )
        rates = [self.rows / s for s in (self.overlapped, self.in_turn)]
        return [
            f"  roofline           {1e3 * self.overlapped:10.0f} ms per step at least, "
            f"{1e3 * self.in_turn:.0f} ms if nothing overlaps ({parts})",
            f"                     {rates[0]:10,.0f} pairs/s at most, {rates[1]:,.0f} if nothing "
            "overlaps",
            f"    assumed: {self.peak / 1e12:.0f} TFLOP/s in bf16, "
            f"{self.speed.memory / 1e9:.0f} GB/s of memory and "
            f"{self.speed.links / 1e9:.0f} GB/s of links a chip, all at their "
            f"published peak; {self.note};",
            "    arguments and results are touched once and temporaries twice; an all-reduce sends "
            "its bytes twice, other collectives once; input and start-up cost nothing",
        ]


def roofline(
    slice_: Slice, compiled: Compiled, flops: float, rows: int, note: str
) -> Roofline | None:
    """The roofline of the first program; None where it does not fit or the speeds are not known.

    Args:
      flops: that are executed in one call on all devices together, two per multiply-add.
      rows: of one call on all devices together.
      note: what is counted in ``flops``.
    """
    speed = SPEEDS.get(slice_.name.partition(":")[0])
    peak = peak_flops(slice_.device_kind)
    memory = next(iter(compiled.memory.values()), None)
    if speed is None or peak is None or memory is None or compiled.refusal:
        return None
    touched = memory.arguments + memory.outputs + 2 * memory.temporaries
    sent = sum(
        size * (2 if kind == "all-reduce" else 1) for kind, size in compiled.collectives.items()
    )
    return Roofline(
        flops / slice_.devices / peak,
        touched / speed.memory,
        sent / speed.links,
        rows,
        peak,
        speed,
        note,
    )
