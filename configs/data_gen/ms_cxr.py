"""MS-CXR: boxes of phrases on images of MIMIC-CXR-JPG.

.venv/bin/python launch/generate.py --config=configs/data_gen/ms_cxr.py --out=data/ms_cxr
    --config.root=/data/ms_cxr --config.images=/data/mimic-cxr-jpg

Boecking et al., ECCV 2022. What is made of it stays under PhysioNet's agreement.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "ms_cxr",
            "name": "ms_cxr",
            "root": root,  # of the CSV or JSON table
            "images": "",  # the folder of MIMIC-CXR-JPG above files/
            "table": "",
            "split_name": "",
            "split_lists": {},
            "check_counts": True,
        },
        max_size=1024,
    )
