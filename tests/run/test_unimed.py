"""The six-modality quickstart: its config, and its evaluators from a checkpoint to the page."""

import cv2
import jax
import numpy as np
import pytest

from configs.unimed import quickstart
from data_gen.phantom.registry import PHANTOMS
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.step import init_state
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import MODALITIES, Box, Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import parse_config
from medvlp_jax.run.evaluate import evaluate_checkpoint

KINDS = {"ct": "lung nodule", "fundus": "drusen"}
SIDE, STUDIES = 16, 12


def a_record(split, kind, i, switched):
    """A square on noise, in colour where the modality has any; odd studies have it."""
    present = (i + switched) % 2 == 1
    rng = np.random.default_rng([i, len(kind)])
    pixels = rng.integers(0, 60, (SIDE, SIDE, 3) if kind == "fundus" else (SIDE, SIDE), np.uint8)
    pixels[4:10, 4:10] += np.uint8(120 * present)
    name, study = KINDS[kind], f"{split}-{kind}-{i}"
    of = {"counterfactual": {"of": study, "label": name, "present": present}}
    return Record(
        id=f"{study}-switched" if switched else study,
        patient_id=study,
        split=split,
        images=(Image(cv2.imencode(".png", pixels)[1].tobytes(), "png", "", kind, SIDE, SIDE),),
        texts=(Text(f"Some {name}." if present else "Normal.", "caption"),),
        labels={name: int(present), "no finding": int(not present)},
        boxes=(Box(0.25, 0.25, 0.6, 0.6, name),) * present,
        provenance=of if switched else {},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(workdir of an untrained run, data folder)"""
    folder = tmp_path_factory.mktemp("unimed")
    for split in ("train", "validation", "test"):
        records = [
            a_record(split, kind, i, switched)
            for i in range(STUDIES)
            for kind in KINDS
            for switched in ([False, True] if split == "test" else [False])
        ]
        write_shard(folder / "data", ShardName("toy", split, 0, 1), records)
    data = str(folder / "data")
    config = quickstart.get_config(f"{data},{data}")
    tower = {"width": 16, "depth": 1, "heads": 2}
    config.model = {
        "vision": {"name": "vit_s16", "patch": 4, **tower},
        "text": {"name": "bert_mini", "vocab": 400, "max_length": 64, **tower},
        "embed_dim": 16,
        "dtype": "float32",
    }
    config.data.text.vocab = 400
    config.data.image.size = SIDE
    config.data.batch_size = config.eval.batch_size = 16
    config.eval.bootstrap = {"resamples": 20}
    run = Run(config)
    run.tokenizer()
    state = init_state(run.model_def, run.optimizer, jax.random.key(0), run.mesh)
    checkpointer = Checkpointer(folder / "run", run.config.checkpoint, run.resolved)
    checkpointer.save(state, 2, {})
    checkpointer.close()
    return folder / "run", data


def test_the_bank_can_ask_what_the_phantoms_judge():
    known = set(load_bank(quickstart.PROMPTS).classes)
    for phantom in PHANTOMS.values():
        judged = {label for i in range(60) for label in phantom.sample(0, i).labels()}
        assert judged <= known, phantom.name
    assert {phantom.modality for phantom in PHANTOMS.values()} <= set(MODALITIES)
    labels = parse_config(quickstart.get_config()).data.labels
    assert set(MODALITIES) | known == set(labels)


def test_real_images_are_asked_for_their_modality_alone():
    sets = parse_config(quickstart.get_config("a,b")).eval.sets
    assert (sets["real"].path, sets["real"].evaluators) == ("b", ("modality",))
    assert "real" not in parse_config(quickstart.get_config("a")).eval.sets


def test_from_a_checkpoint_to_the_page(run, tmp_path):
    workdir, _ = run
    made = evaluate_checkpoint(workdir, tmp_path, command="test")
    found = made.results["evaluations"]
    assert set(found) == {
        *("validation-by_modality", "test-modality", "test-by_modality"),
        *("test-counterfactual", "real-modality"),
    }
    assert found["test-modality"]["records"] == 4 * STUDIES
    assert [p["name"] for p in found["test-by_modality"]["parts"]] == list(KINDS)
    for part in found["test-by_modality"]["parts"]:
        assert part["records"] == 2 * STUDIES
        assert [r["name"] for r in part["classes"]] == [KINDS[part["name"]], "no finding"]
    pairs = found["test-counterfactual"]
    assert pairs["compared"] == 2 * STUDIES
    assert {p["name"]: p["pairs"] for p in pairs["parts"]} == dict.fromkeys(KINDS, STUDIES)
    page = made.report_path.read_text()
    for title in ("Which modality is it?", "Zero-shot within each modality", "taken for",
                  "Counterfactual pairs"):  # fmt: skip
        assert title in page
    assert "accuracy" in made.summary()
