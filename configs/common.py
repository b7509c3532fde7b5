"""Values that most experiments share. A config file calls ``base()`` and changes what it needs."""

from collections.abc import Iterable

import ml_collections

from medvlp_jax.core.config import ConfigError

#: Findings of the phantom; the first fourteen classes of CheXpert and NIH use the same words.
FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "emphysema",
    "fracture",
    "mass",
    "nodule",
    "pleural effusion",
    "pneumonia",
    "pneumothorax",
    "support devices",
    "no finding",
)


def choose(file: str, word: str, words: Iterable[str]) -> str:
    """``word``, if it is one of ``words``: what stands behind the colon of ``--config=FILE:WORD``.

    Raises:
      ConfigError: it is another; the message has them all.
    """
    if word not in words:
        raise ConfigError(f"configs/{file}:{word}: behind the colon stands {' or '.join(words)}")
    return word


def base() -> ml_collections.ConfigDict:
    """ViT-B/16 and BERT-base at 224 px, the recipe of most medical CLIPs."""
    return to_config(
        {
            "name": "clip",
            "seed": 0,
            "micro_batches": 1,
            "init_from": "",
            "model": {
                "init": "",  # published weights of a whole CLIP, or of its towers
                "vision": {"name": "vit_b16", "init": ""},
                "text": {"name": "bert", "init": ""},
                "embed_dim": 512,
                "dtype": "bfloat16",
                "remat": "full",
            },
            "task": {
                "name": "contrastive",
                "loss": "infonce",
                "impl": "gathered",
                "frozen_towers": (),  # ("vision",) is LiT
            },
            "data": {
                "sources": (source("data/cxr"),),
                "batch_size": 1024,
                "image": {"size": 224, "channels": 3, "resize": "shortest"},
                "text": {
                    "tokenizer": "",
                    "policy": "report",
                    "buckets": (32, 64, 128, 256),
                    "window": 16,
                },
                "labels": FINDINGS,
                "workers": 0,
                "prefetch": 2,
                "held_out": "",  # records to leave out, as launch/leakage.py found them
            },
            "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
            "optim": {
                "name": "adamw",
                "lr": 5e-4,
                "schedule": "cosine",
                "warmup_steps": 2000,
                "weight_decay": 0.2,
                "layer_decay": 1.0,
                "b1": 0.9,
                "b2": 0.98,
                "eps": 1e-6,
                "clip_norm": 1.0,
                "ema_decay": 0.0,
                "freeze": (),
            },
            "loop": {
                "steps": 20_000,
                "log_every": 50,
                "eval_every": 1000,
                "save_every": 1000,
                "profile": {"start": -1, "steps": 5},
            },
            "checkpoint": {"keep_last": 2, "keep_best": 1, "best_metric": ""},
            "log": {"tensorboard": True, "wandb_project": ""},
            "eval": {"sets": {}, "batch_size": 256, "prompts": ""},
        }
    )


def data_import(tree: dict, max_size: int = 512) -> ml_collections.ConfigDict:
    """The config of an importer: ``tree``, and the keys that all of them have.

    ``max_size``: longer side of the stored images in pixels; 0 keeps every file as it is.
    """
    return ml_collections.ConfigDict(
        {
            "views": (),  # e.g. ("PA", "AP"); empty keeps all
            "max_size": max_size,
            "limit": 0,  # studies, to try a config; 0 takes all
            "records_per_shard": 1000,
            "processes": 0,  # 0 is one per CPU core
            **tree,
        }
    )


def source(path: str, split: str = "train", weight: float | None = None) -> dict:
    """One entry of ``data.sources``."""
    entry = {"path": path, "split": split}
    return entry if weight is None else entry | {"weight": weight}


def to_config(tree: dict) -> ml_collections.ConfigDict:
    """A ConfigDict in which lists of groups can be reached from the command line too:
    ``--config.data.sources[0].path=...``."""
    config = ml_collections.ConfigDict(tree)
    config.data.sources = tuple(ml_collections.ConfigDict(s) for s in tree["data"]["sources"])
    return config
