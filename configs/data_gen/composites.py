"""Compound figures with exact truth: panels, images, labels, decoys.

    .venv/bin/python launch/generate.py --config=configs/data_gen/composites.py \
        --out=data/composites [--config.layouts=panel_layouts.json]

Behind the file name: ``:train`` makes what configs/brain/panels.py learns (smaller figures);
``:score`` makes test figures and measures on them how well figures are taken apart
(docs/pubmed.md), beside the XY-cut that needs no training. Without ``layouts`` all layouts are our
own; of a file of real ones a third is never used for the split ``train``, and alone for the others.
"""

import ml_collections

from configs import common

WORDS = ("", "train", "score")


def get_config(word: str = "") -> ml_collections.ConfigDict:
    common.choose("data_gen/composites.py", word, WORDS)
    config = ml_collections.ConfigDict(
        {
            "generator": "composites",
            "name": "composites",
            "seed": 0,
            "longer": (600, 1600),  # range of the longer side, pixels
            "letters": (14.0, 34.0),  # range of a label's em, thousandths of the longer side
            "quality": (55, 95),  # range of JPEG's quality
            "layouts": "",  # JSON of real layouts
            "real": 0.4,  # share of figures in one of them
            # Pictures that panels show; drawn once, in the output folder.
            "pool": {"per_modality": 48, "drawings": 16, "side": 224},
            "splits": {"train": 1000, "validation": 0, "test": 200},
            "per_shard": 100,
            "processes": 0,
        }
    )
    if word == "train":
        config.longer = (480, 960)
        config.splits = {"train": 3000, "validation": 0, "test": 200}
    if word == "score":
        config.splits = {"train": 0, "validation": 0, "test": 300}
        # "" is the model that comes with the package; else a run of configs/brain/
        config.score = {"figures": {"method": "detector", "panels": "", "labels": ""}}
    return config
