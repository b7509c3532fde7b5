"""Sub-figures with their part of the caption, from PubMed Central: brain abnormalities by default.

.venv/bin/python launch/generate.py --config=configs/data_gen/pubmed.py --out=data/pubmed
    --config.collect.email=you@your.place [--config.collect.limit=1000 ...]

Variants after a colon:

    demo      a synthetic PubMed, served here, of which everything is known: no network, no account,
              and every stage is scored against the truth
    quarters  the same with training in four parts, for configs/brain/raw_vs_processed.py
    archives  tar.gz archives of the old oa_package: --config.collect.path=FOLDER
    folder    JATS files with their images beside them: --config.collect.path=FOLDER
    collect   the articles alone; the same command without ":collect" goes on from there
    update    for a folder that is finished: what is new, retracted or relicensed since

Another topic is another term and another lexicon: ``collect.term`` and ``text``. The same command
goes on where it was stopped, at whatever stage; ``--runner=ray`` runs the stages on a cluster.
"""

import ml_collections

from configs import common

_VARIANTS = ("live", "demo", "quarters", "archives", "folder", "collect", "update")
_TERM = (
    'brain[Title/Abstract] AND (MRI OR "magnetic resonance" OR CT OR tomography) AND '
    "open access[filter]"
)


def get_config(variant: str = "live") -> ml_collections.ConfigDict:
    """``variant``: live, demo, quarters, archives, folder, collect or update."""
    common.choose("data_gen/pubmed.py", variant, _VARIANTS)
    config = ml_collections.ConfigDict(
        {
            "generator": "pubmed",
            "name": "pubmed",
            "library": "collect",
            "collect": {
                "source": "service",
                "term": _TERM,
                "since": "1990-01-01",  # of release
                "email": "",  # E-utilities wants to know whom to write to
                "limit": 0,  # articles at most; 0 for all
                "licences": ("commercial", "noncommercial"),
                "path": "",  # of archives or a folder
            },
            "text": {},  # a lexicon; see docs/pubmed.md
            "images": {},
            "figures": {},
            "match": {},
            "records": {"text": "whole"},  # or body, preface_body
            "raw": False,  # also whole figures with whole captions, in the folder raw
            "until": "collect" if variant == "collect" else "records",
            "update": variant == "update",
            "articles_per_shard": 100,
            "rows_per_shard": 500,
            "processes": 0,  # one per CPU core
        }
    )
    if variant in ("archives", "folder"):
        config.collect.source = variant
    if variant in ("demo", "quarters"):
        _demo(config)
    if variant == "quarters":
        parts = {f"train{i}": 0.19 for i in (1, 2, 3, 4)}
        config.records.split_fractions = parts | {"validation": 0.09, "test": 0.15}
    return config


def _demo(config: ml_collections.ConfigDict) -> None:
    config.library = "synthetic"
    config.synthetic = {"seed": 0, "articles": 2000, "pool": {"size": 224, "brain": 1200}}
    config.faults = 0.0  # share of the mock's answers that fail
    config.collect.term = '"synthetic journal of imaging"'
    config.collect.email = "demo@localhost"
    config.collect.date = "2026-01-01"  # so that two runs are equal in every byte
    config.collect.pace = {"searches": 20.0, "files": 2000.0, "folder": ""}
    config.compare = True
    config.raw = True
    config.truth = True  # of the held-out articles, to measure models on
