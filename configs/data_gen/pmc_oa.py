"""PMC-OA: sub-figures of PubMed Central with their part of the caption.

.venv/bin/python launch/generate.py --config=configs/data_gen/pmc_oa.py --out=data/pmc_oa \
    --config.root=/data/pmc_oa

Lin et al., MICCAI 2023. Without files of parts the articles are divided by ``split_fractions``.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "pmc_oa",
            "name": "pmc_oa",
            "root": root,
            "images": "images",
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        }
    )
