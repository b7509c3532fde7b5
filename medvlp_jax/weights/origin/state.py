"""Models of torchvision, timm, open_clip and transformers, built around a file of bare tensors.

The other side of a comparison for files that no library loads by itself. PyTorch's own reader and
safetensors' read the file here, so that a fault of ours in reading would show as well.
"""

import pathlib
from typing import Any

import numpy as np

from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights.faults import Faults
from medvlp_jax.weights.files.tensors import open_checkpoint
from medvlp_jax.weights.origin import library as origin
from medvlp_jax.weights.origin.library import Absent, Arrays, Outputs
from medvlp_jax.weights.rows import new_name
from medvlp_jax.weights.source import Source


def outputs(source: Source, inputs: Arrays) -> Outputs:
    """What the architecture's own library computes from a file's tensors.

    Args:
      source: of a tower, or of a whole CLIP with CLIP's own towers.
      inputs: as of :func:`medvlp_jax.weights.origin.library.outputs`.

    Raises:
      Absent: a library is not there, or none builds such a model.
      WeightsError: the library cannot load or run it.
    """
    config = source.config

    def run(x: Any) -> dict[str, Any]:
        tensors = {new_name(n, source.family.rename): t for n, t in _tensors(source).items()}
        if isinstance(config, ResNetConfig):
            return _resnet(config, tensors, x)
        if isinstance(config, ViTConfig):
            return _vit(config, tensors, x)
        if isinstance(config, TextConfig):
            return _bert(config, tensors, x)
        if isinstance(config, CLIPConfig):
            return _clip(config, tensors, x)
        raise Absent(f"no library is known that builds a {source.family.name}")

    return origin.run(run, source.weights, inputs)


def _tensors(source: Source) -> dict[str, Any]:
    """The file's tensors as its own format's library reads them, by our names of them."""
    file = source.weights
    if file.is_dir():
        raise Absent(f"no library loads the folder {file}")
    names = open_checkpoint(file, Faults()).tensors
    if file.suffix == ".safetensors":
        found = origin.library("safetensors.torch", "load_file")(str(file))
    else:
        found = _group(_loaded(file), set(names))
    return {name: found[key] for key, name in _spelled(found, names).items()}


def _loaded(file: pathlib.Path) -> Any:
    torch = origin.library("torch")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Absent(
            "torch.load does not read the file without running its code (it holds objects of other "
            "classes)"
        ) from error


def _spelled(found: Any, names: Any) -> dict[str, str]:
    ends = {key: key for key in found if key in names}
    for prefix in ("module.", "_orig_mod."):
        ends |= {
            key: key.removeprefix(prefix) for key in found if key.removeprefix(prefix) in names
        }
    return ends


def _group(found: Any, names: set[str]) -> Any:
    """The dict among nested ones that holds the names."""
    if not isinstance(found, dict):
        return {}
    here = {str(k): v for k, v in found.items()}
    if len(_spelled(here, names)) == len(names):
        return here
    inner = [_group(value, names) for value in found.values() if isinstance(value, dict)]
    return max(inner, key=len, default={})


def _load(model: Any, tensors: dict[str, Any]) -> Any:
    """A model with these tensors; others of the file are left out, none may be missing."""
    wanted = model.state_dict()
    given = {name: tensors[name].float() for name in wanted if name in tensors}
    missing = [n for n in wanted if n not in given and not _is_counter(n)]
    if missing:
        raise ValueError(f"without {missing[0]}")
    model.load_state_dict(given, strict=False)
    return model.eval()


def _is_counter(name: str) -> bool:
    return name.endswith(("num_batches_tracked", "attn_mask", "position_ids", "token_type_ids"))


