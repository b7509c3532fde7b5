"""The data of the quickstart: small pictures, at most one finding a study, few faint ones.

.venv/bin/python launch/generate.py --config=configs/data_gen/quickstart.py \
    --out=runs/quickstart/data

configs/data_gen/phantom.py is the set for real work: larger, up to three findings a study, and as
many mild ones as moderate ones. Two cores and ten minutes do not suffice to learn those.
"""

import ml_collections

from configs.data_gen import phantom


def get_config() -> ml_collections.ConfigDict:
    config = phantom.get_config()
    config.name = "quickstart"
    config.size = 128
    config.mix = {"normal": 0.2, "count": (1.0, 0.0, 0.0), "severity": (0.1, 0.3, 0.6)}
    config.splits = {"train": 6000, "validation": 400, "test": 800}
    return config
