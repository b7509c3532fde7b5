"""All images of the small mixed folder of ``sample.py``, each with its modality: six of them.

.venv/bin/python launch/generate.py --config=configs/data_gen/sample_modalities.py:FOLDER \
    --out=data/sample_modalities

One split, ``test``: the images are there to measure on. Labels are those of the table (finding,
organ or kind of slide), positive where they are named; only the radiographs of the NIH and the
paediatric ones were judged for more.
"""

import ml_collections

from configs.data_gen import sample


def get_config(root: str = "") -> ml_collections.ConfigDict:
    config = sample.get_config(root)
    config.name = "sample_modalities"
    with config.unlocked():
        config.where = {}
        # Names that say more than one thing, or whose slash reads as a separator.
        config.labels.names["microaneurysms (crop, green channel)"] = "microaneurysms"
        config.labels.names["abdomen/liver MRI"] = "abdomen MRI"
        config.modality_column = "modality"
    config.split_fractions = ml_collections.ConfigDict({"test": 1.0})
    return config
