"""The architectures of encoders whose weights can be read and written, by explicit name.

A family knows how to recognise its folder, how settings there and a config of ours become each
other, and which table names the tensors.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from flax import nnx

from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.weights.fold import straight_pooler, to_colour, unit_layer_scale, without_local
from medvlp_jax.weights.inputs import (
    Inputs,
    Pixels,
    image_processor,
    timm_preprocess,
    tower_processor,
)
from medvlp_jax.weights.rows import Rename, Row
from medvlp_jax.weights.settings import group, read_json
from medvlp_jax.weights.tables import (
    bert,
    blip,
    clip,
    densenet,
    dual_encoder,
    open_clip,
    open_clip_export,
    resnet,
    roberta,
    siglip,
    timm_vit,
    vit,
)

Settings = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]
Side = Literal["vision", "text"]


IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = Pixels((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: torchxrayvision's grey pixels run from -1024 to 1024.
XRV = Pixels((0.5,), (0.5 / 1024,))


@dataclasses.dataclass(frozen=True)
class Family:
    """One layout of one architecture.

    Attributes:
      part: what its weights are: a tower, a whole CLIP or BLIP, or towers that make no CLIP
        together.
      config_from: our config from the settings file, the shapes of the tensors by (renamed) name,
        and the folder.
      config_to: files of settings (name -> contents) from our config, and what is known of inputs.
      table: rows for a config.
      rename: other names of the same tensors.
      settings: name of the settings file; absent where there is none.
      weights: name of the weights file that is written.
      pixels: how images are normalised where the folder does not say; meaningless for texts.
      fold: changes of a model before it is written, so that the layout can hold it.
    """

    name: str
    part: Literal["vision", "text", "clip", "blip", "towers"]
    config_from: Callable[[Settings, Shapes, pathlib.Path], Any]
    config_to: Callable[[Any, Inputs], dict[str, dict[str, Any]]]
    table: Callable[[Any], tuple[Row, ...]]
    rename: Rename = ()
    settings: str = "config.json"
    weights: str = "model.safetensors"
    pixels: Pixels = IMAGENET
    fold: tuple[Callable[[Any, Mapping[str, Any]], tuple[Any, dict[str, Any]]], ...] = ()


def _vision(
    name: str,
    config_from: Callable[[Settings], Any],
    config_to: Callable[[Any], dict[str, Any]],
    table: Callable[[Any], tuple[Row, ...]],
    rename: Rename = (),
    pixels: Pixels = IMAGENET,
) -> Family:
    """A vision tower of transformers, whose ``config.json`` says everything about the network."""

    def files(config: Any, inputs: Inputs) -> dict[str, dict[str, Any]]:
        processor = tower_processor(inputs, config.image_size, config.channels)
        return {"config.json": config_to(config)} | processor

    return Family(
        name,
        "vision",
        lambda given, _shapes, _folder: config_from(given),
        files,
        table,
        rename,
        pixels=pixels,
    )


def _timm(config_to: Callable[[Any], dict[str, Any]]) -> Callable[[Any, Inputs], dict[str, Any]]:
    """Settings in timm's form, with what is known of the images."""

    def files(config: Any, inputs: Inputs) -> dict[str, dict[str, Any]]:
        said = config_to(config)
        said["pretrained_cfg"] |= timm_preprocess(inputs, config.channels)
        return {"config.json": said}

    return files


def _text(
    name: str,
    config_from: Callable[[Settings], Any],
    config_to: Callable[[Any, Inputs], dict[str, Any]],
    table: Callable[[Any], tuple[Row, ...]],
    rename: Rename,
) -> Family:
    """A text tower."""
    return Family(
        name,
        "text",
        lambda given, _shapes, _folder: config_from(given),
        lambda config, inputs: {"config.json": config_to(config, inputs)},
        table,
        rename,
    )


def _whole(
    name: str,
    config_from: Callable[[Settings], Any],
    config_to: Callable[[Any, Inputs], dict[str, Any]],
    table: Callable[[Any], tuple[Row, ...]],
    pixels: Pixels,
    fold: tuple[Any, ...] = (without_local, to_colour),
) -> Family:
    """A whole CLIP of transformers."""

    def files(config: CLIPConfig, inputs: Inputs) -> dict[str, dict[str, Any]]:
        settings = {"config.json": config_to(config, inputs)}
        return settings | image_processor(inputs, config.vision.image_size)

    return Family(
        name,
        "clip",
        lambda given, _shapes, _folder: config_from(given),
        files,
        table,
        pixels=pixels,
        fold=fold,
    )


def _blip(name: str, *fold: Any) -> Family:
    """A BLIP of transformers: of one branch, which the names of a file's tensors tell."""

    def files(config: BlipConfig, inputs: Inputs) -> dict[str, dict[str, Any]]:
        settings = {"config.json": blip.config_to(config, inputs)}
        return settings | image_processor(inputs, config.vision.image_size)

    return Family(
        name,
        "blip",
        lambda given, shapes, _: blip.config_from(given, shapes),
        files,
        blip.table,
        pixels=OPENAI,
        fold=(blip.without_training, blip.without_temperature, *fold, to_colour),
    )


