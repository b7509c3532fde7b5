"""What the library that a checkpoint comes from computes: the other side of a parity check.

Needs PyTorch (extra ``torch``), which nothing else in this package does; hence the imports by name.
"""

import importlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]


class Absent(Exception):
    """The library is not installed, or not usable here; the message says which and why."""


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        raise Absent(f"{name} cannot be imported ({error})") from error


def outputs(family: str, folder: pathlib.Path, inputs: Arrays) -> Outputs:
    """Outputs of the origin library's model of a folder, channels last, in float32.

    Args:
      family: a key of ``weights.families.FAMILIES``, or ``lm``, ``unet``, ``vae``.
      folder: what the library loads.
      inputs: ``image`` [b, y, x, c], ``ids`` [b, t], ``latents`` [b, h, w, z], ``t`` [b],
        ``context`` [b, s, e]; whichever the model takes.

    Raises:
      Absent: PyTorch or the library is not there.
    """
    torch = _library("torch")
    tensors = {name: torch.from_numpy(np.array(x)) for name, x in inputs.items()}
    for name in ("image", "latents"):
        if name in tensors:
            tensors[name] = tensors[name].permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        found = _RUN[family](folder, tensors)
    return {
        name: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).float().numpy()
        for name, x in found.items()
    }


def _transformers(cls: str, folder: pathlib.Path, **options: Any) -> Any:
    library, torch = _library("transformers"), _library("torch")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    loader = getattr(library, cls)
    return loader.from_pretrained(str(folder), dtype=torch.float32, **options).eval()


def _diffusers(cls: str, folder: pathlib.Path) -> Any:
    return getattr(_library("diffusers"), cls).from_pretrained(str(folder)).float().eval()


def _grid(tokens: Any) -> Any:
    """Patch tokens [b, n, d] as maps [b, d, h, w]."""
    b, n, d = tokens.shape
    side = round(n**0.5)
    return tokens.reshape(b, side, side, d).permute(0, 3, 1, 2)


def _bert(folder: pathlib.Path, x: Any) -> Any:
    model = _transformers("BertModel", folder, add_pooling_layer=False)
    return {"tokens": model(input_ids=x["ids"]).last_hidden_state}


def _clip(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("AutoModel", folder)(input_ids=x["ids"], pixel_values=x["image"])
    return {
        "image_embed": out.image_embeds,
        "text_embed": out.text_embeds,
        "logits": out.logits_per_image,
    }


def _clip_vision(folder: pathlib.Path, x: Any) -> Any:
    model = _transformers("CLIPVisionModel", folder)
    out = model(x["image"])
    return {"pooled": out.pooler_output}


def _clip_text(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("CLIPTextModel", folder)(input_ids=x["ids"])
    return {"pooled": out.pooler_output, "tokens": out.last_hidden_state}


def _siglip_vision(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("SiglipVisionModel", folder)(x["image"])
    return {"pooled": out.pooler_output, "patches": _grid(out.last_hidden_state)}


def _vit(cls: str) -> Callable[[pathlib.Path, Any], Any]:
    def run(folder: pathlib.Path, x: Any) -> Any:
        tokens = _transformers(cls, folder)(x["image"]).last_hidden_state
        return {"pooled": tokens[:, 0], "patches": _grid(tokens[:, 1:])}

    return run


def _resnet(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("ResNetModel", folder)(x["image"])
    return {"pooled": out.pooler_output.flatten(1), "patches": out.last_hidden_state}


def _timm(folder: pathlib.Path, x: Any) -> Any:
    model = _library("timm").create_model(f"local-dir:{folder}", pretrained=True).eval()
    return {"pooled": model(x["image"])}


def _open_clip(folder: pathlib.Path, x: Any) -> Any:
    model = _library("open_clip").create_model(f"local-dir:{folder}").float().eval()
    image = model.encode_image(x["image"], normalize=True)
    text = model.encode_text(x["ids"], normalize=True)
    logits = model.logit_scale.exp() * image @ text.T
    if getattr(model, "logit_bias", None) is not None:
        logits = logits + model.logit_bias
    return {"image_embed": image, "text_embed": text, "logits": logits}


def _lm(folder: pathlib.Path, x: Any) -> Any:
    return {"logits": _transformers("AutoModelForCausalLM", folder)(input_ids=x["ids"]).logits}


def _unet(folder: pathlib.Path, x: Any) -> Any:
    model = _diffusers("UNet2DConditionModel", folder)
    return {"noise": model(x["latents"], x["t"], encoder_hidden_states=x["context"]).sample}


def _vae(folder: pathlib.Path, x: Any) -> Any:
    model = _diffusers("AutoencoderKL", folder)
    return {
        "mean": model.encode(x["image"]).latent_dist.mean,
        "decoded": model.decode(x["latents"]).sample,
    }


_RUN: dict[str, Callable[[pathlib.Path, Any], Any]] = {
    "bert": _bert,
    "clip": _clip,
    "siglip": _clip,
    "clip_vision_model": _clip_vision,
    "clip_text_model": _clip_text,
    "siglip_vision_model": _siglip_vision,
    "dinov2": _vit("Dinov2Model"),
    "vit": _vit("ViTModel"),
    "resnet": _resnet,
    "torchvision_resnet": _timm,
    "timm_vit": _timm,
    "open_clip": _open_clip,
    "lm": _lm,
    "unet": _unet,
    "vae": _vae,
}


def end_of_text(folder: pathlib.Path) -> int | None:
    """The id by which transformers finds the token that a CLIP text is pooled at, if it is one."""
    file = folder / "config.json"
    given = json.loads(file.read_text()) if file.is_file() else {}
    found = (given.get("text_config") or given).get("eos_token_id")
    # 2 is the mark of old files, for which the largest id is taken.
    return found if isinstance(found, int) and found != 2 else None