def _resnet(config: ResNetConfig, tensors: dict[str, Any], x: Any) -> dict[str, Any]:
    if config.width != 64:
        raise Absent(f"torchvision has no ResNet of width {config.width}")
    module = origin.library("torchvision.models.resnet")
    torch = origin.library("torch")
    block = module.Bottleneck if config.block == "bottleneck" else module.BasicBlock
    sizes = list(config.stage_sizes)
    model = module.ResNet(block, sizes + [1] * (4 - len(sizes)))
    stages = [model.layer1, model.layer2, model.layer3, model.layer4][: len(sizes)]
    parts = [model.conv1, model.bn1, model.relu, model.maxpool, *stages]
    for n in range(len(sizes), 4):  # a trunk that was cut before its last stages
        setattr(model, f"layer{n + 1}", torch.nn.Identity())
    model.fc = torch.nn.Identity()
    _load(model, tensors)
    maps = torch.nn.Sequential(*parts)(x["image"])
    return {"pooled": maps.mean((2, 3)), "patches": maps}


def _vit(config: ViTConfig, tensors: dict[str, Any], x: Any) -> dict[str, Any]:
    create = origin.library("timm.models.vision_transformer", "VisionTransformer")
    model = create(
        img_size=config.image_size,
        patch_size=config.patch,
        in_chans=config.channels,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        mlp_ratio=config.mlp_width / config.width,
        init_values=config.layer_scale,
        pre_norm=config.norm_pre,
        num_classes=0,
    )
    tokens = _load(model, tensors).forward_features(x["image"])
    return {"pooled": tokens[:, 0], "patches": origin.grid(tokens[:, 1:])}


def _bert(config: TextConfig, tensors: dict[str, Any], x: Any) -> dict[str, Any]:
    sizes = _bert_config(config)
    model = origin.library("transformers", "BertModel")(sizes, add_pooling_layer=False)
    out = _load(model, tensors)(input_ids=x["ids"], attention_mask=x.get("mask"))
    return {"tokens": out.last_hidden_state}


def _bert_config(config: TextConfig) -> Any:
    return origin.library("transformers", "BertConfig")(
        vocab_size=config.vocab,
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=config.mlp_width,
        max_position_embeddings=config.max_length,
        type_vocab_size=config.types,
        layer_norm_eps=config.eps,
        hidden_act=config.activation,
    )


def _clip(config: CLIPConfig, tensors: dict[str, Any], x: Any) -> dict[str, Any]:
    vision, text = config.vision, config.text
    if not isinstance(vision, ViTConfig):
        raise Absent("no library is known that builds such a CLIP")
    module = origin.library("open_clip.model")
    vision_cfg = module.CLIPVisionCfg(
        layers=vision.depth,
        width=vision.width,
        head_width=vision.width // vision.heads,
        mlp_ratio=vision.mlp_width / vision.width,
        patch_size=vision.patch,
        image_size=vision.image_size,
    )
    text_cfg = module.CLIPTextCfg(
        context_length=text.max_length,
        vocab_size=text.vocab,
        width=text.width,
        heads=text.heads,
        layers=text.depth,
        mlp_ratio=text.mlp_width / text.width,
    )
    quick = vision.activation == "quick_gelu"
    if text.norm == "post":
        return _with_bert(config, vision_cfg, quick, tensors, x)
    model = module.CLIP(config.embed_dim, vision_cfg, text_cfg, quick_gelu=quick)
    return origin.clip_outputs(_load(model, tensors), x)


def _with_bert(
    config: CLIPConfig, vision_cfg: Any, quick: bool, tensors: Any, x: Any
) -> dict[str, Any]:
    """CLIP's vision tower beside a BERT: UniMed-CLIP."""
    module, torch = origin.library("open_clip.model"), origin.library("torch")
    encoder = origin.library("open_clip.hf_model", "HFTextEncoder")
    visual = module._build_vision_tower(config.embed_dim, vision_cfg, quick)
    text = encoder(
        "",
        config.embed_dim,
        config=_bert_config(config.text),
        pooler_type="cls_last_hidden_state_pooler",
        proj_type="mlp",
    )
    text.transformer.pooler = None
    model = torch.nn.ModuleDict({"visual": visual, "text": text})
    _load(model, tensors)
    normalize = torch.nn.functional.normalize
    image, texts = normalize(visual(x["image"])), normalize(text(x["ids"]))
    logits = np.exp(float(tensors["logit_scale"])) * image @ texts.T
    return {"image_embed": image, "text_embed": texts, "logits": logits}
