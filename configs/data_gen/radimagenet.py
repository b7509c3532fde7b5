"""RadImageNet: CT, MRI and ultrasound with one of 165 labels each; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/radimagenet.py \
    --out=data/radimagenet --config.root=/data/radimagenet

Mei et al., 2022. Captions come of ``configs/data_gen/captions.py``, which knows its 165 labels.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "radimagenet",
            "name": "radimagenet",
            "root": root,
            "images": "",  # the folder that holds MR, CT and US; empty finds it
            "table": "",  # one of your own; empty takes RadiologyAI_train.csv, _val and _test
            "image": "filename",  # column of the paths
            "labels": "folders",  # or "table", its column ``label``
            "label": "label",
            "modality": "",  # columns, for paths without these folders
            "anatomy": "",
            "split": "",  # columns of ``table``
            "patient": "",
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
            "check_counts": True,
        }
    )
