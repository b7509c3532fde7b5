"""The reader of panel labels: which sign a glyph is, or none, and whether it is a capital.

    .venv/bin/python launch/generate.py --config=configs/data_gen/letters.py --out=data/letters
    .venv/bin/python launch/train.py --config=configs/brain/labels.py --workdir=runs/labels
    .venv/bin/python launch/convert.py --from=runs/labels --to=exports/labels --layout=compact

Every sign is a question of its own, so that "none of them" needs no class. Another folder:
``--config=configs/brain/labels.py:FOLDER``.
"""

import ml_collections

from configs import common

#: Of data_gen/pipelines/pubmed/figures/alphabet.py, in its order.
CLASSES = (*"abcdefghijklmnopqrstuvwxyz0123456789().", "upper case")


def get_config(folder: str = "data/letters") -> ml_collections.ConfigDict:
    config = common.base()
    config.name = "labels"
    config.model = {
        "vision": {
            "name": "resnet_narrow",
            "width": 32,
            "channels": 1,
            "stage_sizes": (1, 1, 1),
            "stem": "v1",
            "init": "",
        },
        "dtype": "float32",
    }
    config.task = {"name": "supervised", "channels": 1}
    config.data.sources = (ml_collections.ConfigDict(common.source(folder)),)
    config.data.labels = CLASSES
    config.data.batch_size = 256
    config.data.image = {
        "size": 32,
        "channels": 1,
        "resize": "stretch",
        "geometry": {"rotate": 4.0, "scale": (0.9, 1.1), "translate": 0.04},
    }
    config.optim.update(lr=3e-3, b2=0.99, warmup_steps=50, weight_decay=1e-3, ema_decay=0.98)
    config.optim.schedule = "constant"
    config.loop.update(steps=1500, log_every=10, eval_every=0, save_every=50)
    config.checkpoint.keep_best = 0
    config.log.tensorboard = False
    config.eval.sets = {
        "test": {"path": folder, "split": "test", "evaluators": ("classification",)}
    }
    return config
