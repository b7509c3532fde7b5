"""MM-Retinal: fundus photographs, angiograms and OCT with captions of four atlases.

.venv/bin/python launch/generate.py --config=configs/data_gen/mm_retinal.py --out=data/mm_retinal \
    --config.root=/data/mm_retinal

Wu et al., MICCAI 2024. ``split_fractions`` divides the figures, whose panels stay together.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "mm_retinal",
            "name": "mm_retinal",
            "root": root,
            "table": "",  # empty takes all that have a published name
            "image": "",  # column; empty takes the published name
            "caption": "",
            "images": ".",
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
