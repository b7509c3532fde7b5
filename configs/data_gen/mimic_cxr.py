"""MIMIC-CXR-JPG with the reports of MIMIC-CXR and its official split.

.venv/bin/python launch/generate.py --config=configs/data_gen/mimic_cxr.py --out=data/mimic_cxr
    --config.root=/data/mimic-cxr-jpg --config.reports=/data/mimic-cxr

Johnson et al., Scientific Data 2019. What is made of it stays under PhysioNet's agreement.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "mimic_cxr",
            "name": "mimic_cxr",
            "root": root,
            "reports": "",  # the folder whose files/ holds the reports; empty if it is root
            "labeler": "chexpert",  # or negbio
            "test_labels": True,  # labels by radiologists for the test set, where there are some
            "text_required": True,
            "check_counts": True,
            "held_out": "",  # e.g. the MS-CXR table: its patients are not trained on
        }
    )
