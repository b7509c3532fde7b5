"""LLaVA-Med: conversations about figures; the first answer of the alignment set is a caption.

.venv/bin/python launch/generate.py --config=configs/data_gen/llava_med.py --out=data/llava_med \
    --config.root=/data/llava_med

Li et al., NeurIPS 2023. ``split_fractions`` divides the articles.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "llava_med",
            "name": "llava_med",
            "root": root,
            "json": "",  # empty finds it
            "images": "images",
            "captions": "alignment",  # or "always", "never"
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
