"""Cleans a data folder, real or synthetic: every image is reviewed, every drop has its reason.

.venv/bin/python launch/generate.py --config=configs/data_gen/curate.py --config.source=data/x
    --out=data/x_clean [--config.gate.statistics.max_layout=0.6
    --config.gate.encoder.kind=dinov2 --config.gate.encoder.model=weights/rad-dino
    --config.gate.agreement.checkpoint=runs/x ...]

A server as the judge: --config=configs/data_gen/curate.py:server
    --config.gate.judge.chat.url=http://HOST:8000/v1 --config.gate.judge.chat.model=NAME

The folder holds the records that stay, rejects.jsonl with a row per dropped image, small pictures
of some of them, the review with all scores, and data_report.html. The same command goes on where
it was stopped.
"""

import ml_collections

from configs import common


def get_config(judge: str = "none") -> ml_collections.ConfigDict:
    """``judge``: none, clip or server (curate.py:server), so that its keys are there to be set."""
    common.choose("data_gen/curate.py", judge, ("none", "clip", "server"))
    chat = {
        "backend": "openai",
        "model": "judge",
        "url": "http://127.0.0.1:8000/v1",
        "temperature": 0.0,
        "top_p": 1.0,
        "max_new_tokens": 200,
        "concurrency": 16,
        "cache": "",  # a folder keeps the answers
    }
    return ml_collections.ConfigDict(
        {
            "generator": "curate",
            "source": "",
            "only": (),  # splits; empty for all
            "gate": {
                "statistics": {},
                "encoder": {"kind": "pixels", "model": "", "batch_size": 32},
                "judge": {
                    "kind": judge,
                    "most_no": 0,
                    "checkpoint": "",
                    "minimum": 0.01,
                    **({"chat": chat} if judge == "server" else {}),
                },
                "bad": {"folder": "", "threshold": 0.0},
                "agreement": {"checkpoint": "", "minimum": 0.2, "batch_size": 32},
            },
            "spread": True,  # what resembles an image that the judge refused goes too
            "bad_above": 0.0,  # 0: the encoder's own threshold
            "same_above": 0.0,
            "pictures": 24,
            "processes": 0,
        }
    )
