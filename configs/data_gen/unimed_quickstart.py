"""The data of the six-modality quickstart: small pictures of every phantom, in equal shares.

.venv/bin/python launch/generate.py --config=configs/data_gen/unimed_quickstart.py \
    --out=runs/unimed_quickstart/data

At most one finding a study, few faint ones. In the test split each study is followed by its
counterfactual, so that a model can be asked which of the two pictures shows the finding.
"""

import ml_collections

from configs.data_gen import phantom
from data_gen.phantom.registry import PHANTOMS


def get_config() -> ml_collections.ConfigDict:
    config = phantom.get_config()
    config.name = "unimed_quickstart"
    config.modalities = tuple(PHANTOMS)
    config.size = 96
    config.mix = {"normal": 0.2, "count": (1.0, 0.0, 0.0), "severity": (0.1, 0.3, 0.6)}
    config.masks = False
    config.splits = {"train": 15000, "validation": 600, "test": 1200}
    config.counterfactual = True
    config.counterfactual_splits = ("test",)
    return config
