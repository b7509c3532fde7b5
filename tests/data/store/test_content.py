"""Folders whose files are not what was written: found and named, or harmless; never less data."""

import json
import logging
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.labelled import label_index
from medvlp_jax.data.store import tfrecord
from medvlp_jax.data.store.dataset import (
    BESIDE,
    finalise,
    keep_digests,
    open_dataset,
    splits,
    verify,
)
from medvlp_jax.data.store.manifest import MANIFEST, ShardError, ShardName, shard_names, unfinished
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts import text_index
from medvlp_jax.data.texts.choice import TextConfig

NAMES = [*shard_names("toy", "train", 3), ShardName("toy", "val", 0, 1)]


def record(i, split="train"):
    return Record(
        id=f"{split}{i}",
        images=(Image(b"\xff\xd8\xff" + bytes([i % 256]) * 90, "jpeg", "PA"),),
        texts=(Text(f"Finding {i}", "findings"),),
        labels={"edema": (1, 0, -1)[i % 3]},
        split=split,
    )


def records_of(name):
    return [record(10 * name.index + i, name.split) for i in range(4)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "toy"
    for name in NAMES:
        write_shard(folder, name, records_of(name), "job")
    finalise(folder, "A toy.")
    rejects = [{"where": f"row {i}", "kind": "no image", "detail": ""} for i in range(9)]
    (folder / "rejects.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rejects))
    (folder / "summary.json").write_text(json.dumps({"splits": {"train": 12, "val": 4}}))
    keep_digests(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "toy")
    return tmp_path / "toy"


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def lines_of(folder):
    return (folder / MANIFEST).read_bytes().split(b"\n")[:-1]


def test_a_shard_of_the_right_size_and_wrong_bytes_is_not_finished(folder, caplog):
    path = folder / NAMES[1].filename
    path.write_bytes(b"y" * path.stat().st_size)
    with caplog.at_level(logging.WARNING):
        assert unfinished(folder, NAMES, "job") == [NAMES[1]]
    (line,) = [r.getMessage() for r in caplog.records]
    assert f"{path} differs from what was written; it is made again" in line
    assert unfinished(folder, NAMES, "job", only=[NAMES[0]]) == []
    write_shard(folder, NAMES[1], records_of(NAMES[1]), "job")
    assert unfinished(folder, NAMES, "job") == []
    assert verify(folder) == []


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "newline"])
def test_a_line_that_is_lost_never_makes_the_folder_smaller(folder, split, damage):
    """Of one shard of several, and of the only one of its split."""
    lines = lines_of(folder)
    at = 0 if split == "train" else 3
    lost = bytearray(lines[at])
    if damage == "bit":
        lost[len(lost) // 2] ^= 4
    lines[at] = {"cut": bytes(lost[:50]), "gone": b""}.get(damage, bytes(lost))
    text = b"\n".join(lines) + b"\n"
    if damage == "newline":
        text = text.replace(lines[at] + b"\n", lines[at] + b"\x0b")
    (folder / MANIFEST).write_bytes(text)
    for use in (lambda: splits(folder), lambda: open_dataset(folder, "train")):
        with pytest.raises(ShardError, match=NAMES[at].filename) as caught:
            use()
        assert "\n" not in str(caught.value)
        if damage == "bit" or (damage, at) == ("newline", 0):
            assert f"damaged lines of {MANIFEST}: {at + 1}" in str(caught.value)
    assert len(verify(folder)) == 1
    assert NAMES[at] in unfinished(folder, NAMES, "job")
    for name in unfinished(folder, NAMES, "job"):
        write_shard(folder, name, records_of(name), "job")
    assert len(open_dataset(folder, split)) == (12 if split == "train" else 4)


def test_what_a_crash_left_of_a_line_is_no_damage(folder):
    lines = lines_of(folder)
    text = b"\n".join([lines[0][:80], *lines, lines[3][:40]])
    (folder / MANIFEST).write_bytes(text)
    assert verify(folder) == []
    assert list(splits(folder)) == ["train", "val"]


def test_an_older_line_does_not_speak_for_another_file(folder):
    """The shard was made again with other records of the same size; its new line is damaged."""
    old = folder / NAMES[0].filename
    others = [record(i + 5) for i in range(4)]
    size = old.stat().st_size
    write_shard(folder, NAMES[0], others, "job")
    assert old.stat().st_size == size
    lines = lines_of(folder)
    lines[-1] = lines[-1].replace(b'"images": 4', b'"images": 5')
    (folder / MANIFEST).write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ShardError, match=r"differs from what was written.*damaged lines.*: 5"):
        open_dataset(folder, "train")


def test_manifests_of_older_versions_are_read(folder):
    plain = [json.loads(line) for line in lines_of(folder)]
    for row in plain:
        del row["check"]
    (folder / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in plain))
    (folder / "digests.json").unlink()
    assert verify(folder) == []
    assert list(open_dataset(folder, "val")) == records_of(NAMES[3])


@pytest.mark.parametrize("name", ["rejects.jsonl", "summary.json", "features.json"])
def test_small_files_are_verified_too(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"a", b"o", 1))
    (line,) = verify(folder)
    assert f"{path} differs from what was written" in line
    keep_digests(folder)  # who writes one says so
    assert verify(folder) == []


def test_digests_that_are_damaged_are_named(folder):
    (folder / "digests.json").write_text('{"files": ["a"]}')
    (line,) = verify(folder)
    assert "digests.json is damaged" in line


