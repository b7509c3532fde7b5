"""CheXpert (v1.0 or v1.0-small): images and labels, no texts.

python launch/generate.py --config=configs/data_gen/chexpert.py --out=data/chexpert
    --config.root=/data/CheXpert-v1.0-small

Irvin et al., AAAI 2019. The valid set is by radiologists; the test set comes where its table is.
"""

import ml_collections


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "chexpert",
            "name": "chexpert",
            "root": root,
            "splits": ("train", "validation", "test"),
            "views": (),  # e.g. ("PA", "AP"); empty keeps all
            "max_size": 512,
            "limit": 0,
            "records_per_shard": 1000,
            "processes": 0,
        }
    )
