"""The chest radiographs of a small mixed folder of real images, as a data set of its own.

.venv/bin/python launch/generate.py --config=configs/data_gen/sample.py --out=data/sample
    --config.root=../shared/data/sample

Expects ``manifest.csv`` with path, labels ("Effusion;Pneumonia"), text, mask_path, masks_other
("name=path;..."), view, patient_id, group, licence and sha256. Takes the groups of chest
radiographs and no other modality, names labels as configs/common.py FINDINGS does, and divides the
patients (an image stands for one where none is given). Each group judged other findings: the 14 of
NIH, pneumonia alone in the paediatric set, only what is named in the COVID-19 collection. Most
images have no text; ``texts_from_labels`` gives them sentences, marked with source "labels".
"""

import ml_collections

NIH = (
    *("atelectasis", "cardiomegaly", "pleural effusion", "infiltration", "mass", "nodule"),
    *("pneumonia", "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis"),
    *("pleural thickening", "hernia", "no finding"),
)


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "csv",
            "name": "sample_cxr",
            "root": root,
            "csv": "manifest.csv",
            "image": "path",
            "patient": "patient_id",
            "view": "view",
            "view_names": {"AP Supine": "AP"},
            "where": {"group": ("nih_chestxray", "kermany_paediatric_cxr", "covid_chestxray")},
            "texts": {"text": "report"},
            "text_source": "notes",
            "texts_from_labels": True,
            "labels": {
                "list_column": "labels",
                "separator": ";",
                "judged_column": "group",
                "judged_by": {
                    "nih_chestxray": NIH,
                    "kermany_paediatric_cxr": ("pneumonia", "no finding"),
                },
                "names": {
                    "viral or bacterial pneumonia": "pneumonia",
                    "Pneumocystis": "pneumonia",
                },
            },
            "masks": {
                "columns": {"mask_path": "lungs"},
                "list_column": "masks_other",
                "names": {
                    "gb_consolidation": "consolidation",
                    "gb_ground_glass_opacities": "ground glass opacity",
                },
            },
            "keep": ("group", "licence", "sha256"),
            "split_fractions": {"train": 0.6, "validation": 0.15, "test": 0.25},
            "split_seed": 0,
            "max_size": 0,
            "records_per_shard": 1000,
            "processes": 1,
        }
    )
