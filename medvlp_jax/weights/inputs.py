"""What becomes of an image and a text before a model sees them, as other libraries are told it.

Weights without it score wrongly and say nothing: other pixel statistics, another tokenizer, a text
pooled at another token. So an export writes it beside the weights, in the words of its layout.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.settings import group, read_json

Resize = Literal["shortest", "pad", "stretch"]

#: ``Inputs.end`` of a text tower that pools where the largest id stands (CLIP's first layouts).
LARGEST = -1
#: Our word for a resize -> that of open_clip.
_RESIZES: dict[Resize, str] = {"shortest": "shortest", "pad": "longest", "stretch": "squash"}
#: ``resample`` of transformers (PIL's numbers).
_FILTERS = {2: "bilinear", 3: "bicubic"}
#: Files of a tokenizer that travel with the weights.
TOKENIZER_FILES = (
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "chat_template*",
)


class Pixels(NamedTuple):
    """Mean and standard deviation per channel that images are normalised by, on the scale 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What an export says about inputs; None and empty values are not known.

    Attributes:
      pixels: how images are normalised.
      obstacle: why no fixed normalisation describes the pixels; empty where one does.
      resize: how an image becomes a square, in the words of ``data.images.geometry``.
      interpolation: of that resize.
      length: tokens to which texts are cut, and padded where a tower sees its padding.
      start, end, pad: ids of the tokens that stand before, behind and in place of a text;
        ``end`` may be :data:`LARGEST`.
      tokenizer: a folder with the tokenizer's files.
      text_id: hub id whose ``config.json`` describes the text tower.
      tokenizer_id: hub id of the tokenizer.
    """

    pixels: Pixels | None = None
    obstacle: str = ""
    resize: Resize = "shortest"
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    length: int = 0
    start: int | None = None
    end: int | None = None
    pad: int | None = None
    tokenizer: pathlib.Path | None = None
    text_id: str = ""
    tokenizer_id: str = ""

    def in_colour(self) -> "Inputs":
        """The same for images of three channels."""
        if self.pixels is None or len(self.pixels.mean) == len(self.pixels.std) == 3:
            return self
        mean, std = (x * (3 // len(x)) for x in self.pixels)
        return dataclasses.replace(self, pixels=Pixels(mean, std))


#: Of a model without a folder or run that says more.
UNKNOWN = Inputs()


def of_folder(folder: pathlib.Path, pixels: Pixels) -> Inputs:
    """What the files of published weights say.

    Args:
      folder: of the weights.
      pixels: what is known of the normalisation already.
    """
    open_clip, config = (_maybe(folder / name) for name in _SETTINGS)
    text = group(group(open_clip, "model_cfg") or open_clip, "text_cfg")
    tokenizer = folder if any((folder / name).is_file() for name in _TOKENIZERS) else None
    found = Inputs(
        pixels=pixels,
        tokenizer=tokenizer,
        text_id=hub_id(text.get("hf_model_name"), folder),
        tokenizer_id=hub_id(text.get("hf_tokenizer_name"), folder),
        **_resize(folder, group(open_clip, "preprocess_cfg")),
    )
    if open_clip:
        end = text.get("eos_id", 2) if text.get("pool_type") == "eos" else LARGEST
        # 77 is what open_clip cuts texts to where its settings do not say.
        return dataclasses.replace(found, length=text.get("context_length", 77), end=end)
    ids = config.get("text_config") or config
    end = ids.get("eos_token_id")
    return dataclasses.replace(
        found,
        start=ids.get("bos_token_id"),
        end=LARGEST if end == 2 else end if isinstance(end, int) else None,
        pad=ids.get("pad_token_id"),
    )


_SETTINGS = ("open_clip_config.json", "config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")


def _maybe(file: pathlib.Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def hub_id(name: Any, folder: pathlib.Path) -> str:
    """``name`` where it is the same on every machine."""
    if not isinstance(name, str) or name.startswith((".", "/", "~")):
        return ""
    local = pathlib.Path(name).is_dir() or (folder / name).is_dir()
    return "" if local or name.count("/") > 1 else name


def _resize(folder: pathlib.Path, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ours = {theirs: word for word, theirs in _RESIZES.items()}
    if given.get("resize_mode") in ours:
        found["resize"] = ours[given["resize_mode"]]
    if given.get("interpolation") in _FILTERS.values():
        found["interpolation"] = given["interpolation"]
    said = _maybe(folder / "preprocessor_config.json")
    if said:
        size = said.get("size")
        square = isinstance(size, dict) and "height" in size and not said.get("do_center_crop")
        found |= {"resize": "stretch" if square else "shortest"}
        found |= {"interpolation": _FILTERS.get(said.get("resample", 3), "bicubic")}
    return found


def open_clip_preprocess(inputs: Inputs, size: int) -> dict[str, Any]:
    """``preprocess_cfg`` of open_clip.

    Raises:
      WeightsError: open_clip cannot prepare images in this way.
    """
    _expressible(inputs, "open_clip")
    if inputs.pixels is None:
        return {}
    return {
        "size": size,
        "mode": "RGB",
        "mean": list(inputs.pixels.mean),
        "std": list(inputs.pixels.std),
        "interpolation": inputs.interpolation,
        "resize_mode": _RESIZES[inputs.resize],
        "fill_color": 0,
    }


def image_processor(inputs: Inputs, size: int) -> dict[str, dict[str, Any]]:
    """``preprocessor_config.json`` of transformers, by file name; none where nothing is known.

    Raises:
      WeightsError: transformers' processor of CLIP cannot prepare images in this way.
    """
    _expressible(inputs, "transformers")
    if inputs.pixels is None:
        return {}
    if inputs.resize == "pad":
        raise WeightsError(
            "transformers has no image processor that pads to a square (config.data.image.resize="
            "pad); the open_clip layout has"
        )
    square = {"height": size, "width": size}
    shortest = inputs.resize == "shortest"
    content = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size} if shortest else square,
        "resample": next(n for n, word in _FILTERS.items() if word == inputs.interpolation),
        "do_center_crop": shortest,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(inputs.pixels.mean),
        "image_std": list(inputs.pixels.std),
        "do_convert_rgb": True,
    }
    return {"preprocessor_config.json": content}


#: Our word for a resize -> ``crop_mode`` of timm.
_CROPS: dict[Resize, str] = {"shortest": "center", "pad": "border", "stretch": "squash"}


def unsaid(inputs: Inputs, channels: int) -> str:
    """Why the settings of a vision tower alone cannot say how images are prepared; empty where they
    can."""
    if inputs.pixels is None and not inputs.obstacle:
        return ""
    if inputs.obstacle:
        return inputs.obstacle
    return "" if channels == 3 else "they are grey, and image processors make three channels"


def timm_preprocess(inputs: Inputs, channels: int) -> dict[str, Any]:
    """The part of timm's ``pretrained_cfg`` about images; nothing where it cannot be said."""
    if inputs.pixels is None or unsaid(inputs, channels):
        return {}
    return {
        "mean": list(inputs.pixels.mean),
        "std": list(inputs.pixels.std),
        "interpolation": inputs.interpolation,
        "crop_pct": 1.0,
        "crop_mode": _CROPS[inputs.resize],
    }


def tower_processor(inputs: Inputs, size: int, channels: int) -> dict[str, dict[str, Any]]:
    """:func:`image_processor` of a vision tower alone; nothing where it cannot be said."""
    if unsaid(inputs, channels) or inputs.resize == "pad":
        return {}
    return image_processor(inputs.in_colour(), size)


def _expressible(inputs: Inputs, library: str) -> None:
    if inputs.obstacle:
        raise WeightsError(f"{library} cannot prepare images as this run does: {inputs.obstacle}")


def write_tokenizer(inputs: Inputs, to: pathlib.Path) -> None:
    """Copies the tokenizer's files, and says in them how long texts may be.

    Args:
      inputs: with ``tokenizer``; nothing is written without one.
      to: the folder of the weights.
    """
    if inputs.tokenizer is None:
        return
    for pattern in TOKENIZER_FILES:
        for file in inputs.tokenizer.glob(pattern):
            if file.is_file() and file.resolve() != (to / file.name).resolve():
                shutil.copy(file, to / file.name)
    file = to / "tokenizer_config.json"
    if inputs.length and file.is_file():
        said = read_json(file) | {"model_max_length": inputs.length}
        file.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
