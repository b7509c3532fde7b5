"""An entity bank from the reports of a data folder, for ``configs/data_gen/syncxr.py``.

.venv/bin/python launch/generate.py --config=configs/data_gen/entities.py --config.source=data/mimic
    --out=data/mimic_entities
    [--config.extractor=rate-ner --config.model=weights/rate-ner --config.min_count=2]

writes ``bank.jsonl`` into the folder. The lexicon of the package is the default; ``rate-ner`` runs
a token classifier from a folder and needs the extra ``torch``.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "generator": "entities",
            "source": "",
            "split": "train",
            "extractor": "lexicon",
            "model": "",
            "min_count": 1,
            "limit": 0,  # records; 0 takes all
        }
    )
