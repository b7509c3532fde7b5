"""Whatever cannot be answered is refused in one line with the mend."""

import numpy as np
import pytest

import medvlp_jax as mv
from medvlp_jax.run.conversion import convert as conversion

from .films import SIDE

FILM = np.zeros((SIDE, SIDE), np.uint8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.embed_images([]), "the list is empty"),
        (lambda m: m.embed_images("gone.png"), "gone.png does not exist"),
        (lambda m: m.embed_images([FILM, "gone.png"]), "gone.png does not exist"),
        (lambda m: m.embed_images([FILM, b"some text"]), "image 1: this is a text"),
        (lambda m: m.embed_images(b""), "image 0: this is an empty file"),
        (lambda m: m.embed_images(["/"]), "a folder"),
        (lambda m: m.embed_images(7), "int is no image"),
        (lambda m: m.embed_images([None]), "NoneType is no image"),
        (lambda m: m.embed_images(np.zeros((3, 9, 9))), "channels last"),
        (lambda m: m.embed_images([np.zeros((3, 9, 9))]), "image 0: an array of shape"),
        (lambda m: m.embed_images(np.full((9, 9), 200.0)), "fractions .* bring them to 0..1"),
        (lambda m: m.embed_images(np.full((9, 9), np.nan)), "fractions"),
        (lambda m: m.embed_images(np.full((9, 9), -3)), "choose a window"),
        (lambda m: m.embed_images(np.zeros((9, 9), bool)), "array of bool"),
        (lambda m: m.embed_images(FILM, batch_size=0), "batch_size=0 must be positive"),
        (lambda m: m.embed_texts([]), "the list is empty"),
        (lambda m: m.embed_texts(["a", " "]), "is no text"),
        (lambda m: m.embed_texts([3]), "3 is no text"),
        (lambda m: m.zero_shot(FILM, []), "classes is empty"),
        (lambda m: m.zero_shot(FILM, {}), "classes is empty"),
        (lambda m: m.zero_shot(FILM, "edema"), "must be a list of names"),
        (lambda m: m.zero_shot(FILM, ["edema", "edema"]), "named twice"),
        (lambda m: m.zero_shot(FILM, ["a unicorn"]), "no class 'a unicorn'"),
        (lambda m: m.zero_shot(FILM, [3]), "3 is no name"),
        (lambda m: m.zero_shot(FILM, {"a": []}), "no affirming prompt"),
        (lambda m: m.zero_shot(FILM, {"a": 3}), "no list of prompts"),
        (lambda m: m.zero_shot(FILM, {"a": {"yes": "x"}}), "'positive' and 'negative'"),
        (lambda m: m.zero_shot(FILM, {"a": "x"}, prompts="brief"), "leave out prompts="),
        (lambda m: m.zero_shot(FILM, {"a": "x"}, protocol="pos_vs_neg"), "no denying prompts"),
        (lambda m: m.zero_shot(FILM, ["edema"], prompts="nobody"), "no prompt bank 'nobody'"),
        (lambda m: m.zero_shot(FILM, ["edema"], protocol="chexone"), "chexzero"),
        (lambda m: m.zero_shot(FILM, ["edema"], temperature=0), "must be positive"),
        (lambda m: m.zero_shot(FILM, ["edema", "atelectasis"], protocol="gloria_pairs"), "pairs"),
        (lambda m: m.heatmap([FILM, FILM], "edema"), "of one image"),
        (lambda m: m.heatmap(FILM, ""), "is no phrase"),
        (lambda m: m.heatmap(FILM, "edema", protocol="x"), "is not one of default"),
        (lambda m: m.heatmap("gone.png", "edema"), "gone.png does not exist"),
        (lambda m: m.features("nowhere"), "nowhere is no folder"),
        (lambda m: m.features(".", split="test"), "is no data folder"),
        (lambda m: m.features("."), "has no file"),
        (lambda m: m.features(".", out="features.csv"), "must end in .npz"),
        (lambda m: mv.load("runs/none/here"), "does not exist.*workdir of a run"),
        (lambda m: mv.load("."), "no safetensors .*a workdir of a run"),
        (lambda m: mv.load(".", step=7), "no workdir"),
    ],
)  # fmt: skip
def test_refusals(model, call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mv.UserError, match=said) as error:
        call(model)
    assert "\n" not in str(error.value)
    assert "max_bad_fraction" not in str(error.value)


def test_splits_have_to_be_chosen(model, trained):
    with pytest.raises(mv.UserError, match="splits test, train, validation: choose one"):
        model.features(trained[1])
    with pytest.raises(mv.UserError, match="no split 'dev'"):
        model.features(trained[1], split="dev")


def test_models_that_cannot_answer(trained, tmp_path):
    with pytest.raises(mv.UserError, match="has no step 7"):
        mv.load(trained[0], step=7)
    with pytest.raises(mv.UserError, match=r"no checkpoint in .* has an evaluation metric"):
        mv.load(trained[0], step="best")
    (tmp_path / "starts.jsonl").touch()
    with pytest.raises(mv.UserError, match="saved no checkpoint yet"):
        mv.load(tmp_path)
    conversion.convert(
        str(trained[0]), str(tmp_path / "text"), tower="text", layout="clip_text_model"
    )
    with pytest.raises(mv.UserError, match="no model of images and texts") as error:
        mv.load(tmp_path / "text")
    assert "\n" not in str(error.value)
