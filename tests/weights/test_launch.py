"""From published towers through a short run to published layouts, by the launch scripts."""

import json
import os
import pathlib
import subprocess
import sys

import drawn
import numpy as np
import pytest
from folders import change, write
from quick_flags import QUICK
from safetensors.numpy import load_file, save_file

from medvlp_jax.data.texts.tokenizer import train_wordpiece

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCAB = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a script of ``launch/``; the processes share one cache of compiled programs."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": QUICK,
        "PYTHONPATH": str(ROOT),
    }

    def call(script, *arguments):
        command = [sys.executable, f"launch/{script}.py", *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=os.environ | cache, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """``(folder with dino, bert and run, how the training ended)``"""
    folder = tmp_path_factory.mktemp("launch")
    write("dinov2", folder / "dino")
    tensors = write("bert", folder / "bert")
    words = "embeddings.word_embeddings.weight"
    tensors[words] = drawn.tensor(words, (VOCAB, 32))
    save_file(tensors, folder / "bert" / "model.safetensors")
    change(folder / "bert" / "config.json", vocab_size=VOCAB)
    texts = ["The heart size is normal. There is a left pleural effusion, no pneumothorax."] * 4
    train_wordpiece(texts, folder / "bert" / "words", VOCAB)
    for file in (folder / "bert" / "words").iterdir():
        if file.name.startswith("tokenizer"):
            file.rename(folder / "bert" / file.name)
    made = run(
        "generate",
        "--config=configs/data_gen/phantom.py",
        f"--out={folder / 'data'}",
        "--config.size=32",
        "--config.processes=1",
        *(f"--config.splits.{s}={n}" for s, n in (("train", 8), ("validation", 1), ("test", 1))),
    )
    assert made.returncode == 0, made.stderr
    done = run(
        "train",
        f"--config=tests/weights/tiny_run.py:{folder / 'data'}",
        f"--workdir={folder / 'run'}",
        f"--config.model.vision.init={folder / 'dino'}",
        f"--config.model.text.init={folder / 'bert'}",
    )
    return folder, done


def test_a_run_starts_from_published_towers(trained, run):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["init_towers"] == {
        "vision": str(folder / "dino"),
        "text": str(folder / "bert"),
    }
    assert config["model"]["vision"]["layer_scale"] == 1.0
    assert config["data"]["text"]["tokenizer"] == str(folder / "bert")
    # The frozen tower is still what was published, tensor by tensor.
    written = run(
        "convert",
        f"--from={folder / 'run'}",
        f"--to={folder / 'dino_again'}",
        "--tower=vision",
        "--layout=dinov2",
    )
    assert written.returncode == 0, written.stderr
    before, after = (
        load_file(folder / name / "model.safetensors") for name in ("dino", "dino_again")
    )
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_the_trained_tower_moved(trained, run):
    folder, _ = trained
    written = run(
        "convert",
        f"--from={folder / 'run'}",
        f"--to={folder / 'bert_again'}",
        "--tower=text",
        "--layout=bert",
    )
    assert written.returncode == 0, written.stderr
    before, after = (
        load_file(folder / name / "model.safetensors") for name in ("bert", "bert_again")
    )
    name = "encoder.layer.0.output.dense.weight"
    assert 0 < np.abs(before[name] - after[name]).max() < 0.01


@pytest.mark.slow
def test_a_run_of_a_dinov2_and_a_bert(trained, run):
    """The whole is written in the one layout that holds any ViT beside any BERT."""
    folder, _ = trained
    done = run("convert", f"--from={folder / 'run'}", f"--to={folder / 'whole'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("vision_text_dual_encoder model")
    names = {file.name for file in (folder / "whole").iterdir()}
    assert {"config.json", "preprocessor_config.json", "tokenizer.json"} <= names
    again = run(
        "convert", f"--from={folder / 'run'}", f"--to={folder / 'oc'}", "--layout=open_clip"
    )
    assert again.returncode == 2
    assert "the open_clip layout cannot hold this model" in again.stderr


def test_resuming_reads_the_folders_settings_again(trained, run):
    folder, _ = trained
    done = run(
        "train",
        f"--config=tests/weights/tiny_run.py:{folder / 'data'}",
        f"--workdir={folder / 'run'}",
        f"--config.model.vision.init={folder / 'dino'}",
        f"--config.model.text.init={folder / 'bert'}",
    )
    assert done.returncode == 0, done.stderr


def test_source_and_result_are_compared(run, tmp_path):
    pytest.importorskip("torch")
    write("clip_quick_gelu", tmp_path / "clip")
    done = run(
        "convert",
        f"--from={tmp_path / 'clip'}",
        f"--to={tmp_path / 'out'}",
        "--check",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("clip model, 0.0 M parameters")
    assert [line.split(":")[0] for line in lines[-2:]] == ["source", "written"]
    for line in lines[-2:]:
        assert "max abs difference" in line
        assert float(line.split("difference ")[1].split()[0]) < 2e-5
        assert "logits" in line


def test_a_folder_with_faults(run, tmp_path):
    tensors = write("bert", tmp_path / "bert")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors | {"stranger": np.zeros(2)}, tmp_path / "bert" / "model.safetensors")
    done = run("convert", f"--from={tmp_path / 'bert'}", f"--to={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "encoder.layer.1.output.dense.bias" in done.stderr
    assert "stranger" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_has_a_card(trained, run):
    folder, _ = trained
    export = [f"--from={folder / 'run'}", f"--to={folder / 'card'}"]
    written = run("convert", *export)
    assert written.returncode == 0, written.stderr
    assert "README.md has no results" in written.stdout
    assert "README.md names no licence" in written.stdout
    card = (folder / "card" / "README.md").read_text()
    assert "None were given" in card
    assert "| data | train | 8 | Procedural chest radiographs" in card
    assert f"| started from (vision) | {'dino'} |" in card
    results = {
        "name": "tiny",
        "created": "2026-01-01",
        "command": "python launch/evaluate.py",
        "config": json.loads((folder / "run" / "config.json").read_text()),
        "facts": {"checkpoint step": 2},
        "evaluations": {
            "test-zeroshot": {
                "set": "films", "split": "test", "kind": "zeroshot", "records": 7,
                "metrics": {"auc_macro": 0.5, "auc_macro_low": 0.25, "auc_macro_high": 0.75},
            }
        },
    }  # fmt: skip
    file = folder / "results.json"
    file.write_text(json.dumps(results))
    said = [f"--results={file}", "--licence=cc-by-4.0"]
    written = run("convert", *export, *said)
    assert written.returncode == 0, written.stderr
    assert "README.md" not in written.stdout
    card = (folder / "card" / "README.md").read_text()
    assert "| test-zeroshot | test | 7 | auc_macro | 0.500 | 0.250 to 0.750 |" in card
    assert 'license: "cc-by-4.0"' in card
    for change_, said_ in (
        ({"name": "other"}, "of another model"),
        ({"facts": {"checkpoint step": 1}}, "results of step 1"),
        ({"evaluations": [1]}, "results.json cannot be read"),
    ):
        file.write_text(json.dumps(results | change_))
        refused = run("convert", *export, *said)
        assert refused.returncode == 2
        assert said_ in refused.stderr
