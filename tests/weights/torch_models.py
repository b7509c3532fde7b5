"""Tiny random models of the origin libraries, saved by them; needs the ``torch`` extra."""

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import drawn
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
import transformers
from make_fixtures import IMAGES, LAYERS, TEXTS

from benchmarks.torchvision_stand_in import ensure_torchvision

Inputs = dict[str, torch.Tensor]
Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of an origin library.

    Attributes:
      make: builds it, with weights that :mod:`drawn` gives its names.
      save: writes it to a folder.
      reload: builds it from a folder, strictly.
      run: its outputs on :func:`drawn.inputs`, channels last; those of padding are 0.
      sides: of the images to run it on.
    """

    make: Callable[[], torch.nn.Module]
    save: Callable[[torch.nn.Module, pathlib.Path], None]
    reload: Callable[[pathlib.Path], torch.nn.Module]
    run: Callable[[torch.nn.Module, dict[str, torch.Tensor]], Outputs]
    sides: tuple[int, ...] = (32,)


def inputs(side: int) -> Inputs:
    """:func:`drawn.inputs` as torch takes them."""
    x = {name: torch.tensor(value) for name, value in drawn.inputs(side).items()}
    return x | {"image": x["image"].permute(0, 3, 1, 2)}


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Weights by their names; what is no weight (masks, counters) stays."""
    with torch.no_grad():
        for name, x in model.state_dict().items():
            if x.is_floating_point() and not name.endswith("attn_mask"):
                x.copy_(torch.tensor(drawn.tensor(name, tuple(x.shape))))
    return model.eval()


def grid(tokens: torch.Tensor) -> torch.Tensor:
    """Patch tokens [b, n, d] as a map."""
    side = round(tokens.shape[1] ** 0.5)
    return tokens.reshape(tokens.shape[0], side, side, -1)


def numpy(**outputs: torch.Tensor) -> Outputs:
    return {name: x.detach().numpy() for name, x in outputs.items()}


# transformers


def _save_hf(model: Any, folder: pathlib.Path) -> None:
    model.save_pretrained(folder)


def _load_hf(cls: Any, **options: Any) -> Callable[[pathlib.Path], torch.nn.Module]:
    def load(folder: pathlib.Path) -> torch.nn.Module:
        model, info = cls.from_pretrained(folder, output_loading_info=True, **options)
        # Counters of training batches say nothing about the function, and we keep none.
        info["missing_keys"] = {
            name for name in info["missing_keys"] if not name.endswith("num_batches_tracked")
        }
        assert not any(info.values()), info
        return model.eval()

    return load


def _hf(
    cls: Any,
    config: Any,
    run: Callable[..., Outputs],
    sides: tuple[int, ...] = (32,),
    **options: Any,
) -> Case:
    def make() -> torch.nn.Module:
        # The names in a file are not always those in memory, and the file's count.
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            cls(config(), **options).save_pretrained(folder)
            file = folder / "model.safetensors"
            tensors = safetensors.numpy.load_file(file)
            for name, x in tensors.items():
                if x.dtype == np.float32:
                    tensors[name] = drawn.tensor(name, x.shape)
            safetensors.numpy.save_file(tensors, file, {"format": "pt"})
            return _load_hf(cls, **options)(folder)

    return Case(make, _save_hf, _load_hf(cls, **options), run, sides)


def _run_bert(model: Any, x: Inputs) -> Outputs:
    out = model(input_ids=x["ids"], attention_mask=x["mask"].long(), output_hidden_states=True)
    real = x["mask"][..., None]
    hidden = torch.stack(out.hidden_states[-2:])
    return numpy(tokens=out.last_hidden_state * real, hidden=hidden * real)


def _run_vit(model: Any, x: Inputs) -> Outputs:
    tokens = model(x["image"]).last_hidden_state
    return numpy(pooled=tokens[:, 0], patches=grid(tokens[:, 1:]))


def _run_resnet(model: Any, x: Inputs) -> Outputs:
    out = model(x["image"])
    pooled = out.pooler_output.flatten(1)
    return numpy(pooled=pooled, patches=out.last_hidden_state.permute(0, 2, 3, 1))


def _run_clip(model: Any, x: Inputs) -> Outputs:
    out = model(input_ids=x["ids"], pixel_values=x["image"], attention_mask=x["mask"].long())
    return numpy(
        image_embed=out.image_embeds, text_embed=out.text_embeds, logits=out.logits_per_image
    )


