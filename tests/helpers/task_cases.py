"""A tiny config of every task, for films of 16 pixels with a square or without."""

from pathlib import Path
from typing import Any

SIDE, LABELS = 16, ("square", "bright")
VISION = {
    "name": "resnet",
    "width": 4,
    "stage_sizes": (1, 1),
    "stem": "fold",
    "block": "basic",
}
TEXT = {"name": "bert", "vocab": 160, "max_length": 16, "width": 8, "depth": 3, "heads": 2}
TOWERS = {"vision": VISION, "text": TEXT | {"mlp_width": 8}, "embed_dim": 8}
#: Task -> its model, its other keys, what is measured, and where the number stands.
CASES = {
    "contrastive": (TOWERS, {"multi_positive": "labels"}, "zeroshot", "auc_macro"),
    "gloria": (
        TOWERS | {"patch_map": "middle", "token_map": "own"},
        {"hidden_states": 2},
        "zeroshot",
        "auc_macro",
    ),
    "mgca": (TOWERS | {"prototypes": 6}, {}, "retrieval", "image_to_text/r@1"),
    "medclip": (TOWERS, {}, "zeroshot", "auc_macro"),
    "blip": (
        {
            "vision": {
                "name": "vit",
                "patch": 8,
                "width": 8,
                "depth": 2,
                "heads": 2,
                "mlp_width": 8,
            },
            "text": TEXT | {"mlp_width": 8, "types": 0, "dropout": 0.1},
            "embed_dim": 8,
            "queue": 32,
        },
        {"cam_block": 1, "alpha_steps": 4, "caption_length": 6},
        "reranked",
        "image_to_text/r@1",
    ),
    "supervised": ({"vision": VISION}, {}, "classification", "auc_macro"),
    "segmentation": ({"vision": VISION, "widths": (8,)}, {}, "dice", "dice_positive"),
    "detection": ({"vision": VISION, "width": 8}, {"candidates": 10}, "average_precision", "map"),
}


def config_of(task: str, folder: Path) -> dict[str, Any]:
    model, keys, evaluator, _ = CASES[task]
    return {
        "name": task,
        "model": model,
        "task": {"name": task, **keys},
        "data": {
            "sources": [{"path": str(folder)}],
            "batch_size": 8,
            "threads": 1,
            "labels": LABELS if task != "detection" else LABELS[:1],
            "masks": ("square",) if task == "segmentation" else (),
            "image": {"size": SIDE, "channels": 1},
            "text": {"policy": "impression", "vocab": 160, "buckets": (16,), "window": 0},
        },
        "loop": {"steps": 6, "log_every": 1, "eval_every": 3, "save_every": 100},
        "optim": {"warmup_steps": 0, "lr": 1e-3},
        "log": {"tensorboard": False},
        "eval": {
            "batch_size": 8,
            "prompts": str(folder / "bank.json"),
            "bootstrap": {"resamples": 20},
            "sets": {"test": {"path": str(folder), "evaluators": (evaluator,)}},
        },
    }
