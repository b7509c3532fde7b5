"""Ahead-of-time compilation of an experiment's training step for hardware that is not here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from medvlp_jax.aot import compiled, topology
from medvlp_jax.aot.compiled import GIB, Compiled, Slice
from medvlp_jax.core import sharding
from medvlp_jax.core.profiling import peak_flops
from medvlp_jax.core.state import param_count
from medvlp_jax.core.step import shardings_of
from medvlp_jax.data.columns.registry import batch_spec
from medvlp_jax.run.build import Run


@dataclasses.dataclass(frozen=True)
class CompileReport:
    """What the compiler says; ``str()`` is the table that ``launch/compile.py`` prints.

    Attributes:
      state_bytes: parameters, optimizer state and buffers that one device holds.
      flops: of one global step, by formula.
      compiled: its program is ``step``.
    """

    name: str
    slice: Slice
    batch_size: int
    text_len: int
    params: int
    state_bytes: int
    flops: float
    compiled: Compiled

    @property
    def fits(self) -> bool:
        return self.compiled.fits(self.slice.hbm)

    def __str__(self) -> str:
        hbm, per_chip = self.slice.hbm, self.flops / self.slice.devices
        peak = peak_flops(self.slice.device_kind)
        ideal = "" if peak is None else f" ({per_chip / peak * 1e3:.0f} ms at the published peak)"
        rows = [
            f"{self.name} on {self.slice}",
            f"  global batch {self.batch_size}, {self.text_len} tokens, {self.params / 1e6:.1f} M "
            f"parameters; compiled in {self.compiled.seconds:.0f} s",
            f"  model FLOPs        {per_chip / 1e12:10.2f} T per chip and step{ideal}",
            f"  state              {self.state_bytes / GIB:10.2f} GiB per chip",
        ]
        for m in self.compiled.memory.values():
            rows += [
                f"  arguments          {m.arguments / GIB:10.2f} GiB (donated "
                f"{m.aliased / GIB:.2f})",
                f"  temporaries        {m.temporaries / GIB:10.2f} GiB",
                f"  peak               {m.peak / GIB:10.2f} GiB of {hbm / GIB:.0f} GiB",
            ]
        rows += self.compiled.traffic("per chip and step")
        return "\n".join([*rows, self.compiled.verdict(hbm)])


def compile_step(
    config: Mapping[str, Any], name: str, *, text_len: int = 0, hlo_path: str | None = None
) -> CompileReport:
    """Compiles one training step for the topology ``name``, such as ``v5e:4x4``.

    Nothing is allocated and no data is read. ``text_len`` 0 takes the longest bucket.

    Raises:
      UserError: no libtpu, an unknown topology, or a config that does not fit the mesh.
    """
    devices = topology.devices(name)
    experiment = Run(config, devices)
    c = experiment.config
    text_len = text_len or c.data.text.max_len
    step = experiment.train_step
    place = sharding.batch_sharding(experiment.mesh)
    spec = {
        key: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place)
        for key, s in batch_spec(
            experiment.task.columns, c.data, c.data.batch_size, text_len
        ).items()
    }
    return CompileReport(
        name=c.name,
        slice=Slice.of(name, devices, experiment.mesh),
        batch_size=c.data.batch_size,
        text_len=text_len,
        params=param_count(experiment.model_def.abstract_params),
        state_bytes=sharding.bytes_per_device(step.abstract, shardings_of(step.abstract)),
        flops=experiment.step_flops(c.data.batch_size, text_len),
        compiled=compiled.compile_programs({"step": step.lower(spec)}, hlo_path),
    )
