"""Copies and patients that training shares with evaluation are found, shown and left out."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_gen.phantom.registry import find_phantom
from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.held_out import HeldOut
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import finalise, open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.unreadable import DataError
from medvlp_jax.run.leakage.alike import describe, describe_crops, likeness
from medvlp_jax.run.leakage.leakage import LeakageConfig, find_leakage, source_of
from medvlp_jax.run.leakage.pairs import NearConfig

SIDE = 96
CHANGES = {
    "encoded again": lambda x: cv2.imdecode(cv2.imencode(".jpg", x, [1, 40])[1], 0),
    "smaller": lambda x: cv2.resize(x, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "larger": lambda x: cv2.resize(x, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
    "cropped": lambda x: x[4:, : SIDE - 3],
    "brighter": lambda x: np.clip(x * 1.2 + 15, 0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def films():
    phantom = find_phantom("chest_xray")
    studies = [phantom.sample(3, i) for i in range(96)]
    return phantom.render(studies, SIDE, masks=False).images


def png(pixels):
    return Image(cv2.imencode(".png", pixels)[1].tobytes(), "png")


def record(id, image, split, patient="", source="hospital"):
    return Record(
        id, (image,), (Text("A chest film.", "findings"),), split=split,
        patient_id=patient, provenance={"source": source},
    )  # fmt: skip


def folder(path, records):
    by_split = {}
    for one in records:
        by_split.setdefault(one.split, []).append(one)
    for split, some in by_split.items():
        write_shard(path, ShardName("films", split, 0, 1), some, "test")
    finalise(path)
    return path


@pytest.fixture(scope="module")
def data(films, tmp_path_factory):
    """64 films to train on, in two splits; of 32 others for testing, 11 share something."""
    path = tmp_path_factory.mktemp("films")
    planted = {}
    records = [
        record(f"t{i}", png(film), "train", f"p{i}") for i, film in enumerate(films[:60])
    ] + [record(f"u{i}", png(films[60 + i]), "more", f"p{i}", "clinic") for i in range(4)]
    records.append(record("t-twice", png(films[7]), "train", "p700"))
    records.append(Record("cut", (Image(png(films[0]).data[:300], "png"),), split="train"))
    tests = [record(f"e{i}", png(films[64 + i]), "test", f"q{i}") for i in range(21)]
    tests.append(record("file", png(films[5]), "test"))
    planted["t5"] = "same file"
    other = Image(cv2.imencode(".png", np.repeat(films[6][..., None], 3, 2))[1].tobytes(), "png")
    tests.append(record("pixels", other, "test"))
    planted["t6"] = "same pixels"
    for number, (name, change) in enumerate(CHANGES.items()):
        tests.append(record(name, png(change(films[7 + number])), "test", f"r{number}"))
        planted[f"t{7 + number}"] = "same picture"
    planted["t-twice"] = "same picture"
    tests.append(record("patient", png(films[90]), "test", "p30"))
    planted["t30"] = "same patient"
    tests.append(record("namesake", png(films[91]), "test", "p2", "clinic"))
    return folder(path, records + tests), planted


def config(path, **changes):
    train = (SourceConfig(str(path), "train"), SourceConfig(str(path), "more"))
    return LeakageConfig(train, (SourceConfig(str(path), "test"),), **changes)


def test_a_copy_is_told_from_another_film(films):
    for change in CHANGES.values():
        for film in films[:8]:
            assert likeness(film, change(film)) > 0.85
            near = (describe_crops(change(film)) @ describe(film)).max()
            assert near > 0.85
    others = [likeness(films[i], films[j]) for i in range(10) for j in range(i)]
    assert max(others) < NearConfig().threshold - 0.05
    assert not describe(np.full((40, 50), 7, np.uint8)).any()
    assert likeness(np.full((40, 50), 7, np.uint8), films[0]) == 0


def test_all_that_is_shared_is_found_and_nothing_else(data, tmp_path):
    path, planted = data
    found = find_leakage(config(path), tmp_path, "typed")
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert {line["train_id"]: line["kind"] for line in lines} == planted | {"u2": "same patient"}
    assert found.summary["same_ids"] == {"hospital / clinic": 1}
    train = found.summary["train"][0]
    assert train["records"] == 62
    assert [name for name, _ in train["refused"]] == ["cut"]
    assert train["images"] == 61
    listed = json.loads(found.list_path.read_text())["folders"]
    assert {one["id"] for one in listed[0]["left_out"]} == set(planted)
    assert listed[1]["left_out"] == [
        {"record": 2, "id": "u2", "why": f"same patient as {path}:test namesake"}
    ]
    page = found.page_path.read_text()
    assert "encoded again" in page
    assert "Not looked for" in page
    # The second time nothing is decoded again, and nothing changes.
    kept = sorted((tmp_path / "looked").iterdir())
    before = (tmp_path / "pairs.jsonl").read_bytes(), [p.stat().st_mtime_ns for p in kept]
    find_leakage(config(path), tmp_path, "typed")
    after = (tmp_path / "pairs.jsonl").read_bytes(), [p.stat().st_mtime_ns for p in kept]
    assert after == before


def test_kinds_are_chosen(data, tmp_path):
    path, _ = data
    find_leakage(config(path, leave_out=("same file",)), tmp_path, "typed")
    listed = json.loads((tmp_path / "held_out.json").read_text())["folders"]
    assert [one["id"] for one in listed[0]["left_out"]] == ["t5"]


def test_the_command_writes_what_training_reads(data, tmp_path, repo_root):
    path, planted = data
    command = [
        sys.executable, "launch/leakage.py", f"--train={path}:train", f"--train={path}:more",
        f"--evaluation={path}:test", f"--out={tmp_path}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    assert f"{path}:train: {len(planted)} of 62 records to leave out" in done.stdout
    source = open_dataset(path, "train")
    kept = HeldOut.load(tmp_path / "held_out.json").kept(source, np.arange(61))
    assert {source[int(i)].id for i in np.flatnonzero(~kept)} == set(planted)


def test_what_cannot_be_is_said(data, tmp_path):
    path, _ = data
    with pytest.raises(ConfigError, match="must be FOLDER:SPLIT"):
        source_of("train", "data")
    with pytest.raises(ValueError, match="trained on and evaluated on"):
        LeakageConfig((SourceConfig(str(path)),), (SourceConfig(str(path)),))
    with pytest.raises(ValueError, match="leave_out names 'same'"):
        config(path, leave_out=("same",))
    source = open_dataset(path, "train")
    (tmp_path / "list.json").write_text('{"version": 1, "folders": []}')
    with pytest.raises(DataError, match="was made without"):
        HeldOut.load(tmp_path / "list.json").kept(source, np.arange(3))
    for text in ("", "[]", '{"version": 2}', '{"version": 1, "folders": [{}]}'):
        (tmp_path / "list.json").write_text(text)
        with pytest.raises(DataError, match=r"list\.json .*launch/leakage\.py"):
            HeldOut.load(tmp_path / "list.json")


def test_decoding_of_a_planted_copy(data):
    """The planted copies differ from what they were made of: the test tests something."""
    path, _ = data
    by_id = {source[i].id: source[i] for split in ("train", "test")
             for source in [open_dataset(path, split)] for i in range(len(source))}  # fmt: skip
    for number, name in enumerate(CHANGES):
        copy = decode(by_id[name].images[0].data, "png")
        own = decode(by_id[f"t{7 + number}"].images[0].data, "png")
        assert copy.shape != own.shape or (copy != own).mean() > 0.3
