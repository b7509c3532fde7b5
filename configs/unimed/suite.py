"""The zero-shot suite of UniMed-CLIP (21 sets), and MedMNIST (12), on a checkpoint or on published
weights; keys are those of ``config.eval`` of a run.

    .venv/bin/python launch/evaluate.py --checkpoint=RUN_OR_WEIGHTS --out=OUT \
        --config=configs/unimed/suite.py:data/suite[,few_shot][,training]

data/suite holds a folder for each set (configs/data_gen/suite.py); those that are not there are
named in the results. ``few_shot``: also 1 to 16 labelled images a class and the linear probe, where
a set has splits to learn from. ``training``: the sets are also scored while a run trains.
data/suite/prompts/SET.json, where it is there, is used instead of our prompts. RSNA with one prompt
a class, as published: ``--config.sets.rsna_pneumonia.first_prompts=1``. Folders of the names in
RETRIEVAL are image-text pairs.
"""

import pathlib

import ml_collections

from configs import common
from medvlp_jax.data.store.dataset import splits
from medvlp_jax.data.store.manifest import MANIFEST
from medvlp_jax.eval.suites.catalogue import SUITES

RETRIEVAL = ("roco", "pmc_oa", "quilt", "mimic", "openi")
_WORDS = ("few_shot", "training")


def get_config(given: str = "data/suite") -> ml_collections.ConfigDict:
    root, *words = given.split(",")
    words = [common.choose("unimed/suite.py", word, _WORDS) for word in words]
    sets: dict[str, dict] = {}
    for name in RETRIEVAL:
        if (folder := pathlib.Path(root, name)).joinpath(MANIFEST).is_file():
            sets[name] = {"path": str(folder), "split": "test", "evaluators": ("retrieval",)}
    suites: dict[str, dict] = {}
    for suite, members in SUITES.items():
        there = [m for m in members if pathlib.Path(root, m.name, MANIFEST).is_file()]
        for one in there:
            sets |= _set(pathlib.Path(root), one, words)
        if there:
            suites[suite] = _members(members)
    if not suites:  # none of them is there: it says what should be
        suites["unimed"] = _members(SUITES["unimed"])
    return ml_collections.ConfigDict(
        {"sets": sets, "suites": suites, "batch_size": 64, "bootstrap": {"resamples": 1000}}
    )


def _members(members) -> dict[str, tuple[str, ...]]:
    return {
        "sets": tuple(one.name for one in members),
        "modalities": tuple(one.modality for one in members),
        "multilabel": tuple(one.name for one in members if not one.exclusive),
    }


def _set(root: pathlib.Path, one, words: list[str]) -> dict[str, dict]:
    """One set, and its validation split where it is needed."""
    folder, own = root / one.name, root / "prompts" / f"{one.name}.json"
    test = {
        "path": str(folder),
        "split": "test",
        "evaluators": ("zeroshot",),
        "classes": one.classes,
        "protocol": "unimed" if one.exclusive else "positive",
        "prompts": str(own) if own.is_file() else f"suites/{one.name}",
        "first_prompts": 0,
        "during_training": "training" in words,
    }
    if "few_shot" not in words or not one.exclusive or not _learnable(folder):
        return {one.name: test}
    held = f"{one.name}_validation"
    test |= {"evaluators": ("zeroshot", "few_shot"), "train_split": "train", "validation": held}
    return {one.name: test, held: {"path": str(folder), "split": "validation", "evaluators": ()}}


def _learnable(folder: pathlib.Path) -> bool:
    return {"train", "validation"} <= splits(folder).keys()
