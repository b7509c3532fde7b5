"""Does purely synthetic data suffice? {real, cleaned, synthetic, mixed} x methods x seeds.

    .venv/bin/python launch/experiment.py --config=configs/cxr/synthetic_vs_real.py:ARCH \
        --out=runs/suffices \
        --config.data.real=data/mimic --config.data.cleaned=data/mimic_clean \
        --config.data.synthetic=data/syncxr

``ARCH`` is that of the methods' own configs: ``resnet50`` (default), ``vit_b16`` or ``small``, for
two CPU cores. Two budgets: equal optimizer steps, and equal epochs over each condition's own data
(which gives ``mixed`` more steps). All runs share one tokenizer, trained on the training texts of
all data folders, unless the method's config names one. Everything is measured on the test split of
the real data, where thresholds come from its validation split, and on the synthetic one.

``data.cleaned`` is made by ``launch/generate.py --config=configs/data_gen/curate.py``,
``data.synthetic`` by ``--config=configs/data_gen/syncxr.py``.
"""

import ml_collections

from configs import common
from configs.cxr import convirt, gloria, methods


def get_config(arch: str = "resnet50"):
    small = common.choose("cxr/synthetic_vs_real.py", arch, methods.ARCHS) == "small"
    words = ("zeroshot",)
    config = ml_collections.ConfigDict(
        {
            "name": "synthetic_vs_real",
            "data": {
                "real": "data/real",
                "cleaned": "data/real_clean",
                "synthetic": "data/syncxr",
            },
            "conditions": {
                "real": ("real",),
                "cleaned": ("cleaned",),
                "synthetic": ("synthetic",),
                "mixed": ("real", "synthetic"),
            },
            "reference": "real",
            "budgets": {
                "steps": {"steps": 300 if small else 20_000, "epochs": 0.0},
                "epochs": {"steps": 0, "epochs": 10.0 if small else 50.0},
            },
            "seeds": (0, 1, 2),
            "sets": {
                "real_validation": {"path": "real", "split": "validation", "evaluators": words},
                "real": {
                    "path": "real",
                    "split": "test",
                    "validation": "real_validation",
                    "evaluators": words,
                },
                "synthetic": {"path": "synthetic", "split": "test", "evaluators": words},
            },
            "bootstrap": {"resamples": 2000},
        }
    )
    config.methods = ml_collections.ConfigDict(
        {"convirt": convirt.get_config(arch), "gloria": gloria.get_config(arch)}
    )
    for method in config.methods.values():
        method.eval.sets = {}
    return config
