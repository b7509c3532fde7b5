"""Synthetic chest radiographs with reports, boxes and masks; no real data, no downloads.

.venv/bin/python launch/generate.py --config=configs/data_gen/phantom.py --out=data/phantom
    [--config.splits.train=4000 --config.size=128 --config.processes=2 --config.seed=1 ...]

The same command goes on where it was stopped. Study i of a seed is the same in every data set, and
the splits never share a study, however large they are.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "phantom",
            "name": "phantom",
            "modality": "chest_xray",  # a key of PHANTOMS in data_gen/phantom/registry.py
            "modalities": (),  # several of them in one folder instead, in equal shares
            "counterfactual": False,  # each study again with one finding more or fewer
            "counterfactual_splits": ("train", "validation", "test"),
            "seed": 0,
            "size": 224,  # pixels a side
            "image_format": "jpeg",  # or png
            "quality": 92,
            # probability of no finding; weights of 1, 2, 3 findings; of mild, moderate, severe
            "mix": {"normal": 0.28, "count": (0.5, 0.32, 0.18), "severity": (0.38, 0.36, 0.26)},
            "masks": True,
            "splits": {"train": 4000, "validation": 500, "test": 1000},
            "studies_per_shard": 250,
            "processes": 0,  # one per CPU core; 1 works on JAX's own device
        }
    )
