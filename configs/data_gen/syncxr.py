"""SynCXR: 20,000 synthetic chest radiographs with checked reports, boxes and masks.

.venv/bin/python launch/generate.py --config=configs/data_gen/syncxr.py --out=data/syncxr
    [--config.splits.train=200000 --config.bank=banks/mimic.json ...]

Another back end is one word, and the group beside it says which model:

    --config.writer=openai --config.chat.url=http://localhost:8000/v1 --config.chat.model=NAME
    --config.images=jax --config.maker.model=weights/roentgen

``writer``: grammar, openai, jax, transformers; ``images``: phantom, jax, diffusers. Presets, joined
by a comma, after a colon: ``demo`` plants bad films to measure the gate, ``roentgen`` and
``roentgen_v2`` are the samplers that these models were published with. ``--runner=ray``, with
``--ray_address`` of a cluster or without, makes the shards there; ``ray`` says what workers take.

The same command goes on where it was stopped.
"""

import ml_collections

from configs import common

#: Steps and guidance of the model cards; both make pictures of 512 pixels.
_ROENTGEN = {"roentgen": (75, 4.0), "roentgen_v2": (75, 3.0)}


def get_config(presets: str = "") -> ml_collections.ConfigDict:
    """``presets``: demo, roentgen, roentgen_v2, or several with commas."""
    config = ml_collections.ConfigDict(
        {
            "generator": "syncxr",
            "name": "syncxr",
            "seed": 0,
            "splits": {"train": 18_000, "validation": 1000, "test": 1000},
            "spare": 0.05,  # more rows of the plan, for studies that are refused for good
            "studies_per_shard": 250,
            "size": 224,  # longer side of the stored pictures; 0 keeps a diffusion model's
            "image_format": "jpeg",  # or png
            "quality": 92,
            "masks": True,
            "bank": "",  # a file of entities; empty is the package's own
            "sampler": {"k": 9, "m": 3, "cap": 15, "mode": "pooled"},
            "writer": "grammar",
            "chat": {
                "model": "",
                "url": "",
                "temperature": 0.7,
                "top_p": 0.95,
                "max_new_tokens": 512,
                "concurrency": 16,
                "timeout": 120.0,
                "attempts": 6,
                "backoff": 1.0,
            },
            "checker": {},
            "report_attempts": 4,
            "images": "phantom",
            "maker": {
                "model": "",  # Stable Diffusion 1.x or 2.x in the layout of diffusers
                "text_encoder": "",
                "tokenizer": "",
                "size": 0,  # pixels; 0 is what the model was trained on
                "method": "dpmpp_2m",
                "steps": 50,
                "guidance": 4.0,
                "negative": "",
                "batch_size": 8,
                "dtype": "",
            },
            "image_attempts": 4,
            "gate": {},  # see configs/data_gen/curate.py
            "curate": True,  # False keeps what the gate refuses, to see what it is worth
            "same_above": 0.0,  # cosine that makes two images one; 0 is the encoder's own
            "planted": 0.0,  # share of studies whose first image is spoilt to test the gate
            "pictures": 24,  # small ones of rejects, per reason
            "keep_work": False,
            "processes": 0,  # one per CPU core
            "ray": {
                "plain": {"workers": 0, "cpus": 1.0},
                "model": {"workers": 0, "cpus": 1.0, "gpus": 0.0, "resources": {}},
            },
        }
    )
    for preset in filter(None, presets.split(",")):
        _apply(config, preset)
    return config


def _apply(config: ml_collections.ConfigDict, preset: str) -> None:
    common.choose("data_gen/syncxr.py", preset, ("demo", *_ROENTGEN))
    if preset == "demo":
        config.planted = 0.02
        return
    config.maker.steps, config.maker.guidance = _ROENTGEN[preset]
    config.maker.size = config.size = 512
    config.studies_per_shard = 64
