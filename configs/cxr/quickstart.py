"""A small CLIP on synthetic radiographs that two CPU cores train in a few minutes.

    .venv/bin/python launch/train.py --config=configs/cxr/quickstart.py:DATA_FOLDER \
        --workdir=runs/quickstart

A narrow ResNet at 128 px and a one-layer text tower. What makes them learn within minutes: pixels
standardised per image (exposure differs between films), mean and maximum pooling (a nodule is not
averaged away), texts as positives of every image that shows what they state, a loss between texts
from which the text tower knows the findings before the images do, and a loss between the texts and
the regions that they are about.
"""

from configs import common


def get_config(data: str = "runs/quickstart/data"):
    config = common.base()
    config.name = "quickstart"
    config.model = {
        "vision": {"name": "resnet_narrow"},
        "text": {
            "name": "bert",
            "vocab": 4096,
            "max_length": 128,
            "width": 128,
            "depth": 1,
            "norm": "pre",
            "norm_embed": False,
            "norm_final": True,
            "heads": 4,
            "mlp_width": 512,
            "pool": "mean",
        },
        "embed_dim": 128,
        "patch_map": "middle",
        "logit_scale": 10.0,
        "dtype": "float32",
    }
    config.task = {
        "name": "contrastive",
        "loss": "infonce",
        "multi_positive": "stated",
        "text_weight": 0.5,
        "region_weight": 0.5,
        "pixels": "image",
    }
    config.data.sources[0].path = data
    config.data.batch_size = 64
    config.data.image = {
        "size": 128,
        "channels": 1,
        "geometry": {"scale": (0.85, 1.15), "rotate": 7.0, "translate": 0.06},
        # Wide, as other machines' films differ in exposure, sharpness and grain.
        "photometric": {
            "brightness": 0.15,
            "contrast": (0.7, 1.4),
            "gamma": (0.65, 1.55),
            "blur": 0.3,
            "noise": 0.3,
        },
    }
    config.data.max_boxes = 8
    config.data.text.vocab = 4096
    config.data.text.policy = "random"
    config.data.text.mix = {"caption": 0.6, "impression": 0.2, "findings": 0.2}
    config.data.text.buckets = (64,)
    config.data.text.window = 0
    config.optim.lr = 3e-3
    config.optim.warmup_steps = 20
    config.optim.weight_decay = 0.05
    config.loop.steps = 660
    config.loop.eval_every = 165
    config.loop.save_every = 165
    config.loop.log_every = 20
    config.log.tensorboard = False
    config.eval.batch_size = 128
    config.eval.protocol = "multiclass"  # captions affirm: denials are hardly trained
    config.eval.heatmap = "contrast"
    config.eval.sets = {
        "validation": {
            "path": data,
            "split": "validation",
            "evaluators": ("zeroshot",),
            "during_training": True,
        },
        "test": {
            "path": data,
            "split": "test",
            "validation": "validation",
            "evaluators": (
                "zeroshot",
                "retrieval",
                "grounding",
                "baseline",
                "probe",
                "finetune",
                "segmentation",
                "detection",
            ),
        },
    }
    config.eval.downstream = downstream()
    config.checkpoint.best_metric = "validation-zeroshot/auc_macro"
    return config


def downstream() -> dict:
    """What is trained on the tower, and on the same network untrained: a minute each."""

    def run(steps: int, batch: int, lr: float) -> dict:
        optim = {"lr": lr, "warmup_steps": 20, "weight_decay": 0.01}
        return {"steps": steps, "batch_size": batch, "eval_every": steps // 2, "patience": 0,
                "optim": optim}  # fmt: skip

    return {
        "fractions": (0.01, 1.0),
        # Regions of some size; lungs and heart are found by their place, without looking.
        "masks": (
            "cardiomegaly", "consolidation", "emphysema", "mass", "pleural effusion",
            "pneumothorax",
        ),
        "probe": {"l2": (1e-2, 1e-1, 1.0)},  # weaker ones fit longest and were never chosen
        "finetune": run(80, 32, 1e-3),
        "segmentation": run(140, 16, 2e-3) | {"stride": 2, "widths": (48, 32, 24, 16)},
        "detection": run(200, 16, 2e-3) | {"frozen": True, "width": 32},
    }  # fmt: skip
