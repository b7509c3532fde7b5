"""CheXpert (v1.0 or v1.0-small): images and labels, no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/chexpert.py --out=data/chexpert
    --config.root=/data/CheXpert-v1.0-small

Irvin et al., AAAI 2019. The valid set is by radiologists; the test set comes where its table is:
``groundtruth.csv`` in root, or ``--config.test_labels`` and ``--config.test_images``.
``--config.split_name=5x200`` makes split test_5x200 and takes its patients out of the training set.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "chexpert",
            "name": "chexpert",
            "root": root,
            "splits": ("train", "validation", "test"),
            "split_name": "",  # "" is the official one
            "split_lists": {},  # test_5x200 -> its published list; without it, the recipe
            "per_finding": 200,
            "test_labels": "",
            "test_images": "",
            "check_counts": True,
        }
    )
