"""Ahead-of-time compilation of text generation for hardware that is not here."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from medvlp_jax.compilation import shortfall
from medvlp_jax.core import hlo, sharding, topology
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import ModelDef, flatten, param_count, unflatten
from medvlp_jax.generation.decoding import GenerationConfig, Programs, Prompts
from medvlp_jax.models.lm import PRESETS, LMConfig, build_lm
from medvlp_jax.models.lm_linear import Storage

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class DecodeReport:
    """What the compiler says; ``str()`` is the table that ``launch/compile.py`` prints.

    Attributes:
      param_bytes, cache_bytes: what one device holds, and reads in every step.
      decode, prefill: memory of one device, None where the program does not fit.
      collectives: result bytes per device and decoding step, by kind.
      refusal: the compiler's own words where a program does not fit.
    """

    name: str
    topology: str
    devices: int
    device_kind: str
    mesh: dict[str, int]
    weights: str
    rows: int
    capacity: int
    prompt_len: int
    params: int
    param_bytes: int
    cache_bytes: int
    hbm: int
    seconds: float = 0.0
    decode: hlo.Memory | None = None
    prefill: hlo.Memory | None = None
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    refusal: str = ""

    @property
    def fits(self) -> bool:
        found = (self.decode, self.prefill)
        return all(m is not None and m.peak <= self.hbm for m in found)

    def __str__(self) -> str:
        mesh = " x ".join(f"{k} {v}" for k, v in self.mesh.items())
        rows = [
            f"{self.name} decoding on {self.topology}: {self.devices} x {self.device_kind}, "
            f"mesh {mesh}",
            f"  {self.rows} texts side by side, {self.capacity} tokens each; {self.weights} "
            f"weights, {self.params / 1e9:.2f} G parameters; compiled in {self.seconds:.0f} s",
            f"  weights            {self.param_bytes / _GIB:10.2f} GiB per chip",
            f"  cache              {self.cache_bytes / _GIB:10.2f} GiB per chip",
        ]
        for what, m in (("a step", self.decode), (f"{self.prompt_len}-token prompt", self.prefill)):
            if m is not None:
                rows.append(
                    f"  peak of {what:<17} {m.peak / _GIB:4.2f} GiB of {self.hbm / _GIB:.0f} GiB "
                    f"(temporaries {m.temporaries / _GIB:.2f})"
                )
        for kind, size in sorted(self.collectives.items(), key=lambda x: -x[1]):
            rows.append(f"  {kind:<18} {size / 2**20:10.2f} MiB per chip and step at most")
        verdict = "FITS" if self.fits else "DOES NOT FIT"
        rows.append(f"  {verdict}" + (f": {self.refusal}" if self.refusal else ""))
        return "\n".join(rows)


@dataclasses.dataclass(frozen=True)
class DecodeConfig:
    """What :func:`compile_config` compiles; see ``configs/lm/decode.py``."""

    model: str
    generation: GenerationConfig
    mesh: MeshConfig = dataclasses.field(
        default_factory=lambda: MeshConfig(data=1, fsdp=1, tensor=-1)
    )
    storage: Storage = "float"
    dtype: str = "bfloat16"
    prompt_len: int = 512

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
      lm: the model, for example of ``medvlp_jax.models.lm.PRESETS``, with float or int8 storage.
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
    report = DecodeReport(
        name=lm.name,
        topology=name,
        devices=len(devices),
        device_kind=devices[0].device_kind,
        mesh=dict(grid.shape),
        weights="int8" if lm.storage == "int8" else dtype,
        rows=generation.rows,
        capacity=generation.capacity,
        prompt_len=prompt_len,
        params=param_count({p: x for p, x in flatten(params).items() if p[-1] != "kernel_scale"}),
        param_bytes=_bytes(params),
        cache_bytes=_bytes(programs.abstract.cache),
        hbm=topology.hbm(name),
    )
    began = time.perf_counter()
    try:
        state = programs.abstract
        step = programs.advance.lower(params, state, rows, leaf((), jnp.int32)).compile()
        prompt = programs.admit.lower(params, state, prompts).compile()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e) and "hbm" not in str(e).lower():
            raise
        seconds = time.perf_counter() - began
        return dataclasses.replace(report, seconds=seconds, refusal=shortfall(str(e)))
    text = step.as_text()
    if hlo_path:
        pathlib.Path(hlo_path).write_text(text)
    return dataclasses.replace(
        report,
        seconds=time.perf_counter() - began,
        decode=hlo.memory(step),
        prefill=hlo.memory(prompt),
        # The loop over steps ends by what it finds, so its body is counted once.
        collectives=hlo.collective_bytes(text),
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
    return sharding.bytes_per_device(tree, jax.tree.map(lambda x: x.sharding, tree))
