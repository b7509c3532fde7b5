"""One small CLIP on six modalities, trained and measured on two CPU cores in under half an hour.

    .venv/bin/python launch/generate.py --config=configs/data_gen/unimed_quickstart.py \
        --out=runs/unimed_quickstart/data
    .venv/bin/python launch/train.py --config=configs/unimed/quickstart.py:DATA_FOLDER[,REAL] \
        --workdir=runs/unimed_quickstart/train

The tower and the losses of ``configs/cxr/quickstart.py``, in colour. Batches mix the modalities.
These are labels too, so that a text ("no abnormality") is a positive of images of its own modality
alone. REAL: a folder of real images (``configs/data_gen/sample_modalities.py``), whose modality is
asked as well.
"""

from configs.cxr import quickstart
from medvlp_jax.data.store.record import MODALITIES
from medvlp_jax.eval.zeroshot.promptbank import load_bank

PROMPTS = "findings"


def get_config(arg: str = "runs/unimed_quickstart/data"):
    data, _, real = arg.partition(",")
    config = quickstart.get_config(data)
    config.name = "unimed_quickstart"
    config.model.text.vocab = config.data.text.vocab = 6144
    config.data.labels = (*load_bank(PROMPTS).classes, *MODALITIES)
    config.data.image.size = 96
    config.data.image.channels = 3
    config.data.batch_size = 128
    # By how many findings there are to learn, and how faint they are.
    weights = {"xray": 8, "ct": 7, "mri": 2, "ultrasound": 1, "pathology": 2, "fundus": 4}
    config.data.mixture = {"by": "modality", "weights": weights}
    config.loop.steps = 1900
    config.loop.eval_every = 475
    config.loop.save_every = 475
    config.eval.prompts = PROMPTS
    config.eval.subgroups = ()
    config.eval.sets = {
        "validation": {
            "path": data,
            "split": "validation",
            "evaluators": ("by_modality",),
            "during_training": True,
        },
        "test": {
            "path": data,
            "split": "test",
            "validation": "validation",
            "evaluators": ("modality", "by_modality", "counterfactual"),
        },
    }
    if real:
        config.eval.sets.real = {"path": real, "split": "test", "evaluators": ("modality",)}
    config.checkpoint.best_metric = "validation-by_modality/auc_macro"
    return config
