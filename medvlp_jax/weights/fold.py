"""The same function in another form: what a layout lacks is folded into weights that it has.

Each takes a config and nested dicts of parameters and gives both again; the outputs stay what they
were, up to rounding in the last place.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from medvlp_jax.core.state import Path, flatten, unflatten
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.densenet import DenseNetConfig
from medvlp_jax.models.towers import VisionConfig
from medvlp_jax.models.vit import ViTConfig

Params = Mapping[str, Any]
#: Shares of red, green and blue in grey (ITU-R BT.601), as ``images.decoding.to_gray`` mixes them.
LUMINANCE = (0.299, 0.587, 0.114)
#: A tanh of so small a multiple is the multiple itself, as exactly as float32 can say.
SMALL = 2.0**-12

Folded = tuple[CLIPConfig, dict[str, Any]]


#: Parameters that losses between regions and words train, and no layout knows.
LOCAL = ("patch_proj", "token_proj", "prototypes")


def without_local(config: CLIPConfig, params: Params) -> Folded:
    """Whole images and texts alone; heads that only a local loss trains are left out."""
    config = dataclasses.replace(config, patch_map="last", token_map="shared", prototypes=0)
    return config, {name: tree for name, tree in params.items() if name not in LOCAL}


def to_colour(config: CLIPConfig, params: Params) -> Folded:
    """A tower of grey images as one of colour images: its first layer mixes the channels to grey.

    A tower that has three channels already, or a stem that mixes pixels before it, stays.
    """
    path = _first_kernel(config.vision)
    if path is None or config.vision.channels != 1:
        return config, dict(params)
    flat = flatten(params)
    share = jnp.asarray(LUMINANCE, flat[path].dtype)[:, None]
    flat[path] = flat[path] * share  # [y, x, 1, out] -> [y, x, 3, out]
    return _with_vision(config, channels=3), unflatten(flat)


def _first_kernel(vision: VisionConfig) -> Path | None:
    if isinstance(vision, ViTConfig):
        return ("vision", "embed", "kernel") if vision.stem == "patch" else None
    whole = isinstance(vision, DenseNetConfig) or vision.stem == "v1"
    return ("vision", "stem_conv", "kernel") if whole else None


def patch_bias_into_positions(config: CLIPConfig, params: Params) -> Folded:
    """A ViT without a bias on its patches: every patch's position holds the bias instead."""
    vision = config.vision
    if not isinstance(vision, ViTConfig) or vision.stem != "patch" or not vision.patch_bias:
        return config, dict(params)
    flat = flatten(params)
    bias = flat.pop(("vision", "embed", "bias"))
    positions = flat["vision", "positions"]
    flat["vision", "positions"] = positions.at[int(vision.class_token) :].add(bias)
    return _with_vision(config, patch_bias=False), unflatten(flat)


def straight_pooler(config: CLIPConfig, params: Params) -> Folded:
    """Adds BERT's pooler, which our towers lack, as one that passes the first token on.

    Its tanh is straight around zero: the pooler makes its input small and the projection behind it
    makes it large again. The factor is a power of two, so that neither rounds.
    """
    flat = flatten(params)
    kernel = flat["text_proj", "out", "kernel"]
    width = config.text.width
    flat["text", "pooler", "kernel"] = jnp.eye(width, dtype=kernel.dtype) * SMALL
    flat["text", "pooler", "bias"] = jnp.zeros(width, kernel.dtype)
    flat["text_proj", "out", "kernel"] = kernel / SMALL
    return config, unflatten(flat)


def unit_layer_scale(config: CLIPConfig, params: Params) -> Folded:
    """A ViT with gains of one on its branches, where it has none."""
    vision = config.vision
    if not isinstance(vision, ViTConfig) or vision.layer_scale is not None:
        return config, dict(params)
    flat = flatten(params)
    ones = jnp.ones_like(flat["vision", "blocks", "norm1", "scale"])
    flat |= {("vision", "blocks", name): ones for name in ("scale1", "scale2")}
    return _with_vision(config, layer_scale=1.0), unflatten(flat)


def _with_vision(config: CLIPConfig, **changes: Any) -> CLIPConfig:
    return dataclasses.replace(config, vision=dataclasses.replace(config.vision, **changes))
