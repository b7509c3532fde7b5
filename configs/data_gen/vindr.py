"""VinDr-CXR 1.0.0 (PhysioNet) or its Kaggle copy: DICOM images, labels and boxes; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/vindr.py --out=data/vindr
    --config.root=/data/vindr

Nguyen et al., Scientific Data 2022. The test set is the official one; benchx needs its lists.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "vindr",
            "name": "vindr_cxr",
            "root": root,  # above annotations/ (PhysioNet) or train.csv (Kaggle)
            "agreement": "majority",  # of the three readers, or "any" of them
            "split_name": "",  # "" is the official one
            "split_lists": {},  # split -> file
            "check_counts": True,
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        },
        max_size=1024,
    )
