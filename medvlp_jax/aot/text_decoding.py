"""Ahead-of-time compilation of text generation for hardware that is not here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from medvlp_jax.aot import topology
from medvlp_jax.aot.compiled import Slice, compile_programs
from medvlp_jax.aot.report import Report, held_bytes
from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.fields import Dtype, Size
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import ModelDef, flatten, param_count, unflatten
from medvlp_jax.generation.text.decoding import GenerationConfig, Programs, Prompts
from medvlp_jax.models.lm.config import PRESETS, LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.models.lm.linear import Storage


@dataclasses.dataclass(frozen=True)
class DecodeConfig:
    """What :func:`compile_config` compiles; see ``configs/lm/decode.py``.

    Attributes:
      model: a name of ``medvlp_jax.models.lm.config.PRESETS``.
      generation: rows and lengths of the decoding.
      mesh: how devices are divided.
      storage: ``int8`` keeps the weights as int8.
      dtype: of the computation.
      prompt_len: tokens of the longest prompt.
    """

    model: str
    generation: GenerationConfig
    mesh: MeshConfig = dataclasses.field(
        default_factory=lambda: MeshConfig(data=1, fsdp=1, tensor=-1)
    )
    storage: Storage = "float"
    dtype: Dtype = "bfloat16"
    prompt_len: Size = 512

    def __post_init__(self) -> None:
        if self.model not in PRESETS:
            raise ValueError(f"model={self.model!r} must be one of {', '.join(PRESETS)}")
        if not 0 < self.prompt_len < self.generation.capacity:
            raise ValueError(f"prompt_len={self.prompt_len} must be below generation.capacity")


def compile_config(config: Mapping[str, Any], name: str, hlo_path: str | None = None) -> Report:
    """:func:`compile_decode` of a group of config keys.

    Raises:
      UserError: an unknown key or model, rows that the mesh does not divide, or no libtpu.
    """
    c = parse(DecodeConfig, config)
    lm = dataclasses.replace(PRESETS[c.model], storage=c.storage)
    try:
        return compile_decode(
            lm,
            name,
            generation=c.generation,
            mesh=c.mesh,
            dtype=c.dtype,
            prompt_len=c.prompt_len,
            hlo_path=hlo_path,
        )
    except ValueError as error:
        raise ConfigError(f"config for {name}: {error}") from error


def compile_decode(
    lm: LMConfig,
    name: str,
    *,
    generation: GenerationConfig,
    mesh: MeshConfig,
    dtype: str = "bfloat16",
    prompt_len: int = 512,
    hlo_path: str | None = None,
) -> Report:
    """Compiles the decoding loop and the reading of one prompt for the topology ``name``.

    Nothing is allocated and no weights are read.

    Args:
      lm: the model, of ``medvlp_jax.models.lm.config.PRESETS`` say, with float or int8 storage.
      name: a slice such as ``v6e:4x4``.
      generation: rows and capacity.
      mesh: ``tensor`` splits heads and hidden units, ``fsdp`` the width; ``data`` copies weights.
      dtype: of weights (but int8 kernels) and arithmetic.
      prompt_len: tokens of the prompt.
      hlo_path: file for the optimised decoding program.

    Raises:
      UserError: no libtpu, or an unknown topology.
      ValueError: rows that the mesh does not divide.
    """
    devices = topology.devices(name)
    grid = sharding.make_mesh(mesh, devices)
    lm = dataclasses.replace(lm, dtype=dtype)
    programs = Programs(lm, generation, grid)
    params = _abstract_params(lm, grid)
    whole = sharding.replicated(grid)

    def leaf(shape: tuple[int, ...], kind: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.dtype(kind), sharding=whole)

    prompts = Prompts(
        leaf((1, prompt_len), jnp.int32),
        leaf((1,), jnp.int32),
        leaf((1,), jnp.int32),
        leaf((1,), jnp.int32),
        leaf((1, 2), jnp.uint32),
    )
    rows = leaf((generation.rows,), bool)
    state = programs.abstract
    lowered = {
        "step": programs.advance.lower(params, state, rows, leaf((), jnp.int32)),
        "prompt": programs.admit.lower(params, state, prompts),
    }
    count = param_count({p: x for p, x in flatten(params).items() if p[-1] != "kernel_scale"})
    sizes = f"{generation.rows} texts side by side, {generation.capacity} tokens each"
    weights = "int8" if lm.storage == "int8" else dtype
    return Report(
        name=f"{lm.name} decoding",
        slice=Slice.of(name, devices, grid),
        what=f"{sizes}; {weights} weights, {count / 1e9:.2f} G parameters",
        params=count,
        held={"weights": held_bytes(params), "cache": held_bytes(state.cache)},
        compiled=compile_programs(lowered, hlo_path),
        words={"step": "a step", "prompt": f"{prompt_len}-token prompt"},
    )


def _abstract_params(lm: LMConfig, grid: jax.sharding.Mesh) -> dict[str, Any]:
    """Floating parameters in the compute dtype, but for the scales of int8 kernels."""
    model = ModelDef.of(build_lm(lm))
    places = sharding.tree_shardings(model.abstract_params, model.logical_axes, grid)
    flat = flatten(places)

    def dtype_of(path: tuple[str, ...], x: Any) -> Any:
        small = jnp.issubdtype(x.dtype, jnp.floating) and path[-1] != "kernel_scale"
        return jnp.dtype(lm.dtype) if small else x.dtype

    return unflatten(
        {
            path: jax.ShapeDtypeStruct(x.shape, dtype_of(path, x), sharding=flat[path])
            for path, x in flatten(model.abstract_params).items()
        }
    )
