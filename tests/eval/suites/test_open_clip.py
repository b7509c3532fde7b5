"""The suite on an open_clip model with random weights and a BERT tower: open_clip's scores.

From the files of the public layouts: open_clip reads, prepares and embeds them by itself, and the
published rule is written down here once more.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from medvlp_jax.data.texts.tokenizer import train_wordpiece
from medvlp_jax.eval.suites.paired import compare_scores
from medvlp_jax.eval.suites.scores import read_scores
from medvlp_jax.eval.suites.unimed import SETS
from medvlp_jax.eval.zeroshot.promptbank import load_bank

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
    """Cosines with the classes by the published rule, of whichever library reads the folder."""
    import torch

    images_of, texts_of = _library(folder)
    bank = load_bank(f"suites/{found.name}")
    files = {p: p for p in public.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg", ".tif")}
    paths = [_file(str(name), files, public) for name in found.ids]
    with torch.inference_mode():
        images = images_of([PIL.Image.open(p) for p in paths])
        classes = []
        for name in found.classes:
            texts = texts_of(list(bank.classes[name].positive))
            mean = texts.mean(0)
            classes.append(mean / mean.norm())
    return (images @ torch.stack(classes).T).numpy()


def _library(folder):
    """Unit vectors of images and of texts, as open_clip or transformers make them."""
    import torch

    if (folder / "open_clip_config.json").exists():
        import open_clip

        model, prepare = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        model = model.eval()
        tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
        return (
            lambda images: model.encode_image(
                torch.stack([prepare(image) for image in images]), normalize=True
            ),
            lambda texts: model.encode_text(tokenize(texts), normalize=True),
        )
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)
    prepare = transformers.AutoImageProcessor.from_pretrained(folder)
    blank = {"pixel_values": torch.zeros(1, 3, 32, 32)}

    def images_of(images):
        tokens = words(["x"], return_tensors="pt")
        pixels = prepare([i.convert("RGB") for i in images], return_tensors="pt")
        return model(**_known(tokens), **pixels).image_embeds

    def texts_of(texts):
        tokens = words(texts, padding=True, truncation=True, return_tensors="pt")
        return model(**_known(tokens), **blank).text_embeds

    return images_of, texts_of


def _known(tokens):
    return {k: v for k, v in tokens.items() if k != "token_type_ids"}


def _file(name, files, public):
    """The file of a record: its id is the split and the path without the ending."""
    tail = name.split("/", 1)[1]
    (one,) = [p for p in files if str(p.relative_to(public).with_suffix("")).endswith(tail)]
    return one


def launch(checkpoint, suite, out):
    """``launch/evaluate.py`` with the config of the suite, in a process of its own."""
    root = pathlib.Path(__file__).parents[3]
    command = [
        sys.executable, "launch/evaluate.py", f"--checkpoint={checkpoint}", f"--out={out}",
        f"--config=configs/unimed/suite.py:{suite}", "--config.bootstrap.resamples=20",
    ]  # fmt: skip
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=root, env=os.environ | quick, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def check(folder, names, tmp_path, each):
    from sklearn.metrics import roc_auc_score

    suite = import_sets(tmp_path, names, each)
    said = launch(folder, suite, tmp_path / "out")
    assert len(names) == 21 or f"All means are over the {len(names)} of 21 sets" in said
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
    print(f"largest difference of a cosine over {len(names)} sets: {worst:.1e}")
    assert worst < 1e-4, worst
    same = compare_scores(tmp_path / "out", tmp_path / "out", resamples=20)
    assert set(same.sets) == set(names)
    assert same.mean["accuracy"].value == 0


def test_two_sets(tmp_path):
    check(weights(tmp_path / "weights", FEW), FEW, tmp_path, each=3)


@pytest.mark.slow
def test_all_sets(tmp_path):
    names = [one.name for one in SETS]
    check(weights(tmp_path / "weights", names), names, tmp_path, each=2)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["open_clip", "clip"])
def test_our_exports(layout, tmp_path, monkeypatch):
    """A run of ours, exported: open_clip, or transformers, scores it as we do."""
    import suite_layouts
    import test_moved_exports as exports

    from medvlp_jax.run.conversion import convert as conversion
    from medvlp_jax.weights.export import export

    if layout == "clip":  # transformers resizes tensors, and not as Pillow does
        monkeypatch.setattr(suite_layouts, "SIZE", (32, 32))
    train_wordpiece(exports.TEXTS * 3, tmp_path / "words", 300)
    run, params, buffers = exports.run_of(layout, tmp_path / "words", 3, filter="bicubic")
    known = conversion.run_inputs(run)
    export(tmp_path / "out_of", layout, run.model_config, params, buffers, inputs=known)
    check(exports.moved(tmp_path / "out_of", tmp_path / "there"), FEW, tmp_path, each=3)
