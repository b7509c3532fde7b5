"""Pictures of the classes that figures show, to train what screens them; no real data.

.venv/bin/python launch/generate.py --config=configs/data_gen/figure_classes.py \
    --out=data/figure_classes

Radiographs, CT, MRI, ultrasound, histology and fundus photographs are phantoms; charts, diagrams,
tables, gels, photographs and micrographs are drawn. configs/brain/screen.py trains on them.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "figure_classes",
            "name": "figure_classes",
            "seed": 0,
            "size": 160,  # longer side in pixels
            "quality": (40, 95),  # of the JPEGs
            "splits": {"train": 160, "validation": 20, "test": 40},  # of each of 15 classes
            "per_shard": 160,
            "processes": 0,  # one per CPU core
        }
    )
