"""Tiny files in the layouts of published ones without settings: names and shapes of tensors.

Spelled out here, without torch, so that a test needs no library to write such a file. The origins'
own modules find every one of their tensors in it (``make_published.py``).
"""

import dataclasses

import drawn
import numpy as np

Shapes = dict[str, tuple[int, ...]]

WIDTH, LAYERS, VOCAB, EMBED = 64, 2, 60, 16


def _dense(name: str, out: int, inner: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, inner)} | ({f"{name}.bias": (out,)} if bias else {})


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _batch_norm(name: str, width: int) -> Shapes:
    return {
        **_norm(name, width),
        f"{name}.running_mean": (width,),
        f"{name}.running_var": (width,),
        f"{name}.num_batches_tracked": (),
    }


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def resnet(stages: int = 4) -> Shapes:
    """torchvision's ``ResNet`` of basic blocks, one a stage, without its head."""
    found: Shapes = {"conv1.weight": (64, 3, 7, 7)} | _batch_norm("bn1", 64)
    inner = 64
    for stage in range(1, stages + 1):
        out, block = 64 * 2 ** (stage - 1), f"layer{stage}.0"
        found |= {f"{block}.conv1.weight": (out, inner, 3, 3)} | _batch_norm(f"{block}.bn1", out)
        found |= {f"{block}.conv2.weight": (out, out, 3, 3)} | _batch_norm(f"{block}.bn2", out)
        if out != inner:
            found |= {f"{block}.downsample.0.weight": (out, inner, 1, 1)}
            found |= _batch_norm(f"{block}.downsample.1", out)
        inner = out
    return found


def _numbered(shapes: Shapes) -> Shapes:
    """The same in an ``nn.Sequential`` of the network's children."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    found = {}
    for name, shape in shapes.items():
        first, _, rest = name.partition(".")
        found[f"res_features.{places[first]}.{rest}"] = shape
    return found


def bert() -> Shapes:
    """transformers' ``BertModel``."""
    found: Shapes = {
        "embeddings.word_embeddings.weight": (VOCAB, WIDTH),
        "embeddings.position_embeddings.weight": (16, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("embeddings.LayerNorm", WIDTH),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            found |= _dense(f"{at}.attention.{name}", WIDTH, WIDTH)
        found |= _norm(f"{at}.attention.output.LayerNorm", WIDTH)
        found |= _dense(f"{at}.intermediate.dense", 96, WIDTH)
        found |= _dense(f"{at}.output.dense", WIDTH, 96) | _norm(f"{at}.output.LayerNorm", WIDTH)
    return found


def _block(at: str) -> Shapes:
    return {
        **_norm(f"{at}.ln_1", WIDTH),
        **_norm(f"{at}.ln_2", WIDTH),
        f"{at}.attn.in_proj_weight": (3 * WIDTH, WIDTH),
        f"{at}.attn.in_proj_bias": (3 * WIDTH,),
        **_dense(f"{at}.attn.out_proj", WIDTH, WIDTH),
        **_dense(f"{at}.mlp.c_fc", 4 * WIDTH, WIDTH),
        **_dense(f"{at}.mlp.c_proj", WIDTH, 4 * WIDTH),
    }


def clip_vision() -> Shapes:
    """The ViT of OpenAI's CLIP at 32 pixels."""
    found: Shapes = {
        "visual.class_embedding": (WIDTH,),
        "visual.positional_embedding": (17, WIDTH),
        "visual.proj": (WIDTH, EMBED),
        "visual.conv1.weight": (WIDTH, 3, 8, 8),
        **_norm("visual.ln_pre", WIDTH),
        **_norm("visual.ln_post", WIDTH),
        "logit_scale": (),
    }
    for layer in range(LAYERS):
        found |= _block(f"visual.transformer.resblocks.{layer}")
    return found


def clip() -> Shapes:
    """OpenAI's whole CLIP, with 77 positions."""
    found: Shapes = clip_vision() | {
        "positional_embedding": (77, WIDTH),
        "text_projection": (WIDTH, EMBED),
        "token_embedding.weight": (VOCAB, WIDTH),
        **_norm("ln_final", WIDTH),
    }
    for layer in range(LAYERS):
        found |= _block(f"transformer.resblocks.{layer}")
    return found


def vit() -> Shapes:
    """timm's ``VisionTransformer`` at 32 pixels."""
    found: Shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 17, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 8, 8),
        "patch_embed.proj.bias": (WIDTH,),
        **_norm("norm", WIDTH),
    }
    for layer in range(LAYERS):
        at = f"blocks.{layer}"
        found |= _norm(f"{at}.norm1", WIDTH) | _norm(f"{at}.norm2", WIDTH)
        found |= _dense(f"{at}.attn.qkv", 3 * WIDTH, WIDTH)
        found |= _dense(f"{at}.attn.proj", WIDTH, WIDTH)
        found |= _dense(f"{at}.mlp.fc1", 128, WIDTH) | _dense(f"{at}.mlp.fc2", WIDTH, 128)
    return found


def _unimed() -> Shapes:
    hidden = (WIDTH + EMBED) // 2
    return {
        **clip_vision(),
        **_under("text_encoder.transformer.", bert()),
        "text_encoder.proj.0.weight": (hidden, WIDTH),
        "text_encoder.proj.2.weight": (EMBED, hidden),
    }


def _gloria() -> Shapes:
    return {
        **_under("gloria.img_encoder.model.", resnet()),
        **_dense("gloria.img_encoder.global_embedder", 24, 512),
        "gloria.img_encoder.local_embedder.weight": (24, 256, 1, 1),
        **_under("gloria.text_encoder.model.", bert()),
        **_under("gloria.text_encoder.model.", _dense("pooler.dense", WIDTH, WIDTH)),
    }


