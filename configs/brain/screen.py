"""The classifier that tells medical pictures from charts, diagrams and photographs.

    .venv/bin/python launch/train.py --config=configs/brain/screen.py:FOLDER --workdir=runs/screen

FOLDER: what configs/data_gen/figure_classes.py makes. A narrow ResNet at 96 px; each class is a
question of its own. The weights that ship with the package are of this config; for use elsewhere:

    .venv/bin/python launch/convert.py --from=runs/screen --to=FOLDER --layout=compact \
        --dtype=float16 --results=runs/screen/eval/results.json
"""

from configs import common
from data_gen.pipelines.pubmed.screen.classes import CLASSES


def get_config(folder: str = "data/figure_classes"):
    config = common.base()
    config.name = "screen"
    config.model = {
        "vision": {
            "name": "resnet_narrow",
            "width": 16,
            "stage_sizes": (1, 1, 1, 1),
        },
        "dtype": "float32",
    }
    # Exposure says something here (charts are white), so pixels stay as they are.
    config.task = {"name": "supervised", "mean": (0.5,), "std": (0.3,)}
    config.data.sources[0].path = folder
    config.data.batch_size = 64
    config.data.labels = tuple(CLASSES)
    config.data.image = {
        "size": 96,
        "channels": 3,
        "resize": "stretch",
        "geometry": {
            "scale": (0.9, 1.1),
            "rotate": 5.0,
            "translate": 0.05,
            "crop_area": (0.6, 1.0),
            "flip": 0.5,
        },
        "photometric": {
            "brightness": 0.12,
            "contrast": (0.7, 1.3),
            "gamma": (0.7, 1.4),
            "blur": 0.2,
            "noise": 0.2,
        },
        "allow_flip": True,  # sides mean nothing here
    }
    config.optim.update(lr=3e-3, warmup_steps=40, weight_decay=0.02, b2=0.99)
    config.loop.update(steps=800, eval_every=400, save_every=400, log_every=25)
    config.log.tensorboard = False
    test = {"path": folder, "split": "test", "evaluators": ("classification",)}
    config.eval.sets = {
        "validation": test | {"split": "validation", "during_training": True},
        "test": test | {"validation": "validation"},
    }
    config.checkpoint.best_metric = "validation-classification/auc_macro"
    return config
