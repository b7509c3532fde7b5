"""A set of the zero-shot suite of UniMed-CLIP in its public layout: images and classes; no texts.

.venv/bin/python launch/generate.py --config=configs/data_gen/suite.py:acl_mri
    --out=data/suite/acl_mri --config.root=/data/acl

SET is one of chexpert_5x200, rsna_pneumonia, thyroid_us, breast_us, meniscal_mri, acl_mri,
CT_axial, CT_coronal, CT_sagittal, dr_regular, refuge_retina, five_retina, odir_retina,
LC25000_lung, LC25000_colon, PCAM, NCK_CRC, BACH, Osteo, skin_cancer and skin_tumor. The folder
bears its name, so that configs/unimed/suite.py:data/suite finds it. Files stay as they are, so that
the model's own preprocessing sees their pixels; TIFF becomes PNG. A table of another name or with
other columns is --config.table, --config.image, --config.label and --config.split.
"""

import re

import ml_collections

from configs import common


def get_config(name: str = "acl_mri") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "suite",
            "name": re.sub(r"[^a-z0-9]+", "_", name.lower()),
            "set": name,
            "root": "",
            "table": "",  # empty looks for the published one
            "image": "",
            "label": "",
            "split": "",
            "images": "",  # folder that the paths of the table begin in
            "split_fractions": {"test": 1.0},
            "split_seed": 0,
            "check_counts": True,
        },
        max_size=0,
    )