def outcome(folder, truth):
    """What reading the whole folder gives: a line that names something, or the records ("")."""
    try:
        got = {s: list(open_dataset(folder, s)) for s in splits(folder)}
        counts = {s: open_dataset(folder, s).label_counts for s in got}
    except ShardError as error:
        return str(error)
    assert (got, counts) == truth, "other numbers"
    return ""


@pytest.mark.parametrize("flips", [15, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["shard", "manifest", "beside"])
def test_turned_bits_are_named_or_harmless(written, tmp_path, kind, flips):
    truth = (
        {s: list(open_dataset(written, s)) for s in splits(written)},
        {s: open_dataset(written, s).label_counts for s in splits(written)},
    )
    shards = [name.filename for name in NAMES]
    beside = [*(name for name in BESIDE if (written / name).exists()), "digests.json"]
    draw, seen = random.Random(flips), []
    for i in range(flips):
        folder = tmp_path / str(i)
        shutil.copytree(written, folder)
        name = draw.choice({"shard": shards, "manifest": [MANIFEST], "beside": beside}[kind])
        raw = (folder / name).read_bytes()  # shards are padded with zeros, which nobody reads
        places = range(len(raw)) if i % 2 else [at for at, byte in enumerate(raw) if byte]
        flip(folder / name, 8 * draw.choice(places) + draw.randrange(8))
        seen.append(outcome(folder, truth))
        broken = verify(folder)
        assert broken, f"{name} is damaged and passes as whole"
        assert all("\n" not in line and str(folder) in line for line in broken)
        if kind != "beside":
            todo = unfinished(folder, NAMES, "job")
            for one in todo:
                write_shard(folder, one, records_of(one), "job")
            assert outcome(folder, truth) == ""
        shutil.rmtree(folder)
    named = [line for line in seen if line]
    print(f"{kind}: {len(named)} of {flips} named when read, the others harmless")
    assert all("\n" not in line and str(tmp_path) in line for line in named)
    assert bool(named) == (kind != "beside")


# ------------------------------------------------------------------------------------- TFRecord


@pytest.mark.parametrize("changes", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_damaged_tfrecord_is_one_line(written, tmp_path, changes):
    tfrecord.export(written, tmp_path / "tf")
    files = sorted(p.name for p in (tmp_path / "tf").iterdir())
    draw, lines = random.Random(changes), []
    for i in range(changes):
        source, target = tmp_path / f"in{i}", tmp_path / f"out{i}"
        shutil.copytree(tmp_path / "tf", source)
        path = source / draw.choice(files)
        data = bytearray(path.read_bytes())
        at = draw.randrange(len(data))
        how = draw.choice(["bit", "cut", "zeros", "longer", "name"])
        if how == "bit":
            data[at] ^= 1 << draw.randrange(8)
        elif how == "zeros":
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        else:
            data = {"cut": data[:at], "longer": data + data[:at], "name": data}[how]
        path.write_bytes(data)
        if how == "name" and "-of-" in path.name:
            path.rename(source / path.name.replace("-00000-of", "-00009-of"))
        try:
            assert sum(tfrecord.import_folder(source, target).values()) == 16
            got = [list(open_dataset(target, s)) for s in ("train", "val")]
            assert got == [list(open_dataset(written, s)) for s in ("train", "val")]
        except ShardError as error:
            lines.append(str(error))
        shutil.rmtree(source)
        shutil.rmtree(target, ignore_errors=True)
    print(f"{len(lines)} of {changes} refused, the others harmless")
    assert len(lines) > changes // 3
    assert all("\n" not in line and ("/in" in line or "toy-" in line) for line in lines)


def test_tfrecord_cut_between_two_frames_is_not_a_smaller_data_set(written, tmp_path):
    tfrecord.export(written, tmp_path / "tf")
    path = sorted((tmp_path / "tf").glob("*tfrecord-00001*"))[0]
    frames = list(tfrecord.read_frames(path))
    tfrecord.write_frames(path, frames[:-1])
    with pytest.raises(ShardError, match=f"{path.name} holds 3 records, not 4"):
        tfrecord.import_folder(tmp_path / "tf", tmp_path / "back")


# ------------------------------------------------------------------------------------- indexes


@pytest.mark.parametrize("flips", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_a_damaged_index_is_made_again(written, tmp_path, monkeypatch, flips):
    """Of texts and of labels: whichever bit is turned, the pass over the records is repeated."""
    tokenizer = SimpleNamespace(hash="h", lengths=lambda texts: list(map(len, texts)))
    source, keep = open_dataset(written, "train"), str(tmp_path)
    monkeypatch.setattr(text_index, "check_known", lambda tokenizer, sample: None)

    def both():
        texts = text_index.text_index(source, tokenizer, TextConfig(), ImageConfig(), keep)
        labels = label_index(source, ["edema"], ImageConfig(), keep)
        return [
            texts.records,
            texts.counts,
            texts.lengths,
            labels.records,
            labels.labels,
            labels.ids,
        ]

    want = both()
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 2
    kept, draw = [f.read_bytes() for f in files], random.Random(flips)
    for i in range(flips):
        place = files[i % 2]
        flip(place, draw.randrange(8 * place.stat().st_size))
        for got, expected in zip(both(), want, strict=True):
            np.testing.assert_array_equal(got, expected)
        for file, raw in zip(files, kept, strict=True):
            file.write_bytes(raw)
