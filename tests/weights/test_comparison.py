"""What ``--check`` compares, and what it says where it cannot."""

import dataclasses
import json
import types

import numpy as np
import pytest
from folders import change, write
from safetensors.numpy import save_file

from medvlp_jax.core.config import to_plain
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.run.conversion import comparison
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.origin import inputs as origin_inputs
from medvlp_jax.weights.origin import library as origin
from medvlp_jax.weights.source import open_source


def line(folder):
    return comparison.compare(comparison.source_parts(open_source(folder)), "source")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is missing"),
        (RuntimeError("operator torchvision::nms does not exist"), "torchvision::nms"),
        (OSError("libcudart.so.12: cannot open shared object file"), "cannot be used here"),
        (AttributeError("module 'transformers' has no attribute"), "cannot be used here"),
    ],
)
@pytest.mark.parametrize("case", ["bert", "clip_quick_gelu", "open_clip"])
def test_a_library_that_is_not_there(case, error, words, tmp_path, monkeypatch):
    def fail(name, *_):
        raise error

    monkeypatch.setattr(origin, "importlib", types.SimpleNamespace(import_module=fail))
    write(case, tmp_path)
    found = line(tmp_path)
    assert found.startswith("source: not compared: ")
    assert words in found
    assert "parity" not in found
    assert "\n" not in found


def test_a_layout_without_a_library(tmp_path):
    part = comparison.Part("medclip", tmp_path, {}, lambda _: {})
    found = comparison.compare((part,), "written")
    assert found == "written: not compared: no library is known that builds a medclip"


@pytest.mark.parametrize("wrong", ["values", "shapes", "nan"])
def test_a_difference_is_an_error(wrong, tmp_path):
    theirs = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    ours = {
        "values": theirs + np.float32(4e-4),
        "shapes": theirs[:2],
        "nan": np.where(theirs > 2, np.nan, theirs),
    }[wrong]

    def part(x):
        return comparison.Part("x", tmp_path, {}, lambda _: {"y": x}, lambda: {"y": theirs})

    assert "max abs difference 0.0e+00" in comparison.compare((part(theirs),), "source")
    assert "max abs" in comparison.compare((part(theirs + np.float32(2e-4)),), "source")
    with pytest.raises(WeightsError, match=r": y (differs by|is \(3, 4\) there)"):
        comparison.compare((part(ours),), "source")


def test_every_computation_is_in_float32():
    config = CLIPConfig(dtype="bfloat16", vision=ViTConfig(dtype="bfloat16", width=8, heads=1))
    single = comparison.in_float32(config)
    assert "bfloat16" not in str(to_plain(single))
    assert dataclasses.replace(single.vision, dtype="bfloat16") == config.vision


@pytest.mark.torch
def test_texts_by_the_tokenizer_of_the_source(tmp_path):
    """They end as the tokenizer ends them, and the shorter one is padded and masked."""
    pytest.importorskip("torch")
    write("bert", tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "heart", "size", "is", "normal"]
    words += [".", "no", "pleural", "effusion", "or", "pneumothorax"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    said = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    prepared = origin_inputs.prepare(open_source(tmp_path))
    assert prepared.how == "texts by its tokenizer"
    ids, mask = prepared.inputs["ids"], prepared.inputs["mask"]
    assert [row[m][-1] for row, m in zip(ids, mask, strict=True)] == [3, 3]
    assert "max abs difference" in line(tmp_path)


@pytest.mark.torch
def test_a_wrong_reading_is_found(tmp_path, monkeypatch):
    """Another activation than the source's settings say: the difference is no rounding."""
    pytest.importorskip("torch")
    write("clip_quick_gelu", tmp_path)
    source = open_source(tmp_path)
    vision = dataclasses.replace(source.config.vision, activation="gelu")
    wrong = dataclasses.replace(source, config=dataclasses.replace(source.config, vision=vision))
    with pytest.raises(WeightsError, match="image_embed differs by"):
        comparison.compare(comparison.source_parts(wrong), "source")


@pytest.mark.torch
def test_images_through_the_preprocess_of_the_source(tmp_path):
    pytest.importorskip("open_clip")
    write("open_clip", tmp_path)
    file = tmp_path / "open_clip_config.json"
    said = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "resize_mode": "shortest"}
    change(file, preprocess_cfg=said)
    source = open_source(tmp_path)
    prepared = origin_inputs.prepare(source)
    assert "images through its preprocess" in prepared.how
    image = prepared.inputs["image"]
    assert image.shape == (2, 32, 32, 3)
    # Noise from 0 to 255 has a mean of 127.5 / 255 in every channel.
    wanted = (0.5 - np.array(said["mean"])) / np.array(said["std"])
    np.testing.assert_allclose(image.mean((0, 1, 2)), wanted, atol=0.15)


def test_absent_is_no_defect_of_the_source():
    with pytest.raises(origin.Absent, match="nothing_like_it is missing"):
        origin.library("nothing_like_it")


def test_the_library_refuses_what_lies_there(tmp_path):
    """A source that its own library cannot load is said to be so, not passed over."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    part = comparison.Part("clip", tmp_path, {"ids": np.zeros((1, 2), int)}, lambda _: {})
    with pytest.raises(WeightsError, match="cannot be compared"):
        comparison.compare((part,), "source")
