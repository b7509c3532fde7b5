"""NIH ChestX-ray14: images, labels and the boxes of 984 images; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/nih.py --out=data/nih \
    --config.root=/data/NIH

Wang et al., CVPR 2017. The official test list is the test split; ``split_fractions`` divides the
patients of the other list.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "nih",
            "name": "nih_cxr14",
            "root": root,
            "split_fractions": {"train": 0.875, "validation": 0.125},
            "split_seed": 0,
            "split_name": "",  # mavl, benchx, mrm need split_lists; "" is the official one
            "split_lists": {},  # split -> file
            "check_counts": True,
        }
    )
