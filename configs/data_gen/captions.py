"""Captions of the labels of a data folder, by our grammar or a language model, through a gate.

.venv/bin/python launch/generate.py --config=configs/data_gen/captions.py --config.source=data/x
    --out=data/x_captions [--config.anatomy=chest --config.modality=xray ...]

By a server: --config=configs/data_gen/captions.py:openai --config.chat.url=http://HOST:8000/v1
    --config.chat.model=NAME; ``:jax`` and ``:transformers`` run a folder of weights here.

The folder holds the records with their captions, captions.json with all of them by label,
rejects.jsonl with every caption that the gate refused, and data_report.html. The same command goes
on where it was stopped.
"""

import ml_collections

from configs import common


def get_config(maker: str = "grammar") -> ml_collections.ConfigDict:
    """``maker``: grammar, jax, openai or transformers."""
    common.choose("data_gen/captions.py", maker, ("grammar", "jax", "openai", "transformers"))
    chat = {
        "backend": maker,
        "model": "",
        "temperature": 0.9,
        "top_p": 0.95,
        "max_new_tokens": 900,
        "seed": 0,
        "rows": 4,  # labels at a time
        "capacity": 2048,  # tokens of question and answer together
    }
    if maker == "openai":
        chat |= {"url": "", "concurrency": 16, "timeout": 120.0, "attempts": 6, "cache": ""}
    return ml_collections.ConfigDict(
        {
            "generator": "captions",
            "source": "",
            "only": (),  # splits; empty for all
            "count": 10,  # captions of each (modality, anatomy, label)
            "maker": "grammar" if maker == "grammar" else "chat",
            **({} if maker == "grammar" else {"chat": chat}),
            "rounds": 3,  # how often a language model is asked for what is lacking
            "fill": False,  # the grammar writes what is lacking then
            "seed": 0,
            "modality": "",  # of records that name none
            "anatomy": "",
            "labels": "",  # a JSON table of names for labels of your own
            "ignore": (),
            "policy": "report",  # how training draws: a report before captions, or caption
            "existing": "keep",
            "lacking": "error",
            "processes": 0,
        }
    )
