"""PadChest: 16-bit images, Spanish reports, many findings.

.venv/bin/python launch/generate.py --config=configs/data_gen/padchest.py --out=data/padchest
    --config.root=/data/padchest

Bustos et al., Medical Image Analysis 2020. ``--config.physicians_only=True`` leaves out what a
network labelled, as the zero-shot protocols do.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "padchest",
            "name": "padchest",
            "root": root,
            "physicians_only": False,
            "pediatric": True,
            "intensity": "max",  # 16 to 8 bits by the largest value, or "quantile"
            "text_required": False,
            "split_name": "",
            "split_lists": {},  # split -> file
            "check_counts": True,
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
