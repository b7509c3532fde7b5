"""What the library that a checkpoint comes from computes: the other side of a parity check.

Needs PyTorch (extra ``torch``), which nothing else in this package does; hence the imports by name.
"""

import functools
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from medvlp_jax.core.errors import one_net, reason
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.settings import read_json

Arrays = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]


class Absent(Exception):
    """There is nothing to compare with here; the message says what is missing."""


def library(name: str, attribute: str = "") -> Any:
    """A module, or a part of it; libraries import their parts when they are asked for."""
    try:
        module = importlib.import_module(name)
        return getattr(module, attribute) if attribute else module
    except ModuleNotFoundError as error:
        if error.name is None:  # the library is there, and words a failure inside of it like this
            raise Absent(f"{name} cannot be used here ({reason(error)})") from error
        raise Absent(
            f"{error.name} is missing; EXTRAS=torch bash launch/setup.sh installs it"
        ) from error
    except Exception as error:  # whatever its own imports raise
        raise Absent(f"{name} cannot be used here ({reason(error)})") from error


def outputs(family: str, folder: pathlib.Path, inputs: Arrays) -> Outputs:
    """Outputs of the origin library's model of a folder, channels last, in float32.

    Args:
      family: a key of ``weights.families.FAMILIES``, or ``lm``, ``unet``, ``vae``.
      folder: what the library loads.
      inputs: ``image`` [b, y, x, c], ``ids`` [b, t], ``mask`` [b, t] of real tokens, ``latents``
        [b, h, w, z], ``t`` [b], ``context`` [b, s, e]; whichever the model takes.

    Raises:
      Absent: PyTorch or the library is not there, or no library is known.
      WeightsError: the library cannot load or run it.
    """
    if family not in _RUN:
        raise Absent(f"no library is known that builds a {family}")
    return run(functools.partial(_RUN[family], folder), folder, inputs)


def run(model: Callable[[Any], Any], source: pathlib.Path, inputs: Arrays) -> Outputs:
    """Outputs of a function of PyTorch tensors, channels first, as :func:`outputs` gives them.

    Raises:
      Absent: PyTorch or the library is not there.
      WeightsError: the model cannot be loaded or run.
    """
    torch = library("torch")
    tensors = {name: torch.from_numpy(np.array(x)) for name, x in inputs.items()}
    for name in ("image", "latents"):
        if name in tensors:
            tensors[name] = tensors[name].permute(0, 3, 1, 2).contiguous()
    if "mask" in tensors:
        tensors["mask"] = tensors["mask"].long()
    mend = "its own library does not read it"
    with torch.inference_mode():
        try:
            with one_net(source, mend, WeightsError, "cannot be compared"):
                found = model(tensors)
        except WeightsError as error:
            for cause in (error.__cause__, getattr(error.__cause__, "__cause__", None)):
                if isinstance(cause, Absent):
                    raise cause from error
                if isinstance(cause, ImportError):
                    raise Absent(f"a library is missing ({reason(cause)})") from error
            raise
    return {
        name: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).float().numpy()
        for name, x in found.items()
    }


def _transformers(cls: str, folder: pathlib.Path, **options: Any) -> Any:
    transformers, torch = library("transformers"), library("torch")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    loader = library("transformers", cls)
    options = {"dtype": torch.float32, "trust_remote_code": False} | options
    return loader.from_pretrained(str(folder), **options).eval()


def _diffusers(cls: str, folder: pathlib.Path) -> Any:
    return library("diffusers", cls).from_pretrained(str(folder)).float().eval()


def grid(tokens: Any) -> Any:
    """Patch tokens [b, n, d] as maps [b, d, h, w]."""
    b, n, d = tokens.shape
    side = round(n**0.5)
    return tokens.reshape(b, side, side, d).permute(0, 3, 1, 2)


def _bert(cls: str) -> Callable[[pathlib.Path, Any], Any]:
    def run(folder: pathlib.Path, x: Any) -> Any:
        model = _transformers(cls, folder, add_pooling_layer=False)
        out = model(input_ids=x["ids"], attention_mask=x.get("mask"))
        return {"tokens": out.last_hidden_state}

    return run


def _clip(folder: pathlib.Path, x: Any) -> Any:
    mask = x.get("mask")
    model = _transformers("AutoModel", folder)
    out = model(input_ids=x["ids"], pixel_values=x["image"], attention_mask=mask)
    return {
        "image_embed": out.image_embeds,
        "text_embed": out.text_embeds,
        "logits": out.logits_per_image,
    }


