"""Ahead-of-time compilation of image sampling for hardware that is not here."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from medvlp_jax.compilation import shortfall
from medvlp_jax.core import hlo, sharding, topology
from medvlp_jax.core.config import parse
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.profiling import peak_flops
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import param_count
from medvlp_jax.diffusion.sampler import SamplerConfig
from medvlp_jax.text_to_image import PRESETS, TextToImage, TextToImageConfig

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class SamplingReport:
    """What the compiler says; ``str()`` is the table that ``launch/compile.py`` prints.

    Attributes:
      batch_size: images made at a time, on all devices together.
      steps: evaluations of the UNet, each on two rows per image if there is guidance.
      flops: of one whole batch in the UNet and the decoder, two per multiply-add.
      param_bytes: what one device holds of the parameters.
      memory: of one device, ``None`` where the program does not fit.
      collectives: result bytes per device and batch, by kind.
      refusal: the compiler's own words where the program does not fit.
    """

    name: str
    topology: str
    devices: int
    device_kind: str
    mesh: dict[str, int]
    dtype: str
    size: tuple[int, int]
    batch_size: int
    steps: int
    params: int
    param_bytes: int
    flops: float
    seconds: float
    hbm: int
    memory: hlo.Memory | None = None
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    refusal: str = ""

    @property
    def fits(self) -> bool:
        return self.memory is not None and self.memory.peak <= self.hbm

    def __str__(self) -> str:
        mesh = " x ".join(f"{k} {v}" for k, v in self.mesh.items())
        peak = peak_flops(self.device_kind)
        per_chip = self.flops / self.devices
        ideal = "" if peak is None else f" ({per_chip / peak:.1f} s at the published peak)"
        rows = [
            f"{self.name} sampling on {self.topology}: {self.devices} x {self.device_kind}, "
            f"mesh {mesh}",
            f"  {self.batch_size} images of {self.size[0]} x {self.size[1]}, {self.steps} steps, "
            f"{self.dtype}, {self.params / 1e6:.1f} M parameters; compiled in {self.seconds:.0f} s",
            f"  model FLOPs        {per_chip / 1e12:10.2f} T per chip and batch{ideal}",
            f"  parameters         {self.param_bytes / _GIB:10.2f} GiB per chip",
        ]
        if self.memory is not None:
            rows += [
                f"  temporaries        {self.memory.temporaries / _GIB:10.2f} GiB",
                f"  peak               {self.memory.peak / _GIB:10.2f} GiB of "
                f"{self.hbm / _GIB:.0f} GiB",
            ]
            for kind, size in sorted(self.collectives.items(), key=lambda x: -x[1]):
                rows.append(f"  {kind:<18} {size / _GIB:10.3f} GiB per chip and batch at most")
            if not self.collectives:
                rows.append("  no chip talks to another")
        verdict = "FITS" if self.fits else "DOES NOT FIT"
        rows.append(f"  {verdict}" + (f": {self.refusal}" if self.refusal else ""))
        return "\n".join(rows)


@dataclasses.dataclass(frozen=True)
class SamplingProgram:
    """What ``configs/diffusion/sample.py`` says.

    Attributes:
      preset: of ``medvlp_jax.text_to_image.PRESETS``.
      batch_size: images at a time, on all devices together.
      size: side in pixels.
      dtype: of parameters and arithmetic.
    """

    preset: str = "sd2.1"
    batch_size: int = 64
    size: int = 512
    dtype: str = "bfloat16"
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset={self.preset!r} must be one of {', '.join(PRESETS)}")


def compile_config(
    config: Mapping[str, Any], name: str, hlo_path: str | None = None
) -> SamplingReport:
    """:func:`compile_images` for the values of a config file.

    Raises:
      UserError: as there, or a config that does not fit.
    """
    c = parse(SamplingProgram, config)
    try:
        return compile_images(
            PRESETS[c.preset],
            name,
            batch_size=c.batch_size,
            size=(c.size, c.size),
            sampler=c.sampler,
            mesh=c.mesh,
            dtype=c.dtype,
            hlo_path=hlo_path,
        )
    except ValueError as error:
        raise UserError(f"config: {error}") from error


def compile_images(
    config: TextToImageConfig,
    name: str,
    *,
    batch_size: int,
    size: tuple[int, int] | None = None,
    sampler: SamplerConfig | None = None,
    mesh: MeshConfig | None = None,
    dtype: str = "bfloat16",
    hlo_path: str | None = None,
) -> SamplingReport:
    """Compiles text tower, sampler and decoder as one program for the topology ``name``.

    Nothing is allocated and no weights are read.

    Args:
      config: the parts, for example of ``medvlp_jax.text_to_image.PRESETS``.
      name: a slice such as ``v5e:4x4``.
      batch_size: images at a time, a multiple of the devices that share a batch.
      size: height and width in pixels; what the UNet was trained on by default.
      sampler: 20 steps of DPM-Solver++ by default.
      mesh: all devices share the batch by default.
      dtype: of parameters and arithmetic.
      hlo_path: where to write the optimised program.

    Raises:
      UserError: no libtpu, or an unknown topology.
      ValueError: sizes that do not fit each other.
    """
    devices = topology.devices(name)
    grid = sharding.make_mesh(mesh or MeshConfig(), devices)
    shards = sharding.batch_shards(grid)
    if batch_size % shards:
        raise ValueError(f"batch_size={batch_size} is no multiple of the {shards} that share it")
    model = TextToImage(config.with_dtype(dtype))
    size = size or (config.image_size, config.image_size)
    sampler = sampler or SamplerConfig()
    rows, whole = sharding.batch_sharding(grid), sharding.replicated(grid)
    length = config.text.max_length
    abstract = model.abstract(grid, dtype)
    lowered = model.program(grid, sampler, size).lower(
        abstract,
        jax.ShapeDtypeStruct((batch_size, length), jnp.int32, sharding=rows),
        jax.ShapeDtypeStruct((1, length), jnp.int32, sharding=whole),
        jax.ShapeDtypeStruct((batch_size,), jnp.uint32, sharding=rows),
    )
    began = time.perf_counter()
    report = SamplingReport(
        name=config.name,
        topology=name,
        devices=len(devices),
        device_kind=devices[0].device_kind,
        mesh=dict(grid.shape),
        dtype=dtype,
        size=size,
        batch_size=batch_size,
        steps=sampler.steps,
        params=param_count(abstract),
        param_bytes=sharding.bytes_per_device(
            abstract, jax.tree.map(lambda x: x.sharding, abstract)
        ),
        flops=batch_size * image_flops(model, size, sampler),
        seconds=0.0,
        hbm=topology.hbm(name),
    )
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


def image_flops(model: TextToImage, size: tuple[int, int], sampler: SamplerConfig) -> float:
    """Floating-point operations of one image in the UNet and the decoder."""
    c = model.config
    latents = jax.ShapeDtypeStruct((1, *model.latent_shape(size)), jnp.float32)
    context = jax.ShapeDtypeStruct((1, c.text.max_length, c.text.width), jnp.float32)
    t = jax.ShapeDtypeStruct((1,), jnp.float32)

    def unet(params: Any, *args: Any) -> Any:
        return model.unet.merge(params, {})(*args)

    def decode(params: Any, latents: Any) -> Any:
        return model.vae.merge(params, {}).decode(latents)

    rows = 1 if sampler.guidance == 1 else 2
    call = _flops(unet, model.unet.abstract_params, latents, t, context)
    return sampler.steps * rows * call + _flops(decode, model.vae.abstract_params, latents)


def _flops(function: Any, *args: Any) -> float:
    # Of the program before optimisation, which has no loops: nothing is counted once for all.
    analysis = jax.jit(function).lower(*args).cost_analysis()
    assert analysis is not None
    return analysis["flops"]
