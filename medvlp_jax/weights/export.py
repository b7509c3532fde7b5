"""Models of ours as folders that other libraries load, wherever the folder is moved."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import one_net
from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights import saving
from medvlp_jax.weights.families import FAMILIES, Family
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import UNKNOWN, Inputs, write_tokenizer


def family_of(layout: str, config: Any) -> Family:
    """The layout of a name, for a model of its kind.

    Raises:
      WeightsError: there is none, or it is one for other models.
    """
    if layout not in FAMILIES:
        raise WeightsError(f"layout {layout!r} is not one of {', '.join(FAMILIES)}")
    family = FAMILIES[layout]
    kinds = {CLIPConfig: "clip", BlipConfig: "blip", TextConfig: "text"}
    kind = kinds.get(type(config), "vision")
    if kind != family.part:
        raise WeightsError(
            f"the {layout} layout is for a {_WORDS[family.part]}, and this is a {_WORDS[kind]}"
        )
    return family


_WORDS = {
    "clip": "whole CLIP",
    "blip": "whole BLIP",
    "vision": "vision tower",
    "text": "text tower",
}


def check_fits(
    layout: str, config: Any, params: Mapping[str, Any], inputs: Inputs = UNKNOWN
) -> None:
    """Whether a layout can hold a model.

    Raises:
      WeightsError: it cannot; the message says why.
    """
    _prepared(family_of(layout, config), config, params, inputs)


def export(
    folder: str | os.PathLike[str],
    layout: str,
    config: Any,
    params: Mapping[str, Any],
    buffers: Mapping[str, Any] | None = None,
    *,
    inputs: Inputs = UNKNOWN,
    dtype: str | None = None,
) -> None:
    """Writes a model so that the library of a layout loads it and scores as we do.

    Args:
      folder: is made if need be.
      layout: a key of :data:`FAMILIES`.
      config: ours.
      params: nested dict of arrays, on any sharding.
      buffers: the same for what is no parameter.
      inputs: how images and texts are prepared; settings and tokenizer are written beside the
        weights.
      dtype: of the floating tensors; None: as they are.

    Raises:
      WeightsError: the layout cannot express the model, or the folder cannot be written.
    """
    family, folder = family_of(layout, config), pathlib.Path(folder)
    config, params, files = _prepared(family, config, params, inputs)
    if family.part == "blip":
        buffers = None  # averages and queue are of training
    saving.save(
        folder,
        family.table(config),
        params,
        buffers,
        configs=files,
        dtype=dtype,
        name=family.weights,
    )
    if family.part != "vision":
        write_tokenizer(inputs, folder)


def _prepared(
    family: Family, config: Any, params: Mapping[str, Any], inputs: Inputs
) -> tuple[Any, Mapping[str, Any], dict[str, dict[str, Any]]]:
    for fold in family.fold:
        config, params = fold(config, params)
    if family.fold:
        inputs = inputs.in_colour()
    # A layout looks at the fields of its own architecture, which another one lacks.
    mend = "give another --layout"
    verb = f"layout cannot hold a {type(config).__name__.removesuffix('Config')} of this kind"
    with one_net(f"the {family.name}", mend, WeightsError, verb):
        files = family.config_to(config, inputs)
    return config, params, files
