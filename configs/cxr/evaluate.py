"""What to measure on a checkpoint, as a file instead of many flags; keys are those of
``config.eval`` of a run.

    .venv/bin/python launch/evaluate.py --checkpoint=RUN --out=OUT \
        --config=configs/cxr/evaluate.py:FOLDER [--config.protocol=chexzero ...]

FOLDER: a labelled data folder with the splits ``validation`` and ``test``.
"""

import ml_collections


def get_config(folder: str = "data/cxr") -> ml_collections.ConfigDict:
    asked = ("zeroshot", "baseline", "retrieval", "pictures")
    return ml_collections.ConfigDict(
        {
            "sets": {
                "validation": {"path": folder, "split": "validation", "evaluators": ("zeroshot",)},
                "test": {
                    "path": folder,
                    "split": "test",
                    "validation": "validation",
                    "evaluators": asked,
                },
            },
            "batch_size": 64,
            "subgroups": ("view",),
            "bootstrap": {"resamples": 1000},
        }
    )
