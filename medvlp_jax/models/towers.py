"""The towers by name: what ``config.model.vision.name`` and ``config.model.text.name`` may be.

A new vision tower is a file with a config (see ``models.base``), a module and ``PRESETS``, and its
lines here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx

from medvlp_jax.core.config import ConfigError, parse, to_plain, unknown_word
from medvlp_jax.models import densenet, resnet, text_encoder, vit
from medvlp_jax.models.densenet import DenseNet, DenseNetConfig
from medvlp_jax.models.resnet import ResNet, ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViT, ViTConfig

VisionConfig = ViTConfig | ResNetConfig | DenseNetConfig
Vision = ViT | ResNet | DenseNet

#: ``config.model.vision.name``; the first three spell out their sizes.
VISION: dict[str, VisionConfig] = {
    "vit": ViTConfig(),
    "resnet": ResNetConfig(),
    "densenet": DenseNetConfig(),
    **vit.PRESETS,
    **resnet.PRESETS,
    **densenet.PRESETS,
}
#: ``config.model.text.name``.
TEXT: dict[str, TextConfig] = {"bert": TextConfig(), **text_encoder.PRESETS}
#: Groups of ``config.model`` that are towers.
TOWERS: dict[str, Mapping[str, Any]] = {"vision": VISION, "text": TEXT}


def build_vision(config: VisionConfig, *, rngs: nnx.Rngs) -> Vision:
    """The tower that a config describes."""
    return config.build(rngs=rngs)


def spell_out(config: Mapping[str, Any], sides: tuple[str, ...], where: str) -> dict[str, Any]:
    """A group of config keys with the values of its towers' presets.

    ``vision.name`` and ``text.name`` pick a preset (:data:`VISION`, :data:`TEXT`); the other keys
    of these groups replace its values. ``dtype`` and ``remat`` at the top apply to all towers
    unless a tower has its own.

    Raises:
      ConfigError: an unknown preset or key, or a wrong type; the message names the key.
    """
    tree = to_plain(config)
    shared = {key: tree[key] for key in ("dtype", "remat") if key in tree}
    tree.pop("remat", None)
    for side in sides:
        given = tree.get(side, {})
        tree[side] = to_plain(_from_preset(TOWERS[side], given, shared, f"{where}.{side}"))
    return tree


def _from_preset(
    presets: Mapping[str, Any], group: dict[str, Any], shared: dict[str, Any], where: str
) -> Any:
    name = group.get("name", next(iter(presets)))
    if not isinstance(name, str) or name not in presets:
        raise ConfigError(unknown_word(f"{where}.name", name, presets, "tower"))
    preset = presets[name]
    fields = {f.name for f in dataclasses.fields(preset)}
    inherited = {key: value for key, value in shared.items() if key in fields}
    return parse(type(preset), {**to_plain(preset), **inherited, **group}, where)
