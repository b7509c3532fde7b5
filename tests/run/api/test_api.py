"""The public names, what their import costs, and the README's lines."""

import inspect
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import medvlp_jax as mv
from medvlp_jax.core.files import npz
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset

from .films import dicom

SIGNATURES = {
    "load": "(path, step='latest', *, family='', tokenizer='', devices=None)",
    "Model.embed_images": "(self, images, *, batch_size=None)",
    "Model.embed_patches": "(self, images)",
    "Model.embed_texts": "(self, texts)",
    "Model.similarity": "(self, images, texts)",
    "Model.zero_shot": "(self, images, classes, *, prompts=None, protocol=None, temperature=None)",
    "Model.heatmap": "(self, image, phrase, *, query='positive', protocol=None, side=None)",
    "Model.features": "(self, folder, *, split=None, out=None, batch_size=None)",
    "Model.describe": "(self)",
    "HeatMap": "(phrase, film, values, patches)",
    "Features": "(ids, vectors, refused, path=None)",
    "ZeroShotScores": "(classes, scores, probabilities, protocol)",
}


def test_public_names_stay():
    assert sorted(mv.__all__) == [
        "Features", "HeatMap", "Model", "ScoreComparison", "Scores", "UserError", "ZeroShotScores",
        "compare_scores", "load", "read_scores",
    ]  # fmt: skip
    assert set(mv.__all__) <= set(dir(mv))
    properties = {n for n, x in vars(mv.Model).items() if isinstance(x, property)}
    assert properties == {"name", "labels", "config"}
    methods = {n for n, x in vars(mv.Model).items() if inspect.isfunction(x) and n[0] != "_"}
    assert methods == {n.split(".")[1] for n in SIGNATURES if n.startswith("Model.")}
    for name, wanted in SIGNATURES.items():
        found = mv
        for part in name.split("."):
            found = getattr(found, part)
        plain = [
            p.replace(annotation=inspect.Parameter.empty)
            for p in inspect.signature(found).parameters.values()
        ]
        assert str(inspect.Signature(plain)) == wanted, name
        assert inspect.getdoc(found)
    with pytest.raises(AttributeError, match="no attribute 'embed'"):
        _ = mv.embed


def test_import_is_light():
    """Launch scripts set the environment of JAX first."""
    code = (
        "import sys, medvlp_jax as mv; mv.UserError; dir(mv); "
        "print([m for m in ('jax', 'flax', 'numpy', 'cv2', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_comes_before_the_backend():
    """The preset for CPUs must be in the environment when the backend starts."""
    code = (
        "import os, medvlp_jax as mv; load = mv.load\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()\n"
        "try: load('there/is/nothing')\n"
        "except mv.UserError: print(os.environ.get('XLA_FLAGS', ''))"
    )
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert "ynn_fusion" in done.stdout


def snippet(root: pathlib.Path) -> str:
    """The block of the README that uses the API."""
    blocks = re.findall(r"^```python\n(.*?)^```", (root / "README.md").read_text(), re.M | re.S)
    (found,) = [block for block in blocks if "import medvlp_jax as mv" in block]
    return found


def run_snippet(code: str, place: pathlib.Path, run: pathlib.Path, data: pathlib.Path):
    (place / "runs" / "quickstart").mkdir(parents=True)
    (place / "runs" / "quickstart" / "train").symlink_to(run)
    (place / "runs" / "quickstart" / "data").symlink_to(data)
    image = open_dataset(data, "test")[0].images[0]
    pixels = decode(image.data, image.format, gray=True)
    PIL.Image.fromarray(pixels).save(place / "film.png")
    dicom(pixels, place / "film.dcm")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def check_snippet(names, count: int) -> None:
    vectors, texts, scores = names["vectors"], names["texts"], names["scores"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0, atol=1e-5)  # the same film
    assert texts.shape == (2, vectors.shape[1])
    np.testing.assert_allclose(names["cosines"][:, 0], vectors @ texts[0], rtol=0, atol=1e-6)
    assert scores.scores.shape == (2, 3)
    np.testing.assert_allclose(names["own"].probabilities.sum(1), 1.0, atol=1e-9)
    assert names["heat"].values.shape == names["heat"].film.shape[:2]
    kept = npz.read("features.npz")
    assert kept["vectors"].shape == (count, vectors.shape[1])
    assert np.isfinite(kept["vectors"]).all()


def test_the_readme_on_a_checkpoint(trained, repo_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_snippet(run_snippet(snippet(repo_root), tmp_path, *trained), 40)


def test_the_readme_on_an_open_clip_folder(trained, exported, repo_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_snippet(snippet(repo_root), tmp_path, exported, trained[1])
    check_snippet(names, 40)
    assert names["model"].name.endswith("(open_clip)")


def test_the_readme_has_about_ten_lines(repo_root):
    code = snippet(repo_root)
    assert 8 <= len([line for line in code.splitlines() if line.strip()]) <= 12
    assert max(map(len, code.splitlines())) <= 100


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_the_readme_on_the_quickstart(repo_root, tmp_path, monkeypatch):
    place = repo_root / "runs" / "quickstart"
    if not (place / "train" / "checkpoints").is_dir():
        pytest.skip("bash launch/quickstart.sh makes runs/quickstart")
    monkeypatch.chdir(tmp_path)
    names = run_snippet(snippet(repo_root), tmp_path, place / "train", place / "data")
    check_snippet(names, len(open_dataset(place / "data", "test")))
