"""Towers of a training run that start from published weights.

``config.model.vision.init`` and ``config.model.text.init`` name a folder or a hub id; the tower's
sizes then come from there, and the run's config holds them in full, so that its checkpoints can be
read without that folder. ``config.model.init`` does the same for a whole CLIP (both towers, both
projections, scale and bias) or a whole BLIP.
"""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from medvlp_jax.core.config import ConfigError, to_plain
from medvlp_jax.core.optim import Optimizer
from medvlp_jax.core.state import ModelDef, Path, TrainState, combine, flatten, path_str, unflatten
from medvlp_jax.models.blip.momentum import NAME as MOMENTUM
from medvlp_jax.models.blip.momentum import QUEUE
from medvlp_jax.models.towers import TOWERS
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights import bare
from medvlp_jax.weights.families import Pixels, build
from medvlp_jax.weights.faults import Faults
from medvlp_jax.weights.source import Source, open_source

_log = logging.getLogger(__name__)

#: Type of a tower's config -> the preset of it whose sizes are all spelled out: the first one.
_PRESET: dict[type[Any], str] = {}
for _presets in TOWERS.values():
    for _name, _preset in _presets.items():
        _PRESET.setdefault(type(_preset), _name)
#: What a run decides for itself, whatever the weights were trained with.
_OWN = {
    "name",
    "image_size",
    "dropout",
    "patch_dropout",
    "dtype",
    "remat",
    "unroll",
    "attention",
    "init_std",
    "momentum",
    "zero_init",
}
#: What a run may say differently from the weights' own settings.
_MAY_SAY = {"pool", "activation", "max_length"}
#: Parameters that a run may have and weights may lack; they keep their fresh values.
_LACKING = {("temperature",)}


class Expanded(NamedTuple):
    """What :func:`expand` found.

    Attributes:
      model: ``config.model`` with the sizes that the weights say, and without ``init`` keys.
      inits: ``vision``, ``text`` or ``model`` -> the folder or hub id that it starts from.
      pixels: mean and deviation that the vision weights expect, on the scale 0..1; None without
        such weights.
      tokenizer: where the text weights' tokenizer lies; empty without such weights.
    """

    model: dict[str, Any]
    inits: dict[str, str]
    pixels: Pixels | None = None
    tokenizer: str = ""


def expand(config: Mapping[str, Any], channels: int) -> Expanded:
    """Replaces every ``init`` in ``config.model`` by the sizes of what it names.

    Args:
      config: the group, as plain values; it is not changed.
      channels: of the run's images.

    Raises:
      ConfigError: the group contradicts the weights.
      WeightsError: the weights cannot be found or understood.
    """
    model: dict[str, Any] = to_plain(config)
    whole = model.pop("init", "")
    names = {side: model.get(side, {}).pop("init", "") for side in ("vision", "text")}
    if whole and any(names.values()):
        raise ConfigError("config.model.init names both towers; drop vision.init and text.init")
    opened: Source | None = None
    if whole:
        opened = _joint(model, whole)
        names = dict.fromkeys(names, whole)
    pixels, tokenizer = None, ""
    for side, name in names.items():
        if not name:
            continue
        if opened is None:
            source = open_source(name).tower("vision" if side == "vision" else "text")
        else:
            source = dataclasses.replace(opened, config=getattr(opened.config, side))
        group = model.get(side, {})
        model[side] = _tower(group, source.config, name, f"config.model.{side}")
        if side == "text":
            tokenizer = str(source.folder)
        elif source.config.channels != channels:
            raise ConfigError(
                f"{name} takes images of {source.config.channels} channels; set "
                f"config.data.image.channels={source.config.channels}"
            )
        else:
            pixels = source.pixels
    inits = {"model": whole} if whole else {side: name for side, name in names.items() if name}
    return Expanded(model, inits, pixels, tokenizer)


def _joint(model: dict[str, Any], name: str) -> Source:
    source = open_source(name)
    if source.family.part == "towers":
        why = bare.PUBLICATIONS[source.family.name].whole
        raise ConfigError(
            f"config.model.init={name} is no whole CLIP ({why}); give it to "
            "config.model.vision.init or config.model.text.init"
        )
    part, kind = source.family.part, type(source.config)
    if not hasattr(kind, "JOINT"):
        raise ConfigError(
            f"config.model.init={name} is a {part} tower; give it to config.model.{part}.init"
        )
    wanted = model.get("name", part)
    if wanted != part:
        raise ConfigError(
            f"config.model.init={name} is a {part}, and config.model.name={wanted!r}; name the "
            "weights of such a model"
        )
    for key in kind.JOINT:
        _agree(model, key, to_plain(getattr(source.config, key)), name, "config.model")
    return source


