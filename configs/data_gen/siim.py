"""SIIM-ACR pneumothorax: DICOM images, labels and masks; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/siim.py --out=data/siim
    --config.root=/data/siim

Published splits (mavl, benchx, mrm) need their authors' lists: ``--config.split_name=mavl
--config.split_lists.train=train.csv`` and so on.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "siim",
            "name": "siim",
            "root": root,  # above train-rle.csv and the DICOM folders
            "table": "",  # empty looks for train-rle.csv or stage_2_train.csv
            "images": ".",
            "split_name": "",
            "split_lists": {},  # split -> file
            "check_counts": True,
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
