"""Ahead-of-time compilation: a program, a slice that is not here, and what the compiler says."""

import dataclasses
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from medvlp_jax.aot import hlo, topology


@dataclasses.dataclass(frozen=True)
class Slice:
    """The hardware a program is compiled for; ``str()`` names it in one line.

    Attributes:
      name: topology, such as ``v5e:4x4``.
      hbm: bytes of memory of one device.
      mesh: size by axis.
    """

    name: str
    devices: int
    device_kind: str
    hbm: int
    mesh: dict[str, int]

    @classmethod
    def of(cls, name: str, devices: Sequence[Any], mesh: Mesh) -> "Slice":
        kind = devices[0].device_kind
        return cls(name, len(devices), kind, topology.hbm(name), dict(mesh.shape))

    def __str__(self) -> str:
        mesh = " x ".join(f"{k} {v}" for k, v in self.mesh.items())
        return f"{self.name}: {self.devices} x {self.device_kind}, mesh {mesh}"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What came of :func:`compile_programs`.

    Attributes:
      seconds: all programs together.
      memory: of one device, by program; without those that do not fit.
      collectives: result bytes of the first program per device and call, by kind. The body of a
        loop whose end is not known beforehand is counted once.
      refusal: the compiler's own words where a program does not fit.
    """

    seconds: float = 0.0
    memory: dict[str, hlo.Memory] = dataclasses.field(default_factory=dict)
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    refusal: str = ""

    def fits(self, hbm: int) -> bool:
        """Whether every program was compiled and stays within ``hbm`` bytes."""
        return not self.refusal and all(m.peak <= hbm for m in self.memory.values())


def compile_programs(lowered: Mapping[str, Any], hlo_path: str | None = None) -> Compiled:
    """Compiles lowered programs; the first is the one whose optimised text is written and counted.

    Memory that does not suffice is an answer, not an error; every other trouble is raised.
    """
    began, memory, text = time.perf_counter(), {}, ""
    try:
        for name, program in lowered.items():
            compiled = program.compile()
            memory[name] = hlo.memory(compiled)
            text = text or compiled.as_text()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e) and "hbm" not in str(e).lower():
            raise
        return Compiled(time.perf_counter() - began, memory, refusal=shortfall(str(e)))
    seconds = time.perf_counter() - began
    if hlo_path:
        pathlib.Path(hlo_path).write_text(text)
    return Compiled(seconds, memory, hlo.collective_bytes(text))


def shortfall(message: str) -> str:
    """The sentence of the compiler that says what is needed and what there is."""
    found = re.search(r"[^.\n]*Used [\d.]+\w? of [\d.]+\w? hbm[^\n]*", message)
    return " ".join((found.group(0) if found else message.strip().splitlines()[0]).split())
