"""A published model in a folder: what it is, and its arrays on our devices.

source = open_source("FOLDER_OR_HUB_ID")
model = ModelDef.of(build(source.config))
params, buffers = source.load(model.abstract_params, model.abstract_buffers)
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from medvlp_jax.core.config import ConfigError, parse, to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.weights import bare, loading, rows, settings
from medvlp_jax.weights.families import (
    FAMILIES,
    MODEL_TYPES,
    Family,
    Pixels,
    Side,
    tower_rows,
)
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files import hub
from medvlp_jax.weights.files.tensors import Checkpoint, open_checkpoint
from medvlp_jax.weights.settings import check_sizes, read_json

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
        return self._said_pixels() or self.family.pixels

    def _said_pixels(self) -> Pixels | None:
        for name, group, mean, std in _PIXELS:
            file = self.folder / name
            found = read_json(file) if file.is_file() else {}
            found = settings.group(found, group) if group else found
            if found.get(mean) and found.get(std):
                return Pixels(_numbers(found[mean], file, mean), _numbers(found[std], file, std))
        return None

    @property
    def note(self) -> str:
        """What a user must do to images that the model does not do itself, or what was taken for
        granted about them; mostly nothing."""
        if self.family.name == "open_clip" and self._said_pixels() is None:
            return "preprocess_cfg has no mean and std: images are normalised as for OpenAI's CLIP"
        known = bare.PUBLICATIONS.get(self.family.name)
        return known.note if known else ""

    def load(
        self,
        abstract_params: Mapping[str, Any],
        abstract_buffers: Mapping[str, Any] | None = None,
        *,
        dtype: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """All arrays of the model; see :func:`medvlp_jax.weights.loading.load`."""
        return loading.load(
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
        if self.family.part == "towers":
            with _described(self.weights, self.family.name):
                family, shapes = bare.tower(self.family.name, side, _raw_shapes(self.weights))
                config = _checked(family.config_from({}, shapes, self.folder))
            return dataclasses.replace(self, family=family, config=config)
        if self.family.part == "blip" and side == "text":
            raise WeightsError(
                f"{self.folder} is a BLIP, whose text side is no tower of its own; give it to "
                "config.model.init of a model with name='blip', or use its vision tower alone"
            )
        if self.family.part not in ("clip", "blip"):
            raise WeightsError(f"{self.folder} is a {self.family.part} tower, no {side} tower")
        rows = tower_rows(self.family.table(self.config), side)
        family = dataclasses.replace(self.family, part=side, table=lambda _: rows)
        return dataclasses.replace(self, family=family, config=getattr(self.config, side))


def open_source(name: str | os.PathLike[str], family: str = "") -> Source:
    """Recognises a model.

    Args:
      name: a folder, a weights file with its settings beside it, or a hub id; a family and a colon
        may stand before it (``gloria:chexpert_resnet50.ckpt``).
      family: a key of :data:`FAMILIES` or :data:`medvlp_jax.weights.bare.BARE`; empty: found out by
        the settings, else by tensor names.

    Raises:
      WeightsError: nothing is there, it cannot be read, or no family knows it.
    """
    family, name = split_family(os.fspath(name), family)
    path = hub.find(name)
    folder = path if path.is_dir() else path.parent
    if family and family not in KNOWN:
        raise WeightsError(f"family {family!r} is not one of {', '.join(KNOWN)}")
    found = KNOWN[family] if family else _recognise(folder, path)
    weights = _weights(path, found)
    file = folder / found.settings
    given = read_json(file) if found.settings and file.is_file() else {}
    with _described(file if given else weights, found.name):
        check_sizes(given)
        config = _checked(found.config_from(given, _shapes(weights, found), folder))
    return Source(folder, weights, found, config)


#: Every family that can be read.
KNOWN = FAMILIES | bare.BARE


def _numbers(values: Any, file: pathlib.Path, key: str) -> tuple[float, ...]:
    """One finite number per channel; a deviation of 0 would divide by it."""
    good = isinstance(values, list | tuple) and len(values) in (1, 3)
    good = good and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    if not good or ("std" in key and min(values) <= 0):
        raise WeightsError(f"{file}: {key}={values!r:.80} must be one or three numbers")
    return tuple(map(float, values))


def split_family(name: str, family: str = "") -> tuple[str, str]:
    """The family that stands before a name and a colon, and the name.

    Raises:
      WeightsError: another one is given.
    """
    first, colon, rest = name.partition(":")
    if colon and first in KNOWN and not pathlib.Path(name).exists():
        if family not in ("", first):
            raise WeightsError(f"{name} names the family {first}, and --family={family}")
        return first, rest
    return family, name


@contextlib.contextmanager
def _described(file: pathlib.Path, family: str) -> Iterator[None]:
    """Errors of a file's settings, with its name before them."""
    try:
        with one_net(
            file,
            "give another --family, or mend it",
            WeightsError,
            f"does not describe a {family} model",
        ):
            yield
    except (WeightsError, ConfigError) as error:
        text = str(error)
        raise WeightsError(text if text.startswith(str(file)) else f"{file}: {text}") from error


