"""Collections of fundus photographs in the tables of FLAIR: labels, and a sentence of them.

.venv/bin/python launch/generate.py --config=configs/data_gen/fundus.py --out=data/fundus \
    --config.root=/data/fundus

Silva-Rodríguez et al., Medical Image Analysis 2025. DeepEyeNet, whose texts are its publisher's, is
``--config.collections="('06_DEN',)"``.
"""

import ml_collections

from configs import common
from data_gen.sources.labelled.fundus import UNIMED


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "fundus",
            "name": "fundus",
            "root": root,
            "collections": UNIMED,
            "tables": "",  # folder of the tables; empty finds it
            "images": ".",  # folder that their paths begin in
            "names": {},  # category -> label, for those that are not known
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
