"""COVID-19 Rural (COVID-19-AR): images and masks; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/covid_rural.py --out=data/covid_rural
    --config.root=/data/covid_rural

Desai et al., Scientific Data 2020. ``--config.split_name=mavl`` needs the lists of its authors.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "covid_rural",
            "name": "covid_rural",
            "root": root,  # above jpgs/ and pngs_masks/
            "split_name": "",
            "split_lists": {},  # split -> file
            "check_counts": True,
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "split_seed": 0,
        },
        max_size=1024,
    )