def _mgca(tower: Shapes) -> Shapes:
    return {
        **_under("img_encoder_q.model.", tower),
        **_dense("img_encoder_q.global_embed.head.0", 24, 512),
        **_batch_norm("img_encoder_q.global_embed.head.1", 24),
        **_under("text_encoder_q.model.", bert()),
        **_dense("text_encoder_q.local_embed.head.0", 24, WIDTH),
        "patch_local_atten_layer.in_proj_weight": (72, 24),
        **_dense("word_local_atten_layer.out_proj", 24, 24),
        "prototype_layer.weight": (50, 24),
    }


def _medklip() -> Shapes:
    return {
        **_numbered(resnet(3)),
        **_dense("res_l1", 256, 256),
        **_dense("res_l2", 24, 256),
        **_dense("decoder.layers.0.linear1", 24, 24),
        **_dense("classifier", 2, 24),
        **_dense("cl_fc", 24, 24),
        **_dense("disease_embedding_layer", 24, 24),
    }


def _biovil(temporal: bool) -> Shapes:
    found: Shapes = {
        **_under("encoder.encoder.", resnet()),
        **_under("encoder.encoder.", _dense("fc", 10, 512)),
        "projector.model.0.weight": (16, 512, 1, 1),
        **_batch_norm("projector.model.1", 16),
        "projector.model.3.weight": (16, 16, 1, 1),
        "projector.model.3.bias": (16,),
    }
    if temporal:
        found |= {
            "encoder.backbone_to_vit.weight": (16, 512, 1, 1),
            "encoder.missing_previous_emb": (1, 16, 1, 1),
            "encoder.vit_pooler.type_embed": (2, 1, 16),
            **_norm("encoder.vit_pooler.blocks.0.norm1", 16),
            **_dense("encoder.vit_pooler.blocks.0.attn.proj_q", 16, 16, bias=False),
        }
    return found


def _medclip() -> Shapes:
    return {
        **_under("vision_model.model.", resnet()),
        "vision_model.model.fc.weight": (EMBED, 512),
        **_under("text_model.model.", bert()),
        **_under("text_model.model.", {"embeddings.position_ids": (1, 16)}),
        "text_model.projection_head.weight": (EMBED, WIDTH),
        "logit_scale": (),
    }


def _conch() -> Shapes:
    return {
        **_under("visual.trunk.", vit()),
        "visual.attn_pool_contrast.query": (1, EMBED),
        "visual.attn_pool_contrast.attn.q_proj_weight": (EMBED, EMBED),
        **_norm("visual.attn_pool_contrast.ln_q", EMBED),
        "visual.attn_pool_caption.query": (4, EMBED),
        **_norm("visual.ln_contrast", EMBED),
        "visual.proj_contrast": (EMBED, EMBED),
        "text.cls_emb": (WIDTH,),
        "text.positional_embedding": (16, WIDTH),
        "text.token_embedding.weight": (VOCAB, WIDTH),
        **_block("text.transformer.resblocks.0"),
        **_under("text_decoder.", _block("resblocks.0")),
        "logit_scale": (),
    }


@dataclasses.dataclass(frozen=True)
class Bare:
    """A published file.

    Attributes:
      family: to be named; empty: it is recognised.
      towers: what can be loaded: ``vision``, ``text``, or ``clip`` for the whole.
      file: its name, as published.
      group: the key under which its tensors lie; empty: at the top.
      wrapper: before every name.
      half: whether it holds numbers of 16 bits.
    """

    shapes: Shapes
    towers: tuple[str, ...]
    file: str
    family: str = ""
    group: str = ""
    wrapper: str = ""
    half: bool = False


FILES: dict[str, Bare] = {
    "OpenAI CLIP": Bare(clip(), ("clip",), "ViT-B-16.pt", "openai_clip", half=True),
    "CheXzero": Bare(clip(), ("clip",), "best_64_5e-05_original_22000_0.864.pt", "chexzero"),
    "UniMed-CLIP": Bare(
        _unimed(), ("clip",), "unimed_clip_vit_b16.pt", group="state_dict", wrapper="module."
    ),
    "CONCH": Bare(_conch(), ("vision",), "pytorch_model.bin"),
    "MedCLIP-ResNet50": Bare(_medclip(), ("vision", "text"), "pytorch_model.bin"),
    "BioViL": Bare(_biovil(False), ("vision",), "biovil_image_resnet50_proj_size_128.pt"),
    "BioViL-T": Bare(_biovil(True), ("vision",), "biovil_t_image_model_proj_size_128.pt"),
    "GLoRIA": Bare(_gloria(), ("vision", "text"), "chexpert_resnet50.ckpt", group="state_dict"),
    "MGCA ResNet-50": Bare(
        _mgca(resnet()), ("vision", "text"), "resnet_50.ckpt", group="state_dict"
    ),
    "MGCA ViT-B/16": Bare(_mgca(vit()), ("vision", "text"), "vit_base.ckpt", group="state_dict"),
    "MedKLIP": Bare(
        _medklip(), ("vision",), "checkpoint_final.pth", group="model", wrapper="module."
    ),
}


def tensors(bare: Bare) -> dict:
    """Values by name, as published: wrapped, and in 16 bits where it is."""
    found = {}
    for name, shape in bare.shapes.items():
        value = np.asarray(drawn.tensor(name, shape))
        if name.endswith(("num_batches_tracked", "position_ids")):
            value = np.zeros(shape, np.int64)
        found[bare.wrapper + name] = value.astype("float16") if bare.half else value
    return found