def _checked(config: Any) -> Any:
    """The config again, with the type of every field looked at."""
    if config is not None:
        parse(type(config), to_plain(config), "our config")
    return config


def _recognise(folder: pathlib.Path, path: pathlib.Path) -> Family:
    # Settings in its folder may be those of another file (BioViL's image tower beside its BERT).
    if path.is_file() and (found := bare.recognise(_open(path).tensors.keys())):
        return KNOWN[found]
    if (folder / "open_clip_config.json").is_file() and _is_open_clip(folder, path):
        return FAMILIES["open_clip"]
    file = folder / "config.json"
    given = read_json(file) if file.is_file() else {}
    word = given.get("model_type", "")
    word = MODEL_TYPES.get(word, word) if isinstance(word, str) else repr(word)[:40]
    if word in FAMILIES:
        return FAMILIES[word]
    architecture = str(given.get("architecture", ""))
    for start, name in _ARCHITECTURES:
        if architecture.startswith(start):
            return FAMILIES[name]
    kind = word or architecture
    if kind:
        raise WeightsError(f"{file} says {kind!r:.80}; known are {', '.join(FAMILIES)}")
    return _by_names(given, path, file if given else path)


#: How timm's names of models begin, and their family.
_ARCHITECTURES = (
    ("densenet", "torchvision_densenet"),
    ("vit_", "timm_vit"),
    ("resnet", "torchvision_resnet"),
)


def _by_names(given: Mapping[str, Any], path: pathlib.Path, where: pathlib.Path) -> Family:
    """The family of a file whose settings do not say what it is, or that has none."""
    tensors = _open(path).tensors
    names = set(tensors)
    if given:
        # Old files of BERT; a RoBERTa has the same names, and one row of token types.
        bert = any(name.startswith("bert.encoder.layer.") for name in names)
        if bert or given.get("type_vocab_size", 1) != 1:
            return FAMILIES["bert"]
    elif "layer1.0.conv1.weight" in names:  # torchvision has no settings
        return FAMILIES["torchvision_resnet"]
    elif stem := next((n for n in names if n.endswith("features.conv0.weight")), ""):
        return FAMILIES["xrv_densenet" if tensors[stem].shape[1] == 1 else "torchvision_densenet"]
    if found := bare.recognise(names):
        return KNOWN[found]
    if bare.is_clip(names):
        raise WeightsError(
            f"{where} is a CLIP, and nothing says which: OpenAI's and models made from it "
            "(--family=openai_clip, CheXzero: --family=chexzero), or one of open_clip (put its "
            "open_clip_config.json beside it)"
        )
    raise WeightsError(
        f"{where} does not say what it is: there is no config.json with a model_type; "
        f"--family names it, one of {', '.join(KNOWN)}"
    )


def _is_open_clip(folder: pathlib.Path, path: pathlib.Path) -> bool:
    # Repositories may hold the same model in both layouts, each with its own weights file.
    if path.is_file():
        return path.name.startswith("open_clip")
    own = any((folder / name).is_file() for name in _OPEN_CLIP)
    others = any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))
    return own or not others


def _weights(path: pathlib.Path, family: Family) -> pathlib.Path:
    if not path.is_dir():
        return path
    names = _OPEN_CLIP if family.name == "open_clip" else (family.weights,)
    return next((path / name for name in names if (path / name).is_file()), path)


def _open(path: pathlib.Path) -> Checkpoint:
    # Faults of the files are for the reading to report, with everything else that is wrong.
    return open_checkpoint(path, Faults())


def _raw_shapes(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in _open(path).tensors.items()}


def _shapes(path: pathlib.Path, family: Family) -> dict[str, tuple[int, ...]]:
    return {rows.new_name(n, family.rename): s for n, s in _raw_shapes(path).items()}