def _tower(group: Mapping[str, Any], config: Any, name: str, where: str) -> dict[str, Any]:
    sizes = {k: v for k, v in to_plain(config).items() if k not in _OWN}
    # A preset's name says sizes, which the weights say now.
    merged = {k: v for k, v in group.items() if k != "name"}
    for key, value in sizes.items():
        if key not in _MAY_SAY:
            _agree(merged, key, value, name, where)
    longest = sizes.get("max_length", 0)
    if merged.get("max_length", longest) > longest:
        raise ConfigError(
            f"{where}.max_length={merged['max_length']}: {name} has {longest} positions"
        )
    return {**sizes, **merged, "name": _PRESET[type(config)]}


def _agree(group: dict[str, Any], key: str, value: Any, name: str, where: str) -> None:
    given = group.setdefault(key, value)
    if isinstance(given, dict) and isinstance(value, dict):
        given = {**value, **given}
    if given != value:
        raise ConfigError(
            f"{where}.{key}={group[key]!r} contradicts {name}, where it is {value!r}; say that or "
            "leave it out"
        )


def start(
    state: TrainState, optimizer: Optimizer, config: Any, inits: Mapping[str, str]
) -> TrainState:
    """A fresh state whose towers hold published weights.

    Position tables are resized to the run's image size (bicubic, as transformers does in a forward
    pass) and cut to its text length. What the weights do not cover keeps its fresh values.

    Args:
      state: fresh (``core.step.init_state``); gives shapes and shardings.
      optimizer: says which parameters are frozen.
      config: of the run's model.
      inits: from :func:`expand`.

    Raises:
      WeightsError: the weights do not fit the model; every fault is listed.
    """
    params = flatten(combine(state.params, state.frozen))
    buffers = flatten(state.buffers)
    for part, name in inits.items():
        source = open_source(name)
        if part in ("vision", "text"):
            source = source.tower(part)
        prefix: Path = () if part == "model" else (part,)
        loaded = _load(source, params, buffers, prefix, config, f"config.model init from {name}")
        params |= loaded[0]
        buffers |= loaded[1]
        _log.info("%s from %s (%s)", part, name, source.family.name)
        if source.note:
            _log.warning("%s: %s", name, source.note)
    trained, frozen = optimizer.split(unflatten(params))
    return dataclasses.replace(
        state,
        params=trained,
        frozen=frozen,
        buffers=unflatten(buffers),
        ema=jax.tree.map(jnp.copy, trained) if state.ema else state.ema,
    )


Flat = dict[Path, Any]


def _load(
    source: Source, params: Flat, buffers: Flat, prefix: Path, config: Any, where: str
) -> tuple[Flat, Flat]:
    model = ModelDef.of(build(source.config))
    wanted = [
        _like(flatten(tree), ours, prefix)
        for tree, ours in ((model.abstract_params, params), (model.abstract_buffers, buffers))
    ]
    loaded = source.load(*(unflatten(tree) for tree in wanted))
    faults = Faults()
    results: list[Flat] = []
    for tree, ours in zip(loaded, (params, buffers), strict=True):
        found: Flat = {}
        for path, value in flatten(tree).items():
            full = (*prefix, *path)
            if full in ours:
                fitted = _fit(value, full, ours[full], source.config, config)
                if fitted is None:
                    faults.add(
                        "parameters of another shape",
                        f"{path_str(full)} is {ours[full].shape}, there {value.shape}",
                    )
                found[full] = fitted
        inside = {p for p in ours if p[: len(prefix)] == prefix and p not in _LACKING}
        inside -= {p for p in inside if p[0] in (MOMENTUM, QUEUE)}
        for path in sorted(inside - found.keys()):
            faults.add("parameters without weights", path_str(path))
        results.append(found)
    faults.stop(where)
    return results[0], results[1]


def _like(abstract: Flat, ours: Flat, prefix: Path) -> Flat:
    """The abstract leaves, to be placed where the run's arrays of the same shape lie."""
    found: Flat = {}
    for path, leaf in abstract.items():
        own = ours.get((*prefix, *path))
        same = own is not None and own.shape == leaf.shape
        found[path] = jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=own.sharding if own is not None and same else None
        )
    return found


def _fit(value: jax.Array, path: Path, own: jax.Array, source: Any, config: Any) -> Any:
    """``value`` in the shape and place of ``own``, or None if that cannot be."""
    if value.shape == own.shape:
        return value
    if path == ("vision", "positions") and isinstance(config.vision, ViTConfig):
        there = getattr(source, "vision", source)
        prefix = int(there.class_token)
        grid = there.positions_for(value[prefix:], config.vision.grid)
        value = jnp.concatenate([value[:prefix], grid])
    elif path == ("text", "embed", "positions"):
        value = value[: own.shape[0]]
    return jax.device_put(value, own.sharding) if value.shape == own.shape else None