def _open_clip_from(given: Settings, shapes: Shapes, folder: pathlib.Path) -> CLIPConfig:
    # An export of ours keeps the BERT's settings beside the weights.
    own = folder / TEXT_FOLDER / "config.json"
    named = pathlib.Path(_text_cfg(given).get("hf_model_name") or "-") / "config.json"
    found = next((read_json(p) for p in (own, named) if p.is_file()), None)
    return open_clip.config_from(given, shapes, found)


def _text_cfg(given: Settings) -> Settings:
    return group(group(given, "model_cfg") or given, "text_cfg")


def _open_clip_to(config: CLIPConfig, inputs: Inputs) -> dict[str, dict[str, Any]]:
    files = {"open_clip_config.json": open_clip_export.config_to(config, inputs)}
    if open_clip.is_bert(config.text):
        files[f"{TEXT_FOLDER}/config.json"] = bert.config_to(config.text, inputs)
    return files


#: Folder of an open_clip export with the settings of its BERT.
TEXT_FOLDER = "text_config"

FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        _text("bert", bert.config_from, bert.config_to, bert.table, bert.RENAME),
        _text("roberta", roberta.config_from, roberta.config_to, roberta.table, roberta.RENAME),
        _whole("clip", clip.config_from, clip.config_to, clip.table, OPENAI),
        _vision(
            "clip_vision_model",
            clip.vision_config_from,
            clip.vision_config_to,
            clip.vision_table,
            clip.RENAME_TOWER,
            OPENAI,
        ),
        _text(
            "clip_text_model",
            clip.text_config_from,
            clip.text_config_to,
            clip.text_table,
            clip.RENAME_TOWER,
        ),
        _whole("siglip", siglip.config_from, siglip.config_to, siglip.table, HALF),
        _whole(
            "vision_text_dual_encoder",
            dual_encoder.config_from,
            dual_encoder.config_to,
            dual_encoder.table,
            HALF,
            (without_local, to_colour, unit_layer_scale, straight_pooler),
        ),
        _vision(
            "siglip_vision_model",
            siglip.vision_config_from,
            siglip.vision_config_to,
            siglip.vision_table,
            siglip.RENAME_TOWER,
            HALF,
        ),
        _blip("blip"),
        _blip("blip_retrieval", blip.only("encoder")),
        _blip("blip_captions", blip.only("decoder")),
        Family(
            "blip_authors",
            "blip",
            lambda _given, shapes, _folder: blip.authors_config(shapes),
            blip.authors_config_to,
            blip.authors_table,
            settings="",
            pixels=OPENAI,
            fold=(blip.without_training, to_colour),
        ),
        _vision(
            "dinov2",
            vit.dinov2_config_from,
            vit.dinov2_config_to,
            vit.dinov2_table,
            vit.RENAME,
        ),
        _vision(
            "vit",
            vit.vit_config_from,
            vit.vit_config_to,
            vit.vit_table,
            vit.RENAME,
            HALF,
        ),
        _vision(
            "resnet",
            resnet.hf_config_from,
            resnet.hf_config_to,
            resnet.hf_table,
            resnet.RENAME_HF,
        ),
        Family(
            "torchvision_resnet",
            "vision",
            lambda given, shapes, _: resnet.config_from(given, shapes),
            _timm(resnet.config_to),
            resnet.table,
        ),
        *(
            Family(
                name,
                "vision",
                lambda given, shapes, _: densenet.config_from(given, shapes),
                _timm(densenet.config_to),
                densenet.table,
                densenet.RENAME,
                pixels=pixels,
            )
            for name, pixels in (("torchvision_densenet", IMAGENET), ("xrv_densenet", XRV))
        ),
        Family(
            "timm_vit",
            "vision",
            lambda given, shapes, _: timm_vit.config_from(given, shapes),
            _timm(timm_vit.config_to),
            timm_vit.table,
            pixels=HALF,
        ),
        Family(
            "open_clip",
            "clip",
            _open_clip_from,
            _open_clip_to,
            open_clip.table,
            open_clip.RENAME,
            settings="open_clip_config.json",
            weights="open_clip_model.safetensors",
            pixels=OPENAI,
            fold=(without_local, to_colour, open_clip_export.fold_vision),
        ),
    )
}
#: ``model_type`` of a ``config.json`` -> family, where the names differ.
MODEL_TYPES = {
    "cxr-bert": "bert",
    "dinov2_with_registers": "dinov2",
    "xlm-roberta": "roberta",
    "vision-text-dual-encoder": "vision_text_dual_encoder",
}


def build(config: Any) -> Callable[[nnx.Rngs], nnx.Module]:
    """The factory of the model that a config of ours describes."""
    return lambda rngs: config.build(rngs=rngs)


def tower_rows(rows: tuple[Row, ...], side: Side) -> tuple[Row, ...]:
    """The rows of one tower of a whole model; its other tensors are known and not needed."""
    prefix = f"{side}/"
    found = []
    for row in rows:
        if row.targets and all(t.startswith(prefix) for t in row.targets):
            inner = tuple(t.removeprefix(prefix) for t in row.targets)
            row = dataclasses.replace(row, target=inner)
        else:
            row = dataclasses.replace(row, target=None)
        found.append(row)
    return tuple(found)
