"""The models that are timed, said once for both sides."""

import dataclasses
from typing import Any, Literal

VISION = ("vit_b16", "resnet50", "unimed_b16")
IMAGE_SIZE = 224
EMBED_DIM = 512
VOCAB = 30522
#: BERT-base (Devlin et al. 2019); dropout is off on both sides.
BERT = {"width": 768, "depth": 12, "heads": 12, "mlp_width": 3072, "positions": 512}


@dataclasses.dataclass(frozen=True)
class Shape:
    """One training step: which vision tower beside BERT-base, and how much data.

    ``unimed_b16`` is the whole model of UniMed-CLIP: QuickGELU, and an MLP behind the text tower.
    """

    vision: Literal["vit_b16", "resnet50", "unimed_b16"]
    batch: int
    text_len: int


def our_config(shape: Shape, text_buckets: tuple[int, ...]) -> Any:
    """The experiment of ``configs/common.py`` in fp32, without what open_clip does not do."""
    from configs import common
    from configs.unimed import vit_b16 as unimed

    if shape.vision == "unimed_b16":
        config: Any = unimed.get_config()
        config.task.impl = "gathered"  # as open_clip's
        return _equal_terms(config, shape, text_buckets)
    config = common.base()
    vision: dict[str, Any] = {"name": shape.vision}
    if shape.vision == "vit_b16":  # open_clip's ViT is OpenAI's
        vision |= {"norm_pre": True, "patch_bias": False, "eps": 1e-5}
    config.model.vision = vision
    return _equal_terms(config, shape, text_buckets)


def _equal_terms(config: Any, shape: Shape, text_buckets: tuple[int, ...]) -> Any:
    config.name = f"benchmark_{shape.vision}"
    config.model.dtype = "float32"
    config.model.remat = "none"
    config.model.embed_dim = EMBED_DIM
    config.data.batch_size = shape.batch
    config.data.image.size = IMAGE_SIZE
    config.data.image.channels = 3
    config.data.text.buckets = text_buckets
    config.optim.clip_norm = None
    return config


def bert_config() -> dict[str, Any]:
    """``config.json`` of the text tower for transformers."""
    return {
        "model_type": "bert",
        "vocab_size": VOCAB,
        "hidden_size": BERT["width"],
        "num_hidden_layers": BERT["depth"],
        "num_attention_heads": BERT["heads"],
        "intermediate_size": BERT["mlp_width"],
        "max_position_embeddings": BERT["positions"],
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    }


def open_clip_config(shape: Shape, text_folder: str) -> dict[str, Any]:
    """The model config that open_clip would read for the same model."""
    vision: dict[str, Any] = {"image_size": IMAGE_SIZE}
    unimed = shape.vision == "unimed_b16"
    if shape.vision == "vit_b16" or unimed:
        vision |= {"layers": 12, "width": 768, "patch_size": 16}
    else:
        vision |= {"timm_model_name": "resnet50", "timm_pool": "avg", "timm_proj": "linear"}
    return {
        "embed_dim": EMBED_DIM,
        "quick_gelu": unimed,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": shape.text_len,
            "hf_model_name": text_folder,
            "hf_tokenizer_name": text_folder,
            "hf_model_pretrained": False,
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "hf_proj_type": "mlp" if unimed else "linear",
        },
    }
