"""Two folders side by side: what is shown, what is measured, what is left out."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_gen.data_page.beside import measure
from medvlp_jax.data.store.dataset import finalise
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard


def picture(seed, colour):
    rng = np.random.default_rng(seed)
    shape = (40, 50, 3) if colour else (40, 50)
    return rng.integers(0, 255, shape).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("sides")
    for name, modalities in (("made", ("ct", "fundus")), ("real", ("ct", ""))):
        records = [
            Record(
                f"{name}{modality}{i}",
                (Image(cv2.imencode(".png", picture(i, modality == "fundus"))[1].tobytes(), "png",
                       modality=modality),),
                (Text("x", "caption"),),
                split="test",
            )
            for modality in modalities
            for i in range(5)
        ]  # fmt: skip
        records.append(Record("cut", (Image(records[0].images[0].data[:90], "png", modality="ct"),),
                              split="test"))  # fmt: skip
        write_shard(path / name, ShardName(name, "test", 0, 1), records, "test")
        finalise(path / name)
    return path


def call(repo_root, *flags):
    command = [sys.executable, "launch/side_by_side.py", *flags]
    return subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)


def test_the_command_writes_a_page(folders, repo_root):
    page = folders / "page.html"
    done = call(
        repo_root, f"--left={folders / 'made'}:test", f"--right={folders / 'real'}:test",
        f"--out={page}", "--count=3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    # Three of each; of six files of CT one is cut, which a row of three may hold.
    assert 7 <= text.count("<figure>") <= 9
    assert "left (test), 5 images" in text  # fundus
    assert "right (test), 0 images" in text
    assert "5 images of right (test) name no modality" in text


@pytest.mark.parametrize(
    ("left", "out", "said"),
    [
        ("made", "page.html", "must be FOLDER:SPLIT"),
        ("made:none", "page.html", "none"),
        ("made:test", "page.txt", "must end in .html"),
    ],
)
def test_what_is_wrong_is_one_line(folders, repo_root, left, out, said):
    done = call(
        repo_root, f"--left={folders / left}", f"--right={folders / 'real'}:test",
        f"--out={folders / out}",
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_measures():
    flat = measure(np.full((30, 30), 51, np.uint8))
    assert flat.brightness == pytest.approx(0.2)
    assert flat[1:] == pytest.approx((0, 0, 0), abs=1e-6)
    coarse = np.kron([[0, 255], [255, 0]], np.ones((60, 60))).astype(np.uint8)
    noise = picture(1, False)
    assert measure(coarse).contrast == pytest.approx(0.5, abs=0.02)
    assert measure(coarse).detail < 0.5 < measure(noise).detail
    red = np.zeros((30, 30, 3), np.uint8)
    red[..., 0] = 255
    assert measure(red).colour == pytest.approx(4 / 9, abs=1e-3)
    assert measure(np.repeat(noise[..., None], 3, 2)).colour == 0
