"""Ahead-of-time compilation of text generation for hardware that is not here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from medvlp_jax.aot import compiled, topology
from medvlp_jax.aot.compiled import GIB, Compiled, Slice
from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.fields import Dtype, Size
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import ModelDef, flatten, param_count, unflatten
from medvlp_jax.core.step import shardings_of
from medvlp_jax.generation.text.decoding import GenerationConfig, Programs, Prompts
from medvlp_jax.models.lm.config import PRESETS, LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.models.lm.linear import Storage


@dataclasses.dataclass(frozen=True)
class DecodeReport:
    """What the compiler says; ``str()`` is the table that ``launch/compile.py`` prints.

    Attributes:
      param_bytes, cache_bytes: what one device holds, and reads in every step.
      compiled: its programs are ``step`` and ``prompt``.
    """

    name: str
    slice: Slice
    weights: str
    rows: int
    capacity: int
    prompt_len: int
    params: int
    param_bytes: int
    cache_bytes: int
    compiled: Compiled

    @property
    def fits(self) -> bool:
        return self.compiled.fits(self.slice.hbm)

    def __str__(self) -> str:
        hbm, words = self.slice.hbm, {"step": "a step", "prompt": f"{self.prompt_len}-token prompt"}
        rows = [
            f"{self.name} decoding on {self.slice}",
            f"  {self.rows} texts side by side, {self.capacity} tokens each; {self.weights} "
            f"weights, {self.params / 1e9:.2f} G parameters; compiled in "
            f"{self.compiled.seconds:.0f} s",
            f"  weights            {self.param_bytes / GIB:10.2f} GiB per chip",
            f"  cache              {self.cache_bytes / GIB:10.2f} GiB per chip",
        ]
        for program, m in self.compiled.memory.items():
            rows.append(
                f"  peak of {words[program]:<17} {m.peak / GIB:4.2f} GiB of {hbm / GIB:.0f} GiB "
                f"(temporaries {m.temporaries / GIB:.2f})"
            )
        rows += self.compiled.traffic("per chip and step")
        return "\n".join([*rows, self.compiled.verdict(hbm)])


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


def compile_config(
    config: Mapping[str, Any], name: str, hlo_path: str | None = None
) -> DecodeReport:
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
) -> DecodeReport:
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
    return DecodeReport(
        name=lm.name,
        slice=Slice.of(name, devices, grid),
        weights="int8" if lm.storage == "int8" else dtype,
        rows=generation.rows,
        capacity=generation.capacity,
        prompt_len=prompt_len,
        params=param_count({p: x for p, x in flatten(params).items() if p[-1] != "kernel_scale"}),
        param_bytes=_bytes(params),
        cache_bytes=_bytes(state.cache),
        compiled=compiled.compile_programs(lowered, hlo_path),
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


def _bytes(tree: Any) -> int:
    return sharding.bytes_per_device(tree, shardings_of(tree))
