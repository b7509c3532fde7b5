"""A language model from the folder that its own library saved, and back."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.sharding import MeshConfig, make_mesh, tree_shardings
from medvlp_jax.core.state import ModelDef, flatten, unflatten
from medvlp_jax.core.step import abstract_model
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.models.lm.linear import Storage, quantize
from medvlp_jax.weights import loading, saving, settings
from medvlp_jax.weights.tables import biogpt, gemma, gpt2, llama, qwen

#: ``model_type`` of a ``config.json`` -> its table.
FAMILIES: dict[str, ModuleType] = {
    "llama": llama,
    "mistral": llama,
    "qwen2": qwen,
    "qwen3": qwen,
    "gemma": gemma,
    "gemma2": gemma,
    "gemma3_text": gemma,
    "gemma3": gemma,  # with images (MedGemma): its text part is read
    "gpt2": gpt2,
    "biogpt": biogpt,
}

#: ``overrides`` of :func:`load`, by its ``storage``, with which CPUs decode fastest.
CPU_DECODING: dict[Storage, dict[str, Any]] = {
    "float": {"stacked": False, "kernel_layout": "out_in"},
    "int8": {"stacked": False},
}


@dataclasses.dataclass(frozen=True)
class LoadedLM:
    """A language model with its arrays on a mesh.

    Attributes:
      folder_config: what ``config.json`` and ``generation_config.json`` say, the latter winning.
    """

    config: LMConfig
    model_def: ModelDef
    params: dict[str, Any]
    mesh: Mesh
    folder_config: dict[str, Any]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids after which the model has nothing more to say."""
        ids = self.folder_config.get("eos_token_id")
        return () if ids is None else tuple(ids) if isinstance(ids, list) else (int(ids),)


def family(folder_config: Mapping[str, Any]) -> ModuleType:
    """The table of a ``config.json``.

    Raises:
      UserError: a ``model_type`` that there is no table for.
    """
    kind = folder_config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"config.json: model_type {kind!r} is no language model that can be loaded; there are "
            f"{', '.join(FAMILIES)}"
        )
    return FAMILIES[kind]


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """``config.json``, and what ``generation_config.json`` says beyond it or otherwise.

    Raises:
      UserError: there is no ``config.json``, or it is no JSON.
    """
    merged: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        path = pathlib.Path(folder) / name
        if not path.exists():
            if name == "config.json":
                raise UserError(f"{path} does not exist: give the folder of a language model")
            continue
        try:
            merged.update(json.loads(read_bytes(path).decode()))
        except ValueError as error:
            raise UserError(f"{path} is no JSON ({error}): copy it again") from error
    return merged


def load(
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    storage: Storage = "float",
    mesh: Mesh | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> LoadedLM:
    """Loads a folder of safetensors with its ``config.json``.

    Args:
      folder: as ``transformers`` saves it; sharded files are read one tensor at a time.
      dtype: of the parameters and of the computation; kernels of ``storage="int8"`` are made from
        these.
      storage: ``int8`` keeps kernels as int8 with a scale per output channel.
      mesh: where the parameters go; one device by default.
      overrides: other fields of :class:`LMConfig`, such as ``unroll`` or ``remat``.

    Raises:
      UserError: no such folder, a family that is not built, or a checkpoint that does not fit.
    """
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1]) if mesh is None else mesh
    found = read_config(folder)
    tables = family(found)
    config = dataclasses.replace(tables.config_from(found), dtype=dtype, **(overrides or {}))
    model_def = ModelDef.of(build_lm(config))
    params, buffers = abstract_model(model_def, mesh)
    params, _ = loading.load(
        folder, tables.table(config), params, buffers, dtype=dtype, rename=tables.RENAME
    )
    if storage == "int8":
        config = dataclasses.replace(config, storage="int8")
        model_def = ModelDef.of(build_lm(config))
        places = tree_shardings(model_def.abstract_params, model_def.logical_axes, mesh)
        # One leaf at a time, each freed before the next: both models at once may not fit.
        params = _quantize_in_turn(params, places)
    return LoadedLM(config, model_def, params, mesh, found)


def _quantize_in_turn(params: Any, places: Any) -> dict[str, Any]:
    source, goal = flatten(params), flatten(places)
    out: dict[tuple[str, ...], Any] = {}
    while source:
        path, leaf = source.popitem()
        new = jax.eval_shape(quantize, unflatten({path: leaf}))
        where = unflatten({p: goal[p] for p in flatten(new)})
        done = jax.jit(quantize, out_shardings=where)(unflatten({path: leaf}))
        out.update(flatten(jax.block_until_ready(done)))
    return unflatten({p: out[p] for p in goal})


def save(
    folder: str | os.PathLike[str],
    config: LMConfig,
    params: Mapping[str, Any],
    *,
    model_type: str = "",
    extra: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> None:
    """Writes weights and ``config.json`` so that ``transformers`` loads them.

    Args:
      folder: is made if need be.
      config: of a model with float kernels and without LoRA (``merge_lora`` first).
      params: its parameters.
      model_type: a key of :data:`FAMILIES`; by default the one that the options belong to.
      extra: further keys of ``config.json``, such as ``eos_token_id``.
      dtype: of the stored tensors; None for that of the parameters.

    Raises:
      UserError: the family has no such model.
    """
    if config.storage != "float" or config.lora is not None:
        raise UserError("export needs float kernels and merged LoRA: merge_lora(params), no int8")
    tables = FAMILIES[model_type or _kind(config)]
    stored = dtype or str(jnp.dtype(jax.tree.leaves(params)[0].dtype))
    content = {**tables.config_to(config), "dtype": stored, "torch_dtype": stored, **(extra or {})}
    settings.expect_same(config, tables.config_from(content), content["model_type"])
    saving.save(folder, tables.table(config), params, configs={"config.json": content}, dtype=dtype)


def _kind(config: LMConfig) -> str:
    if config.positions == "learned":
        return "biogpt" if config.embed_scaled else "gpt2"
    if config.norm == "rms_unit":
        return "gemma"
    if config.qk_norm:
        return "qwen3"
    return "llama" if config.qkv_bias == config.out_bias else "qwen2"
