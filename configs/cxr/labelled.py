"""Learning from labels, masks or boxes instead of texts, on one vision tower.

    .venv/bin/python launch/train.py --config=configs/cxr/labelled.py:WORD:FOLDER \
        --workdir=runs/labelled

WORD: ``classification`` (a linear layer on the tower), ``segmentation`` (a U-Net; name the regions
with ``--config.data.masks``), ``detection`` (anchor-free). FOLDER: a data folder of records with
splits ``train``, ``validation`` and ``test``. The tower starts from nothing, from published weights
with ``--config.model.vision.init=FOLDER``, or from a run with ``--config.init_from=WORKDIR
--config.init_only="('vision/.*',)"``. Label efficiency of a checkpoint is ``launch/finetune.py``.
"""

import ml_collections

from configs import common

#: Word -> task, evaluator of the test set, its metric.
WORDS = {
    "classification": ("supervised", "classification", "auc_macro"),
    "segmentation": ("segmentation", "dice", "dice_positive"),
    "detection": ("detection", "average_precision", "map"),
}


def get_config(words: str = "classification") -> ml_collections.ConfigDict:
    word, _, folder = words.partition(":")
    common.choose("cxr/labelled.py", word, WORDS)
    task, evaluator, metric = WORDS[word]
    folder = folder or "data/cxr"
    config = common.base()
    config.name = word
    config.model = {"vision": {"name": "resnet50", "init": ""}, "dtype": "bfloat16"}
    config.task = {"name": task}
    config.init_only = (".*",)  # of the parameters of ``init_from``
    config.data.sources = (ml_collections.ConfigDict(common.source(folder)),)
    config.data.batch_size = 64
    config.data.image.channels = 1
    config.data.labels = common.FINDINGS
    config.data.masks = ()  # of segmentation: the names of the regions
    if word == "detection":
        config.data.labels = tuple(name for name in common.FINDINGS if name != "no finding")
    config.loop.update(steps=3000, eval_every=200, save_every=200, patience=10)
    config.optim.update(lr=1e-4, warmup_steps=100, weight_decay=1e-6)
    config.checkpoint.best_metric = f"validation-{evaluator}/{metric}"
    test = {"path": folder, "split": "test", "evaluators": (evaluator,)}
    config.eval.sets = {
        "validation": test | {"split": "validation", "during_training": True},
        "test": test | ({"validation": "validation"} if word == "classification" else {}),
    }
    return config
