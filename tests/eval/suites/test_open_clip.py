"""The suite on an open_clip model with random weights and a BERT tower: open_clip's scores.

From the files of the public layouts: open_clip reads, prepares and embeds them by itself, and the
published rule is written down here once more.
"""

import importlib.util
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest

from configs.unimed.suite import get_config
from medvlp_jax.eval.suites.paired import compare_scores
from medvlp_jax.eval.suites.scores import read_scores
from medvlp_jax.eval.suites.unimed import SETS
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.run.evaluate import evaluate_checkpoint

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from conftest import import_sets, weights

pytestmark = pytest.mark.torch
FEW = ("thyroid_us", "NCK_CRC")


@pytest.fixture(autouse=True)
def _libraries(monkeypatch):
    for library in ("torch", "torchvision", "open_clip", "transformers", "sklearn"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def theirs(folder, public, found):
    """Cosines of open_clip with the classes, by the published rule."""
    import open_clip
    import torch

    model, prepare = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model = model.eval()
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    bank = load_bank(f"suites/{found.name}")
    files = {p: p for p in public.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg", ".tif")}
    paths = [_file(str(name), files, public) for name in found.ids]
    with torch.inference_mode():
        pixels = torch.stack([prepare(PIL.Image.open(p)) for p in paths])
        images = model.encode_image(pixels, normalize=True)
        classes = []
        for name in found.classes:
            texts = model.encode_text(tokenize(list(bank.classes[name].positive)), normalize=True)
            mean = texts.mean(0)
            classes.append(mean / mean.norm())
    return (images @ torch.stack(classes).T).numpy()


def _file(name, files, public):
    """The file of a record: its id is the split and the path without the ending."""
    tail = name.split("/", 1)[1]
    (one,) = [p for p in files if str(p.relative_to(public).with_suffix("")).endswith(tail)]
    return one


def check(names, tmp_path, each):
    from sklearn.metrics import roc_auc_score

    folder = weights(tmp_path / "weights", names)
    suite = import_sets(tmp_path, names, each)
    overrides = get_config(str(suite)).to_dict() | {"bootstrap": {"resamples": 20}}
    evaluate_checkpoint(folder, tmp_path / "out", command="test", overrides=overrides)
    worst = 0.0
    for name in names:
        found = read_scores(tmp_path / "out" / "scores" / f"{name}.npz")
        expected = theirs(folder, tmp_path / "public" / name, found)
        worst = max(worst, float(np.abs(found.cosines - expected).max()))
        # As the numbers of each class, accuracy and AUC.
        for k in range(len(found.classes)):
            of = found.truth == k
            hits = [float((s[of].argmax(1) == k).mean()) for s in (found.scores, expected)]
            assert hits[0] == pytest.approx(hits[1], abs=1e-4), (name, found.classes[k])
        if len(found.classes) == 2:
            auc = roc_auc_score(found.truth, expected[:, 1] - expected[:, 0])
            ours = roc_auc_score(found.truth, found.scores[:, 1] - found.scores[:, 0])
            assert ours == pytest.approx(auc, abs=1e-4)
        assert np.ptp(expected, axis=0).max() > 1e-3  # images differ to this model
    assert worst < 1e-4, worst
    same = compare_scores(tmp_path / "out", tmp_path / "out", resamples=20)
    assert set(same.sets) == set(names)
    assert same.mean["accuracy"].value == 0


def test_two_sets(tmp_path):
    check(FEW, tmp_path, each=3)


@pytest.mark.slow
def test_all_sets(tmp_path):
    check([one.name for one in SETS], tmp_path, each=2)
