"""ROCO v2: figures of PubMed Central with captions and concepts, in their published split.

.venv/bin/python launch/generate.py --config=configs/data_gen/roco.py --out=data/roco \
    --config.root=/data/roco

Rückert et al., Scientific Data 2024.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "roco",
            "name": "roco_v2",
            "root": root,
            "check_counts": True,
        }
    )
