"""Do records that share a caption have to be told apart? Losses x seeds on label captions.

    .venv/bin/python launch/generate.py --config=configs/data_gen/phantom.py --out=data/phantom \
        --config.size=128
    .venv/bin/python launch/generate.py --config=configs/data_gen/captions.py \
        --config.source=data/phantom --config.anatomy=chest --config.existing=replace \
        --out=data/label_captions
    .venv/bin/python launch/experiment.py --out=runs/multi_positive \
        --config=configs/unimed/multi_positive.py:data/label_captions

Captions made from labels are few: in a batch many records have the same one, and plain InfoNCE
takes each of them as a negative of the others. With ``text`` records that share the caption are
positives of each other, with ``text_or_labels`` those that share the label set too
(``config.task.multi_positive``). All methods start from the same parameters of a seed and see the
same batches for equally many steps; differences are to the plain form of the same loss.
"""

import ml_collections

from configs import common
from configs.cxr import clip, siglip

#: Method -> loss, and which records are positives.
METHODS = {
    "infonce": ("infonce", "none"),
    "infonce_text": ("infonce", "text"),
    "infonce_either": ("infonce", "text_or_labels"),
    "sigmoid": ("sigmoid", "none"),
    "sigmoid_either": ("sigmoid", "text_or_labels"),
}


def get_config(data: str = "data/label_captions"):
    words = ("zeroshot",)
    config = ml_collections.ConfigDict(
        {
            "name": "multi_positive",
            "data": {"captions": data or "data/label_captions"},
            "conditions": {"captions": ("captions",)},
            "reference": "captions",
            "compared": {m: m.split("_")[0] for m in METHODS if "_" in m},
            "budgets": {"steps": {"steps": 200, "epochs": 0.0}},
            "seeds": (0, 1, 2),
            "sets": {
                "validation": {"path": "captions", "split": "validation", "evaluators": ()},
                "test": {
                    "path": "captions",
                    "split": "test",
                    "validation": "validation",
                    "evaluators": words,
                },
            },
            "bootstrap": {"resamples": 2000},
        }
    )
    config.methods = ml_collections.ConfigDict({name: _method(*METHODS[name]) for name in METHODS})
    return config


def _method(loss: str, positives: str):
    config = (clip if loss == "infonce" else siglip).get_config("small")
    config.task.multi_positive = positives
    config.data.text.policy = "caption"
    config.data.text.mix = {}
    config.data.labels = common.FINDINGS
    config.eval.sets = {}
    return config
