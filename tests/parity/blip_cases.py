"""A tiny random BLIP of transformers, its files in both layouts, and batches for it."""

import dataclasses

import numpy as np
import torch

from benchmarks.torch_blip import TorchBlip
from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights.tables import blip

SIDE, LENGTH, ROWS, QUEUE = 16, 9, 6, 24
CONFIG = BlipConfig(
    vision=ViTConfig(image_size=SIDE, patch=8, width=16, depth=2, heads=2, mlp_width=24, eps=1e-5),
    text=TextConfig(
        vocab=40, max_length=16, types=0, width=24, depth=2, heads=3, mlp_width=32, dropout=0.0
    ),
    embed_dim=8,
    queue=QUEUE,
)


#: With heads as wide as those of published models, which their files do not say.
WIDE = dataclasses.replace(
    CONFIG,
    vision=dataclasses.replace(CONFIG.vision, width=64, heads=1, depth=1, eps=1e-6),
    text=dataclasses.replace(CONFIG.text, width=64, heads=1, depth=1),
)


def settings(config: BlipConfig = CONFIG) -> dict:
    """Those of transformers for a model of ours."""
    one = dataclasses.replace(config, branches=("encoder",), queue=0, temperature=None)
    return {k: v for k, v in blip.config_to(one).items() if k not in ("architectures",)}


def theirs(config: BlipConfig = CONFIG, **options) -> TorchBlip:
    """With weights that are large enough for every part to matter."""
    torch.manual_seed(0)
    model = TorchBlip(settings(config), QUEUE, hardest=True, **options).eval()
    with torch.no_grad():
        for p in model.learned():
            if p.ndim:
                p.copy_(torch.randn(p.shape) * (0.3 if p.ndim > 1 else 0.1))
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.add_(1.0)
    model.begin()
    return model


def batch_of(seed: int, rows: int = ROWS) -> dict[str, np.ndarray]:
    """Texts of 3 to 9 tokens; records that come again, that share a text, that share a figure, and
    one row of padding."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, LENGTH + 1, rows)
    mask = np.arange(LENGTH) < lengths[:, None]
    ids = np.where(mask, rng.integers(3, 40, (rows, LENGTH)), 0).astype(np.int32)
    ids[:, 0] = 2
    group = rng.integers(0, 4, rows)
    return {
        "image": rng.integers(0, 256, (rows, SIDE, SIDE, 3)).astype(np.uint8),
        "text": ids,
        "text_mask": mask,
        "record_key": rng.permutation(12)[:rows].astype(np.uint32) + 1,
        "text_key": rng.integers(1, 9, rows).astype(np.uint32),
        "group_key": np.where(group == 3, 0, group + 1).astype(np.uint32),
        "valid": np.arange(rows) != 4,
    }


def as_torch(batch: dict[str, np.ndarray]) -> tuple:
    """What ``TorchBlip`` takes; pixels have mean 0.5 and deviation 0.25."""
    image = (batch["image"].astype(np.float32) / 255 - 0.5) / 0.25
    keys = [torch.tensor(batch[f"{k}_key"].astype(np.int64)) for k in ("record", "text", "group")]
    return (
        torch.tensor(image).permute(0, 3, 1, 2),
        torch.tensor(batch["text"].astype(np.int64)),
        torch.tensor(batch["text_mask"].astype(np.int64)),
        keys,
        torch.tensor(batch["valid"]),
    )


def authors_names(model: TorchBlip) -> dict[str, torch.Tensor]:
    """The model's tensors as BLIP's authors name them, what is shared twice, and what training
    leaves in their files besides."""
    found: dict[str, torch.Tensor] = {}
    rules = (
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
        ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
        ("vision_model.post_layernorm", "visual_encoder.norm"),
        ("vision_model.encoder.layers", "visual_encoder.blocks"),
        ("self_attn.projection", "attn.proj"),
        ("self_attn", "attn"),
        ("layer_norm", "norm"),
    )
    for name, tensor in model.state_dict().items():
        if name.startswith(("average.", "image_q", "text_q", "key_q", "valid_q")):
            continue
        if name.startswith("vision_model"):
            for old, new in rules:
                name = name.replace(old, new)
        found[name] = tensor
    found["image_queue"] = model.image_queue.T.contiguous()
    found["text_queue"] = model.text_queue.T.contiguous()
    found["queue_ptr"] = torch.zeros(1, dtype=torch.long)
    found["visual_encoder_m.cls_token"] = found["visual_encoder.cls_token"]
    positions = torch.arange(CONFIG.text.max_length)[None]
    found["text_encoder.embeddings.position_ids"] = positions
    return found
