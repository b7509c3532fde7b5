"""COVIDx (CXR-2 and later, or 9A with three classes): images and labels; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/covidx.py --out=data/covidx
    --config.root=/data/covidx

Wang et al., Scientific Reports 2020. ``--config.split_name=cxr2_mavl`` (or cxr4_benchx) says which
published lists lie in the folder, and counts them.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "covidx",
            "name": "covidx",
            "root": root,  # above the lists and train/, test/
            "lists": {},  # split -> its list; empty looks for train.txt, val.txt, test.txt
            "split_name": "",
            "split_lists": {},
            "check_counts": True,
        }
    )
