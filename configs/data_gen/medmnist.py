"""One of the twelve MedMNIST sets of two-dimensional images, with its official split.

.venv/bin/python launch/generate.py --config=configs/data_gen/medmnist.py:pathmnist
    --out=data/pathmnist --config.root=/data/medmnist --config.pixels=224

Yang et al., Scientific Data 2023. The sizes of the parts are compared with the published ones.
"""

import ml_collections

from configs import common


def get_config(name: str = "pathmnist") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "medmnist",
            "name": "medmnist",
            "root": "",
            "set": name,
            "pixels": 28,  # or 64, 128, 224: the file NAME_224.npz
            "check_counts": True,
        },
        max_size=0,
    )