def _run_siglip(model: Any, x: Inputs) -> Outputs:
    out = model(input_ids=x["ids"], pixel_values=x["image"])  # no mask: so it was trained
    return numpy(
        image_embed=out.image_embeds,
        text_embed=out.text_embeds,
        logits=out.logits_per_image,
        patches=grid(out.vision_model_output.last_hidden_state),
    )


def _run_clip_vision(model: Any, x: Inputs) -> Outputs:
    out = model(x["image"])
    tokens = model.post_layernorm(out.last_hidden_state)
    return numpy(pooled=out.pooler_output, patches=grid(tokens[:, 1:]))


def _run_siglip_vision(model: Any, x: Inputs) -> Outputs:
    out = model(x["image"])
    return numpy(pooled=out.pooler_output, patches=grid(out.last_hidden_state))


def _run_clip_text(model: Any, x: Inputs) -> Outputs:
    out = model(input_ids=x["ids"], attention_mask=x["mask"].long())
    real = x["mask"][..., None]
    return numpy(pooled=out.pooler_output, tokens=out.last_hidden_state * real)


def _clip_config(activation: str) -> Callable[[], Any]:
    ids = {"bos_token_id": 58, "eos_token_id": 59, "pad_token_id": 0}
    return lambda: transformers.CLIPConfig(
        text_config={**TEXTS, **ids, "hidden_act": activation},
        vision_config={**IMAGES, "hidden_act": activation},
        projection_dim=24,
    )


def _siglip_config() -> Any:
    return transformers.SiglipConfig(text_config=TEXTS, vision_config=IMAGES)


# timm and torchvision


def _torchvision_resnet() -> torch.nn.Module:
    timm = _timm()
    # timm's ResNet has torchvision's names and, without a head, gives the pooled vector.
    model = timm.create_model("resnet50", num_classes=0, layers=(1, 2, 1, 1))
    return fill(model)


def _timm() -> Any:
    ensure_torchvision()
    import timm

    return timm


def _save_tensors(name: str, config: dict | None = None) -> Callable[..., None]:
    def save(model: torch.nn.Module, folder: pathlib.Path) -> None:
        folder.mkdir(exist_ok=True)
        tensors = {n: x.contiguous() for n, x in model.state_dict().items()}
        safetensors.torch.save_file(tensors, folder / name)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))

    return save


def _reload_timm(folder: pathlib.Path) -> torch.nn.Module:
    # The folder's own settings must be enough for timm.
    return _timm().create_model(f"local-dir:{folder}", pretrained=True).eval()


def _run_timm_resnet(model: Any, x: Inputs) -> Outputs:
    patches = model.forward_features(x["image"])
    return numpy(pooled=model(x["image"]), patches=patches.permute(0, 2, 3, 1))


TIMM_VIT = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 1.5,
}


def _timm_vit() -> torch.nn.Module:
    model = _timm().create_model("vit_base_patch16_224", num_classes=0, **TIMM_VIT)
    return fill(model)


def _run_timm_vit(model: Any, x: Inputs) -> Outputs:
    tokens = model.forward_features(x["image"])
    return numpy(pooled=tokens[:, 0], patches=grid(tokens[:, 1:]))


# open_clip

OPEN_CLIP_VISION = {
    "layers": 2,
    "width": 32,
    "head_width": 16,
    "mlp_ratio": 1.5,
    "patch_size": 8,
    "image_size": 32,
}
OPEN_CLIP_TEXT = {
    "layers": 2,
    "width": 32,
    "heads": 2,
    "mlp_ratio": 1.5,
    "context_length": 12,
    "vocab_size": 60,
}
BERT_TEXT = {
    "hf_model_pretrained": False,
    "hf_pooler_type": "cls_last_hidden_state_pooler",
    "hf_proj_type": "mlp",
    "context_length": 16,
}


def _open_clip_config(kind: str, bert: str) -> dict[str, Any]:
    if kind == "plain":
        return {
            "embed_dim": 16,
            "quick_gelu": True,
            "vision_cfg": OPEN_CLIP_VISION,
            "text_cfg": OPEN_CLIP_TEXT,
        }
    vision: dict[str, Any] = OPEN_CLIP_VISION
    if kind == "timm_bert":  # BiomedCLIP
        vision = {
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 224,
        }
    return {
        "embed_dim": 16,
        "quick_gelu": kind == "bert",  # UniMed-CLIP
        "vision_cfg": vision,
        "text_cfg": BERT_TEXT | {"hf_model_name": bert},
    }


