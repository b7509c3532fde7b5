"""Glyphs for the reader of panel labels (configs/brain/labels.py).

.venv/bin/python launch/generate.py --config=configs/data_gen/letters.py --out=data/letters

Letters, digits and brackets in many typefaces on pictures and gutters, with what else is found
where letters are looked for. The same command goes on where it was stopped.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "letters",
            "name": "letters",
            "seed": 0,
            # Pictures that letters stand on; drawn once, in the output folder.
            "pool": {"per_modality": 48, "drawings": 16, "side": 224},
            "splits": {"train": 40_000, "validation": 0, "test": 4000},
            "per_shard": 4000,
            "processes": 0,
        }
    )