def _siglip(folder: pathlib.Path, x: Any) -> Any:
    # Its texts are padded to one length and read with their padding.
    return _clip(folder, {**x, "mask": None})


def _clip_vision(folder: pathlib.Path, x: Any) -> Any:
    model = _transformers("CLIPVisionModel", folder)
    out = model(x["image"])
    return {"pooled": out.pooler_output}


def _clip_text(folder: pathlib.Path, x: Any) -> Any:
    model = _transformers("CLIPTextModel", folder)
    out = model(input_ids=x["ids"], attention_mask=x.get("mask"))
    return {"pooled": out.pooler_output, "tokens": out.last_hidden_state}


def _siglip_vision(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("SiglipVisionModel", folder)(x["image"])
    return {"pooled": out.pooler_output, "patches": grid(out.last_hidden_state)}


def _vit(cls: str) -> Callable[[pathlib.Path, Any], Any]:
    def run(folder: pathlib.Path, x: Any) -> Any:
        tokens = _transformers(cls, folder)(x["image"]).last_hidden_state
        return {"pooled": tokens[:, 0], "patches": grid(tokens[:, 1:])}

    return run


def _resnet(folder: pathlib.Path, x: Any) -> Any:
    out = _transformers("ResNetModel", folder)(x["image"])
    return {"pooled": out.pooler_output.flatten(1), "patches": out.last_hidden_state}


def _timm(folder: pathlib.Path, x: Any) -> Any:
    create = library("timm", "create_model")
    model = create(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    return {"pooled": model(x["image"])}


def _open_clip(folder: pathlib.Path, x: Any) -> Any:
    create = library("open_clip", "create_model")
    return clip_outputs(create(f"local-dir:{folder}").float().eval(), x)


def clip_outputs(model: Any, x: Any) -> dict[str, Any]:
    """Outputs of a model of open_clip."""
    ids = x["ids"]
    if hasattr(model, "token_embedding"):  # CLIP's own text tower takes texts of one length
        pad = library("torch").nn.functional.pad
        ids = pad(ids, (0, model.context_length - ids.shape[1]))
    image = model.encode_image(x["image"], normalize=True)
    text = model.encode_text(ids, normalize=True)
    logits = model.logit_scale.exp() * image @ text.T
    if getattr(model, "logit_bias", None) is not None:
        logits = logits + model.logit_bias
    return {"image_embed": image, "text_embed": text, "logits": logits}


def _blip(folder: pathlib.Path, x: Any) -> Any:
    given = read_json(folder / "config.json")
    cls = given["architectures"][0]
    model = _transformers(cls, folder)
    text = given["text_config"]
    mask, ids = x.get("mask"), x["ids"].clone()
    if cls == "BlipForConditionalGeneration":
        ids[:, 0] = text["bos_token_id"]
        out = model(pixel_values=x["image"], input_ids=ids, attention_mask=mask)
        return {"logits": out.logits}
    cosine = model(ids, x["image"], use_itm_head=False, attention_mask=mask).itm_score
    ids[:, 0] = text["vocab_size"] - 1  # [ENC]
    match = model(ids, x["image"], use_itm_head=True, attention_mask=mask).itm_score
    return {"cosine": cosine, "match": match}


def _lm(folder: pathlib.Path, x: Any) -> Any:
    # Fused attention leaves out the caps on Gemma 2's scores.
    model = _transformers("AutoModelForCausalLM", folder, attn_implementation="eager")
    return {"logits": model(input_ids=x["ids"]).logits}


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
    "bert": _bert("BertModel"),
    "roberta": _bert("AutoModel"),
    "clip": _clip,
    "siglip": _siglip,
    "vision_text_dual_encoder": _clip,
    "clip_vision_model": _clip_vision,
    "clip_text_model": _clip_text,
    "siglip_vision_model": _siglip_vision,
    "dinov2": _vit("Dinov2Model"),
    "vit": _vit("ViTModel"),
    "resnet": _resnet,
    "torchvision_resnet": _timm,
    "timm_vit": _timm,
    "open_clip": _open_clip,
    "blip": _blip,
    "blip_retrieval": _blip,
    "blip_captions": _blip,
    "lm": _lm,
    "unet": _unet,
    "vae": _vae,
}


def end_of_text(folder: pathlib.Path) -> int | None:
    """The id by which transformers finds the token that a CLIP text is pooled at, if it is one."""
    file = folder / "config.json"
    given = read_json(file) if file.is_file() else {}
    found = (given.get("text_config") or given).get("eos_token_id")
    # 2 is the mark of old files, for which the largest id is taken.
    return found if isinstance(found, int) and found != 2 else None
