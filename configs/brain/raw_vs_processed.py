"""Is it worth while to take figures apart? {raw, processed} x share of the articles x seeds.

    .venv/bin/python launch/generate.py --config=configs/data_gen/pubmed.py:quarters \
        --out=data/pubmed_quarters
    .venv/bin/python launch/experiment.py --config=configs/brain/raw_vs_processed.py \
        --out=runs/raw_vs_processed

``raw`` trains on whole figures with whole captions, ``processed`` on sub-figures with their part of
the caption, of the same 25, 50, 75 or 100 % of the articles, for equally many steps. Both are
measured on what is true of articles that neither saw: sub-figures with their words (``panels``) and
whole figures with whole captions (``figures``): retrieval both ways, the pointing game of each
finding's box, and zero-shot classes. Each processed condition is compared with the raw one of the
same share.

Arguments after a colon: ``clip`` (default), ``blip``, or ``clip,blip``.
"""

import ml_collections

from configs import common
from configs.brain import blip
from configs.cxr import clip

DATA = "data/pubmed_quarters"
SHARES = (25, 50, 75, 100)
#: Labels that the brain phantoms are judged for.
LABELS = (
    "brain tumor",
    "infarct",
    "white matter lesions",
    "brain edema",
    "hemorrhage",
    "hydrocephalus",
    "intraparenchymal hemorrhage",
    "subdural hematoma",
    "epidural hematoma",
    "subarachnoid hemorrhage",
    "no finding",
)
METHODS = {"clip": clip, "blip": blip}


def get_config(arg: str = "clip"):
    names = [common.choose("brain/raw_vs_processed.py", n, METHODS) for n in arg.split(",")]
    conditions = {f"{arm}_{share}": (arm,) for share in SHARES for arm in ("raw", "processed")}
    splits = {
        name: tuple(f"train{i + 1}" for i in range(int(name.rpartition("_")[2]) // 25))
        for name in conditions
    }
    config = ml_collections.ConfigDict(
        {
            "name": "raw_vs_processed",
            "data": {
                "raw": f"{DATA}/raw",
                "processed": DATA,
                "panels": f"{DATA}/truth/panels",
                "figures": f"{DATA}/truth/figures",
            },
            "conditions": conditions,
            "splits": splits,
            "reference": "raw_100",
            "against": {name: name.replace("processed", "raw") for name in conditions},
            "budgets": {"steps": {"steps": 240, "epochs": 0.0}},
            "seeds": (0, 1, 2),
            "sets": {
                "panels": {
                    "path": "panels",
                    "split": "test",
                    "evaluators": ("zeroshot", "retrieval", "grounding"),
                },
                "figures": {
                    "path": "figures",
                    "split": "test",
                    "evaluators": ("retrieval", "grounding"),
                },
            },
            "bootstrap": {"resamples": 1000},
        }
    )
    config.methods = ml_collections.ConfigDict({name: _method(METHODS[name]) for name in names})
    return config


def _method(module):
    config = module.get_config("small")
    config.data.labels = LABELS
    config.data.image = {
        "size": 128,
        "channels": 1,
        "resize": "pad",  # figures have any shape
        "geometry": {"scale": (0.85, 1.15), "rotate": 7.0, "translate": 0.06},
    }
    config.data.text.policy = "caption"
    config.data.text.mix = {}
    config.data.text.buckets = (96,)
    config.data.batch_size = 48
    config.task.pixels = "image"
    config.eval.prompts = "findings"
    config.eval.sets = {}
    return config
