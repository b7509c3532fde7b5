"""What the compiler says of a program for a slice: memory, traffic, and whether it fits."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from medvlp_jax.aot.compiled import Compiled, Slice
from medvlp_jax.aot.roofline import Roofline
from medvlp_jax.core import sharding
from medvlp_jax.core.profiling import peak_flops
from medvlp_jax.core.step import shardings_of

GIB = 2**30
#: How the time of a call at the published peak is written.
_IDEAL = {"step": "{ms:.0f} ms", "batch": "{s:.1f} s"}


@dataclasses.dataclass(frozen=True)
class Report:
    """The table that ``launch/compile.py`` prints, by ``str()``.

    Attributes:
      name: what was compiled, before the words "on" and the slice.
      what: the sizes of the program and its parameters, in words.
      params: number of parameters.
      held: what one device keeps between calls -> bytes.
      compiled: its programs, one of them or several.
      words: program -> its name in the table, where there are several.
      per: a call of the program: ``step`` or ``batch``.
      flops: of one call on all devices together, two per multiply-add; 0 is not told.
      silence: said where no device talks to another.
      roofline: the least time of a step, where it is known.
    """

    name: str
    slice: Slice
    what: str
    params: int
    held: Mapping[str, int]
    compiled: Compiled
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    per: str = "step"
    flops: float = 0.0
    silence: str = ""
    roofline: Roofline | None = None

    @property
    def fits(self) -> bool:
        """Whether every program was compiled and stays within the memory of a device."""
        return self.compiled.fits(self.slice.hbm)

    def __str__(self) -> str:
        rows = [
            f"{self.name} on {self.slice}",
            f"  {self.what}; compiled in {self.compiled.seconds:.0f} s",
            *self._arithmetic(),
            *(f"  {what:<18} {size / GIB:10.2f} GiB per chip" for what, size in self.held.items()),
            *self._memory(),
            *self._traffic(),
            *(self.roofline.lines() if self.roofline else ()),
            self._verdict(),
        ]
        return "\n".join(rows)

    def _arithmetic(self) -> list[str]:
        if not self.flops:
            return []
        per_chip = self.flops / self.slice.devices
        peak = peak_flops(self.slice.device_kind)
        ideal = ""
        if peak is not None:
            s = per_chip / peak
            ideal = f" ({_IDEAL[self.per].format(s=s, ms=s * 1e3)} at the published peak)"
        return [f"  model FLOPs        {per_chip / 1e12:10.2f} T per chip and {self.per}{ideal}"]

    def _memory(self) -> list[str]:
        rows, whole = [], f"GiB of {self.slice.hbm / GIB:.0f} GiB"
        for program, m in self.compiled.memory.items():
            if program in self.words:
                rows.append(
                    f"  peak of {self.words[program]:<17} {m.peak / GIB:4.2f} {whole} "
                    f"(temporaries {m.temporaries / GIB:.2f})"
                )
                continue
            if m.aliased:
                donated = f"(donated {m.aliased / GIB:.2f})"
                rows.append(f"  arguments          {m.arguments / GIB:10.2f} GiB {donated}")
            rows.append(f"  temporaries        {m.temporaries / GIB:10.2f} GiB")
            rows.append(f"  peak               {m.peak / GIB:10.2f} {whole}")
        return rows

    def _traffic(self) -> list[str]:
        """Lines about the collectives, the largest first."""
        ordered = sorted(self.compiled.collectives.items(), key=lambda x: -x[1])
        rows = [
            f"  {kind:<18} {size / GIB:10.4f} GiB per chip and {self.per} at most"
            for kind, size in ordered
        ]
        alone = not rows and self.silence and not self.compiled.refusal
        return [f"  {self.silence}"] if alone else rows

    def _verdict(self) -> str:
        refusal = self.compiled.refusal
        return f"  {'FITS' if self.fits else 'DOES NOT FIT'}" + (f": {refusal}" if refusal else "")


def held_bytes(tree: Any) -> int:
    """Bytes that one device holds of a tree of abstract arrays with their shardings."""
    return sharding.bytes_per_device(tree, shardings_of(tree))
