"""LLaVA-Med's figures: the caption of each, and what the article says of it.

.venv/bin/python launch/generate.py --config=configs/data_gen/llava_captions.py \
    --out=data/llava_captions --config.root=/data/llava_med

Li et al., NeurIPS 2023. ``split_fractions`` divides the articles.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "llava_captions",
            "name": "llava_captions",
            "root": root,
            "json": "",  # empty finds it
            "images": "images",
            "mentions": 1,  # of the article, which become captions too
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
