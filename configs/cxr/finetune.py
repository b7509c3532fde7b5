"""Label efficiency of a checkpoint on labelled data: 1, 10 and 100 % of the patients.

    .venv/bin/python launch/finetune.py --checkpoint=RUN --config=configs/cxr/finetune.py:WORD \
        --out=OUT
        --config.downstream.train[0].path=FOLDER --config.validation.path=FOLDER
        --config.test.path=FOLDER

WORD: ``probe`` (logistic regression on frozen features), ``full`` (all is trained; default),
``segmentation`` (U-Net on the frozen tower; name the regions with ``--config.downstream.masks``),
``detection`` (anchor-free). Beside every number stands the same network from random initialisation;
``--config.downstream.starts=('pretrained',)`` leaves it out.
"""

import ml_collections

from configs import common

WORDS = {
    "probe": "probe",
    "full": "finetune",
    "segmentation": "segmentation",
    "detection": "detection",
}


def get_config(word: str = "full") -> ml_collections.ConfigDict:
    common.choose("cxr/finetune.py", word, WORDS)
    # Ratio of the encoder's learning rate to the head's as in BenchX (0.1).
    tuned = {"steps": 3000, "batch_size": 64, "eval_every": 100, "patience": 10}
    config = ml_collections.ConfigDict(
        {
            "name": f"fine-tuning, {word}",
            "evaluators": (WORDS[word],),
            "validation": {"path": "data/cxr", "split": "validation"},
            "test": {"path": "data/cxr", "split": "test"},
            "labels": (),
            "image": {
                "geometry": {"scale": (0.9, 1.1), "rotate": 10.0, "translate": 0.05},
                "photometric": {"brightness": 0.1, "contrast": (0.8, 1.25)},
            },
            "held_out": "",  # what launch/leakage.py found; see docs/data.md
            "workers": 0,
            "threads": 0,
            "max_boxes": 16,
            "eval_batch": 64,
            "downstream": {
                "classes": (),
                "masks": (),
                "boxes": (),
                "fractions": (0.01, 0.1, 1.0),
                "dense_fractions": (0.01, 0.1, 1.0),
                "seeds": 3,
                "starts": ("pretrained", "random"),
                "finetune": tuned
                | {
                    "frozen": False,
                    "uncertain": "ignore",
                    "optim": optim(1e-3, lr_multipliers={"vision/": 0.1}),
                },
                "segmentation": tuned
                | {
                    "loss": "focal_dice",
                    "frozen": True,
                    "batch_size": 16,
                    "optim": optim(5e-4, weight_decay=0.05),
                },
                "detection": tuned | {"frozen": True, "batch_size": 16, "optim": optim(5e-4)},
            },
        }
    )
    config.downstream.train = (ml_collections.ConfigDict({"path": "data/cxr", "split": "train"}),)
    return config


def optim(lr: float, weight_decay: float = 1e-6, lr_multipliers: dict | None = None) -> dict:
    return {
        "name": "adamw",
        "lr": lr,
        "schedule": "cosine",
        "warmup_steps": 50,
        "weight_decay": weight_decay,
        "clip_norm": 1.0,
        "lr_multipliers": lr_multipliers or {},
    }
