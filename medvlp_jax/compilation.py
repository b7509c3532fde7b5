"""Ahead-of-time compilation of an experiment's training step for hardware that is not here."""

import dataclasses
import pathlib
import re
import time
from collections.abc import Mapping
from typing import Any

import jax

from medvlp_jax.core import hlo, sharding, topology
from medvlp_jax.core.profiling import peak_flops
from medvlp_jax.core.state import param_count
from medvlp_jax.experiment import Experiment

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class CompileReport:
    """What the compiler says; ``str()`` is the table that ``launch/compile.py`` prints.

    Attributes:
      state_bytes: parameters, optimizer state and buffers that one device holds.
      memory: of one device, ``None`` where the program does not fit.
      flops: of one global step, by formula.
      collectives: result bytes per device and step, by kind.
      refusal: the compiler's own words where the program does not fit.
    """

    name: str
    topology: str
    devices: int
    device_kind: str
    mesh: dict[str, int]
    batch_size: int
    text_len: int
    params: int
    state_bytes: int
    seconds: float
    hbm: int
    flops: float
    memory: hlo.Memory | None = None
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    refusal: str = ""

    @property
    def fits(self) -> bool:
        return self.memory is not None and self.memory.peak <= self.hbm

    def __str__(self) -> str:
        mesh = " x ".join(f"{k} {v}" for k, v in self.mesh.items())
        rows = [
            f"{self.name} on {self.topology}: {self.devices} x {self.device_kind}, mesh {mesh}",
            f"  global batch {self.batch_size}, {self.text_len} tokens, {self.params / 1e6:.1f} M "
            f"parameters; compiled in {self.seconds:.0f} s",
            f"  model FLOPs        {self.flops / self.devices / 1e12:10.2f} T per chip and step"
            + self._ideal(),
            f"  state              {self.state_bytes / _GIB:10.2f} GiB per chip",
        ]
        if self.memory is not None:
            m = self.memory
            rows += [
                f"  arguments          {m.arguments / _GIB:10.2f} GiB (donated "
                f"{m.aliased / _GIB:.2f})",
                f"  temporaries        {m.temporaries / _GIB:10.2f} GiB",
                f"  peak               {m.peak / _GIB:10.2f} GiB of {self.hbm / _GIB:.0f} GiB",
            ]
            for kind, size in sorted(self.collectives.items(), key=lambda x: -x[1]):
                rows.append(f"  {kind:<18} {size / _GIB:10.3f} GiB per chip and step at most")
        verdict = "FITS" if self.fits else "DOES NOT FIT"
        rows.append(f"  {verdict}" + (f": {self.refusal}" if self.refusal else ""))
        return "\n".join(rows)

    def _ideal(self) -> str:
        peak = peak_flops(self.device_kind)
        if peak is None:
            return ""
        return f" ({self.flops / self.devices / peak * 1e3:.0f} ms at the published peak)"


def compile_step(
    config: Mapping[str, Any], name: str, *, text_len: int = 0, hlo_path: str | None = None
) -> CompileReport:
    """Compiles one training step for the topology ``name``, such as ``v5e:4x4``.

    Nothing is allocated and no data is read. ``text_len`` 0 takes the longest bucket.

    Raises:
      UserError: no libtpu, an unknown topology, or a config that does not fit the mesh.
    """
    devices = topology.devices(name)
    experiment = Experiment(config, devices)
    c = experiment.config
    text_len = text_len or c.data.text.max_len
    step = experiment.train_step()
    place = sharding.batch_sharding(experiment.mesh)
    spec = {
        key: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place)
        for key, s in experiment.task.batch_spec(c.data.batch_size, text_len).items()
    }
    shardings = jax.tree.map(lambda x: x.sharding, step.abstract)
    began = time.perf_counter()
    report = CompileReport(
        name=c.name,
        topology=name,
        devices=len(devices),
        device_kind=devices[0].device_kind,
        mesh=dict(experiment.mesh.shape),
        batch_size=c.data.batch_size,
        text_len=text_len,
        params=param_count(experiment.model_def.abstract_params),
        state_bytes=sharding.bytes_per_device(step.abstract, shardings),
        seconds=0.0,
        hbm=topology.hbm(name),
        flops=experiment.step_flops(c.data.batch_size, text_len),
    )
    lowered = step.lower(spec)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e) and "hbm" not in str(e).lower():
            raise
        return dataclasses.replace(
            report, seconds=time.perf_counter() - began, refusal=shortfall(str(e))
        )
    text = compiled.as_text()
    if hlo_path:
        pathlib.Path(hlo_path).write_text(text)
    return dataclasses.replace(
        report,
        seconds=time.perf_counter() - began,
        memory=hlo.memory(compiled),
        collectives=hlo.collective_bytes(text),
    )


def shortfall(message: str) -> str:
    """The sentence of the compiler that says what is needed and what there is."""
    found = re.search(r"[^.\n]*Used [\d.]+\w? of [\d.]+\w? hbm[^\n]*", message)
    return " ".join((found.group(0) if found else message.strip().splitlines()[0]).split())
