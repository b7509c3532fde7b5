"""Ahead-of-time compilation of image sampling for hardware that is not here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from medvlp_jax.aot import topology
from medvlp_jax.aot.compiled import Slice, compile_programs
from medvlp_jax.aot.report import Report, held_bytes
from medvlp_jax.core import sharding
from medvlp_jax.core.config import parse
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Dtype, Extent, Size
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import param_count
from medvlp_jax.diffusion.sampler import SamplerConfig
from medvlp_jax.generation.images.text_to_image import PRESETS, TextToImage, TextToImageConfig


@dataclasses.dataclass(frozen=True)
class SamplingProgram:
    """What ``configs/diffusion/sample.py`` says.

    Attributes:
      preset: of ``medvlp_jax.generation.images.text_to_image.PRESETS``.
      batch_size: images at a time, on all devices together.
      size: side in pixels.
      dtype: of parameters and arithmetic.
      mesh: how devices are divided.
      sampler: steps, guidance and kind of the sampler.
    """

    preset: str = "sd2.1"
    batch_size: Size = 64
    size: Extent = 512
    dtype: Dtype = "bfloat16"
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset={self.preset!r} must be one of {', '.join(PRESETS)}")


def compile_config(config: Mapping[str, Any], name: str, hlo_path: str | None = None) -> Report:
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
) -> Report:
    """Compiles text tower, sampler and decoder as one program for the topology ``name``.

    Nothing is allocated and no weights are read.

    Args:
      config: the parts, for example of ``medvlp_jax.generation.images.text_to_image.PRESETS``.
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
    params = param_count(abstract)
    sizes = f"{batch_size} images of {size[0]} x {size[1]}, {sampler.steps} steps"
    return Report(
        name=f"{config.name} sampling",
        slice=Slice.of(name, devices, grid),
        what=f"{sizes}, {dtype}, {params / 1e6:.1f} M parameters",
        params=params,
        held={"parameters": held_bytes(abstract)},
        compiled=compile_programs({"batch": lowered}, hlo_path),
        per="batch",
        flops=batch_size * image_flops(model, size, sampler),
        silence="no chip talks to another",
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
