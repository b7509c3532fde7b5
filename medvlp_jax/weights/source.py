"""A published model in a folder: what it is, and its arrays on our devices.

source = open_source("FOLDER_OR_HUB_ID")
model = ModelDef.of(build(source.config))
params, buffers = source.load(model.abstract_params, model.abstract_buffers)
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from medvlp_jax.weights import convert, hub
from medvlp_jax.weights.families import (
    FAMILIES,
    MODEL_TYPES,
    Family,
    Pixels,
    Side,
    tower_rows,
)
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files import Checkpoint, open_checkpoint
from medvlp_jax.weights.settings import read_json

#: Weights files of open_clip.
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
#: Where folders say how images are normalised: file, group in it, names of the two values.
_PIXELS = (
    ("open_clip_config.json", "preprocess_cfg", "mean", "std"),
    ("preprocessor_config.json", "", "image_mean", "image_std"),
    ("config.json", "pretrained_cfg", "mean", "std"),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A recognised folder.

    Attributes:
      weights: folder or file that the tensors are read from.
      config: ours: of a tower, or of a whole CLIP.
    """

    folder: pathlib.Path
    weights: pathlib.Path
    family: Family
    config: Any

    @property
    def pixels(self) -> Pixels:
        """How images are normalised for these weights: by the folder's files, else the family's."""
        for name, group, mean, std in _PIXELS:
            file = self.folder / name
            found = read_json(file) if file.is_file() else {}
            found = found.get(group, {}) if group else found
            if found.get(mean) and found.get(std):
                return Pixels(tuple(found[mean]), tuple(found[std]))
        return self.family.pixels

    def load(
        self,
        abstract_params: Mapping[str, Any],
        abstract_buffers: Mapping[str, Any] | None = None,
        *,
        dtype: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """All arrays of the model; see :func:`medvlp_jax.weights.convert.load`."""
        return convert.load(
            self.weights,
            self.family.table(self.config),
            abstract_params,
            abstract_buffers,
            dtype=dtype,
            rename=self.family.rename,
        )

    def tower(self, side: Side) -> "Source":
        """One tower of a whole CLIP; a source that is this tower itself stays as it is.

        Raises:
          WeightsError: the source has no such tower.
        """
        if self.family.part == side:
            return self
        if self.family.part != "clip":
            raise WeightsError(f"{self.folder} is a {self.family.part} tower, no {side} tower")
        rows = tower_rows(self.family.table(self.config), side)
        family = dataclasses.replace(self.family, part=side, table=lambda _: rows)
        return dataclasses.replace(self, family=family, config=getattr(self.config, side))


def open_source(name: str | os.PathLike[str], family: str = "") -> Source:
    """Recognises a model.

    Args:
      name: a folder, a weights file with its settings beside it, or a hub id.
      family: a key of :data:`FAMILIES`; empty: found out by the settings, else by tensor names.

    Raises:
      WeightsError: nothing is there, it cannot be read, or no family knows it.
    """
    path = hub.find(name)
    folder = path if path.is_dir() else path.parent
    if family and family not in FAMILIES:
        raise WeightsError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
    found = FAMILIES[family] if family else _recognise(folder, path)
    weights = _weights(path, found)
    file = folder / found.settings
    given = read_json(file) if file.is_file() else {}
    try:
        config = found.config_from(given, _shapes(weights, found), folder)
    except WeightsError as error:
        raise WeightsError(f"{file if file.is_file() else weights}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file} does not describe a {found.name} model: {error!r}") from error
    return Source(folder, weights, found, config)


def _recognise(folder: pathlib.Path, path: pathlib.Path) -> Family:
    if (folder / "open_clip_config.json").is_file() and _is_open_clip(folder, path):
        return FAMILIES["open_clip"]
    file = folder / "config.json"
    given = read_json(file) if file.is_file() else {}
    word = given.get("model_type", "")
    word = MODEL_TYPES.get(word, word)
    if word in FAMILIES:
        return FAMILIES[word]
    architecture = given.get("architecture", "")
    if architecture.startswith("densenet"):
        return FAMILIES["torchvision_densenet"]
    if architecture.startswith("vit_"):
        return FAMILIES["timm_vit"]
    names = set() if given else _names(path)  # torchvision has no settings
    if any(name.endswith("features.conv0.weight") for name in names):
        grey = _open(path).tensors["features.conv0.weight"].shape[1] == 1
        return FAMILIES["xrv_densenet" if grey else "torchvision_densenet"]
    bare = "layer1.0.conv1.weight" in names
    if architecture.startswith("resnet") or bare:
        return FAMILIES["torchvision_resnet"]
    kind = word or architecture
    reason = (
        f"{file} says {kind!r}" if kind else f"{folder} has no config.json that says what it is"
    )
    raise WeightsError(f"{reason}; known are {', '.join(FAMILIES)}")


def _is_open_clip(folder: pathlib.Path, path: pathlib.Path) -> bool:
    # Repositories may hold the same model in both layouts, each with its own weights file.
    if path.is_file():
        return path.name.startswith("open_clip")
    own = any((folder / name).is_file() for name in _OPEN_CLIP)
    others = any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))
    return own or not others


def _weights(path: pathlib.Path, family: Family) -> pathlib.Path:
    names = _OPEN_CLIP if family.name == "open_clip" else (family.weights,)
    return next((path / name for name in names if (path / name).is_file()), path)


def _open(path: pathlib.Path) -> Checkpoint:
    # Faults of the files are for the reading to report, with everything else that is wrong.
    return open_checkpoint(path, Faults())


def _names(path: pathlib.Path) -> set[str]:
    return set(_open(path).tensors)


def _shapes(path: pathlib.Path, family: Family) -> dict[str, tuple[int, ...]]:
    tensors = _open(path).tensors
    return {
        convert.new_name(name, family.rename): tuple(tensor.shape)
        for name, tensor in tensors.items()
    }