def _open_clip_library() -> Any:
    ensure_torchvision()
    import open_clip

    return open_clip


def _open_clip_model(config: dict[str, Any]) -> torch.nn.Module:
    open_clip = _open_clip_library()
    config = dict(config)
    config.pop("custom_text", None)
    text = config["text_cfg"]
    custom = bool(text.get("hf_model_name"))
    cls = open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP
    config["vision_cfg"] = open_clip.model.CLIPVisionCfg(**config["vision_cfg"])
    config["text_cfg"] = open_clip.model.CLIPTextCfg(**text)
    return cls(**config).eval()


def _open_clip(kind: str, folder: pathlib.Path) -> Case:
    """``folder`` keeps the settings of the BERT, which open_clip reads by their path."""

    def config() -> dict[str, Any]:
        transformers.BertConfig(**TEXTS).save_pretrained(folder)
        return _open_clip_config(kind, str(folder))

    def save(model: torch.nn.Module, to: pathlib.Path) -> None:
        _save_tensors("open_clip_model.safetensors")(model, to)
        content = {"model_cfg": config(), "preprocess_cfg": {}}
        (to / "open_clip_config.json").write_text(json.dumps(content))

    def reload(of: pathlib.Path) -> torch.nn.Module:
        found = json.loads((of / "open_clip_config.json").read_text())["model_cfg"]
        model = _open_clip_model(found)
        tensors = safetensors.torch.load_file(of / "open_clip_model.safetensors")
        model.load_state_dict(tensors, strict=True)
        return model

    def run(model: Any, x: Inputs) -> Outputs:
        image = model.encode_image(x["image"], normalize=True)
        text = model.encode_text(x["ids"], normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        return numpy(image_embed=image, text_embed=text, logits=logits)

    sides = (224,) if kind == "timm_bert" else (32,)
    return Case(lambda: fill(_open_clip_model(config())), save, reload, run, sides)


def cases(folder: pathlib.Path) -> dict[str, Case]:
    """All cases; ``folder`` is for files that they need while they run."""
    t = transformers
    quick, gelu = _clip_config("quick_gelu"), _clip_config("gelu")
    dinov2 = {**LAYERS, "hidden_size": 32, "mlp_ratio": 2, "image_size": 32, "patch_size": 8}
    resnet = {
        "embedding_size": 4,
        "hidden_sizes": [16, 32, 64, 128],
        "depths": [1, 2, 1, 1],
    }
    return {
        "bert": _hf(t.BertModel, lambda: t.BertConfig(**TEXTS), _run_bert, add_pooling_layer=False),
        "clip_quick_gelu": _hf(t.CLIPModel, quick, _run_clip),
        "clip_gelu": _hf(t.CLIPModel, gelu, _run_clip),
        "clip_vision": _hf(
            t.CLIPVisionModel, lambda: t.CLIPVisionConfig(**IMAGES), _run_clip_vision
        ),
        "clip_text": _hf(
            t.CLIPTextModel,
            lambda: t.CLIPTextConfig(**TEXTS, bos_token_id=58, eos_token_id=59, pad_token_id=0),
            _run_clip_text,
        ),
        "siglip": _hf(t.SiglipModel, _siglip_config, _run_siglip),
        "siglip_vision": _hf(
            t.SiglipVisionModel, lambda: t.SiglipVisionConfig(**IMAGES), _run_siglip_vision
        ),
        "dinov2": _hf(
            t.Dinov2Model,
            lambda: t.Dinov2Config(**dinov2, use_mask_token=False),
            _run_vit,
            sides=(32, 48),  # the larger image makes the model stretch its position table
        ),
        "vit": _hf(t.ViTModel, lambda: t.ViTConfig(**IMAGES), _run_vit, add_pooling_layer=False),
        "resnet": _hf(t.ResNetModel, lambda: t.ResNetConfig(**resnet), _run_resnet),
        "torchvision_resnet": Case(
            _torchvision_resnet,
            _save_tensors("model.safetensors"),
            _reload_timm,
            _run_timm_resnet,
            sides=(64,),
        ),
        "timm_vit": Case(
            _timm_vit,
            _save_tensors(
                "model.safetensors",
                {"architecture": "vit_base_patch16_224", "model_args": TIMM_VIT},
            ),
            _reload_timm,
            _run_timm_vit,
        ),
        "open_clip": _open_clip("plain", folder),
        "open_clip_bert": _open_clip("bert", folder),
        "open_clip_biomedclip": _open_clip("timm_bert", folder),
    }
