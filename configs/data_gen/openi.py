"""OpenI / Indiana University: images with reports; labels from the MeSH terms.

.venv/bin/python launch/generate.py --config=configs/data_gen/openi.py --out=data/openi
    --config.root=/data/openi [--config.view_table=/data/openi/projections.csv]

Demner-Fushman et al., JAMIA 2016. The collection has no view and no split of its own.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "openi",
            "name": "openi",
            "root": root,  # above ecgen-radiology, or of indiana_reports.csv (Kaggle)
            "images": "",  # above the images; empty if it is root
            "view_table": "",
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
            "check_counts": True,
            "text_required": True,
        }
    )
