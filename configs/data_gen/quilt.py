"""Quilt-1M: pathology images with one or more captions, in their published split.

.venv/bin/python launch/generate.py --config=configs/data_gen/quilt.py --out=data/quilt \
    --config.root=/data/quilt

Ikezogwo et al., NeurIPS 2023.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "quilt",
            "name": "quilt_1m",
            "root": root,
            "images": "quilt_1m",  # or the root itself
        }
    )
