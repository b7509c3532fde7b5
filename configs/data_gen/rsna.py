"""RSNA pneumonia (Kaggle, stage 2): DICOM images, labels, boxes; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/rsna.py --out=data/rsna
    --config.root=/data/rsna

Published splits: ``--config.split_name=gloria`` or ``mgca_detection`` are made by their recipes;
medklip, benchx and mrm need their authors' lists, e.g. ``--config.split_name=medklip
--config.split_lists.validation=val.csv --config.split_lists.test=test.csv``. Shih et al.,
Radiology: Artificial Intelligence 2019.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "rsna",
            "name": "rsna",
            "root": root,  # of the two tables and stage_2_train_images
            "images": "stage_2_train_images",
            "split_name": "",  # e.g. gloria; "" divides the patients
            "split_lists": {},  # split -> file
            "check_counts": True,
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
