"""The detector of panels, on composites; a small net that is quick on a CPU.

    .venv/bin/python launch/generate.py --config=configs/data_gen/composites.py:train \
        --out=data/composites [--config.layouts=panel_layouts.json]
    .venv/bin/python launch/train.py --config=configs/brain/panels.py --workdir=runs/panels
    .venv/bin/python launch/convert.py --from=runs/panels --to=exports/panels --layout=compact

It learns the box of every image; images that share a label are joined afterwards, where labels have
been read. Another folder: ``--config=configs/brain/panels.py:FOLDER``.
"""

import ml_collections

from configs import common


def get_config(folder: str = "data/composites") -> ml_collections.ConfigDict:
    config = common.base()
    config.name = "panels"
    config.model = {
        "vision": {
            "name": "resnet_narrow",
            "width": 24,
            "channels": 3,
            "stage_sizes": (1, 1, 1, 1),
            "init": "",
        },
        "width": 32,
        "convs": 1,
        "dtype": "float32",
    }
    config.task = {"name": "detection", "channels": 3, "candidates": 200, "level": "area"}
    config.data.sources = (ml_collections.ConfigDict(common.source(folder)),)
    config.data.labels = ("image",)
    config.data.max_boxes = 64
    config.data.batch_size = 16
    config.data.image = {
        "size": 256,
        "channels": 3,
        "resize": "pad",
        "geometry": {"scale": (0.75, 1.1), "translate": 0.08, "flip": 0.5},
        "photometric": {"brightness": 0.08, "contrast": (0.85, 1.15)},
    }
    config.optim.update(
        lr=3e-3, b2=0.99, warmup_steps=20, weight_decay=1e-4, clip_norm=5.0, ema_decay=0.98
    )
    # A constant rate and an average: the run may be stopped, or go on, at any step.
    config.optim.schedule = "constant"
    config.loop.update(steps=2000, log_every=10, eval_every=0, save_every=50)
    config.checkpoint.keep_best = 0
    config.log.tensorboard = False
    config.eval.sets = {
        "test": {"path": folder, "split": "test", "evaluators": ("average_precision",)}
    }
    return config
