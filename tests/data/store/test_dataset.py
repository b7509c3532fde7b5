"""The reader of a data folder, TFDS without this package, and broken shards by name."""

import dataclasses
import json
import pickle
import subprocess
import sys
import textwrap

import pytest

from medvlp_jax.data.store import shards
from medvlp_jax.data.store.dataset import finalise, open_dataset, splits, verify
from medvlp_jax.data.store.manifest import (
    MANIFEST,
    ShardError,
    ShardName,
    read_manifest,
    shard_names,
)
from medvlp_jax.data.store.record import Box, Image, Record, Text, Turn
from medvlp_jax.data.store.shards import write_shard

JPEG = b"\xff\xd8\xff"


def record(i: int, split: str = "train") -> Record:
    return Record(
        id=f"{split}{i}",
        images=(Image(JPEG + bytes([i % 256]) * 50, "jpeg", "PA"),),
        texts=(Text(f"Finding {i}", "findings"), Text(f"Impression {i}", "impression")),
        labels={"edema": (1, 0, -1)[i % 3], "mass": 1},
        boxes=(Box(0.1, 0.1, 0.5, 0.5, "mass"),) if i % 2 else (),
        split=split,
        provenance={"index": i},
    )


def write_folder(directory, train=(4, 0, 3), val=2, job="job"):
    start = 0
    for name, size in zip(shard_names("toy", "train", len(train)), train, strict=True):
        write_shard(directory, name, map(record, range(start, start + size)), job)
        start += size
    write_shard(
        directory, ShardName("toy", "val", 0, 1), (record(i, "val") for i in range(val)), job
    )
    return directory


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "ds")


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "; " in message, "says no mend"
    return message


def test_reader_is_a_sequence_of_the_records(folder):
    source = open_dataset(folder, "train")
    assert len(source) == 7
    assert [source[i] for i in (5, 0, 6, 3)] == [record(i) for i in (5, 0, 6, 3)]
    assert list(source) == [record(i) for i in range(7)]
    assert source[-1] == record(6)
    with pytest.raises(IndexError):
        source[7]
    assert source.label_names == ["edema", "mass"]
    assert source.label_counts["edema"] == {"positive": 3, "negative": 2, "uncertain": 2}
    assert source.shards[0].texts == 8
    assert source.shards[0].boxes == 2
    assert list(open_dataset(folder, "val")) == [record(i, "val") for i in range(2)]


def test_a_whole_folder_verifies(folder):
    assert verify(folder) == []


def test_source_pickles_after_it_was_read(folder):
    source = open_dataset(folder, "train")
    assert source[0] == record(0)
    again = pickle.loads(pickle.dumps(source))
    assert again[6] == record(6)
    assert repr(again) == repr(source)


def test_source_feeds_grain(folder):
    grain = pytest.importorskip("grain.python")
    dataset = grain.MapDataset.source(open_dataset(folder, "train")).shuffle(seed=1)
    ids = [r.id for r in dataset.to_iter_dataset(grain.ReadOptions(num_threads=4))]
    assert sorted(ids) == sorted(record(i).id for i in range(7))


def test_tfds_reads_the_folder_without_this_package(folder, tmp_path):
    finalise(folder, description="A toy.")
    code = f"""
        import sys, json
        import tensorflow_datasets as tfds
        builder = tfds.builder_from_directory({str(folder)!r})
        data = builder.as_data_source(split="train")
        half = builder.as_data_source(split="train[:50%]")
        e = data[5]
        print(json.dumps({{
            "n": len(data), "half": len(half), "val": builder.info.splits["val"].num_examples,
            "id": e["id"].decode(), "text": [t.decode() for t in e["texts"]["text"]],
            "image": e["images"]["data"][0].hex(), "labels": [int(v) for v in e["labels"]["value"]],
            "box": float(e["boxes"]["x1"][0]), "masks": len(e["masks"]["data"]),
            "modules": [m for m in ("medvlp_jax", "tensorflow") if m in sys.modules],
        }}))
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    got = json.loads(out.stdout.splitlines()[-1])
    want = record(5)
    assert got == {
        "n": 7,
        "half": 4,
        "val": 2,
        "id": want.id,
        "text": [t.text for t in want.texts],
        "image": want.images[0].data.hex(),
        "labels": [want.labels["edema"], want.labels["mass"]],
        "box": 0.5,
        "masks": 0,
        "modules": [],
    }


def test_tfds_reads_a_folder_of_conversations(folder, tmp_path):
    finalise(folder)
    assert (
        "turns"
        not in json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    )
    assert "turns" not in (folder / MANIFEST).read_text()
    turns = (Turn("user", "What is it?", (0,)), Turn("assistant", "A mass."))
    both = [dataclasses.replace(record(i), turns=turns[: i + 1]) for i in (0, 1)]
    talks = tmp_path / "talks"
    info = write_shard(talks, ShardName("toy", "train", 0, 1), both, "job")
    assert info.turns == 3
    assert read_manifest(talks)[info.file] == info
    finalise(talks)
    assert list(open_dataset(talks)) == both
    code = textwrap.dedent(f"""
        import json
        import tensorflow_datasets as tfds
        source = tfds.builder_from_directory({str(talks)!r}).as_data_source(split="train")
        for one in source:
            print(json.dumps({{k: [x.decode() for x in v] for k, v in one["turns"].items()}}))
    """)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    first, second = map(json.loads, out.stdout.splitlines())
    assert first == {"role": ["user"], "text": ["What is it?"], "images": ["0"]}
    assert second == {
        "role": ["user", "assistant"],
        "text": ["What is it?", "A mass."],
        "images": ["0", ""],
    }


def test_finalise_counts_and_leaves_out_empty_splits(folder):
    write_shard(folder, ShardName("toy", "test", 0, 1), ())
    assert finalise(folder) == {"train": 7, "val": 2}
    info = json.loads((folder / "dataset_info.json").read_text())
    assert [s["name"] for s in info["splits"]] == ["train", "val"]
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    assert len(open_dataset(folder, "test")) == 0


FIRST = "toy-train.array_record-00000-of-00003"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "truncated or foreign"),
        (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
        (lambda p: p.write_bytes(b"x" * 999), "has 999 bytes"),
        (lambda p: p.unlink(), "is missing"),
    ],
)
def test_broken_shard_is_named_on_opening(folder, damage, message):
    damage(folder / FIRST)
    for use in (lambda: open_dataset(folder, "train"), lambda: finalise(folder)):
        with pytest.raises(ShardError, match=message) as caught:
            use()
        assert FIRST in one_line(caught)


def test_foreign_file_of_the_right_size_is_named_on_reading(folder):
    path = folder / FIRST
    path.write_bytes(b"y" * path.stat().st_size)
    source = open_dataset(folder, "train")
    assert source[6] == record(6)
    with pytest.raises(ShardError, match="no whole ArrayRecord file") as caught:
        source[0]
    assert FIRST in one_line(caught)


def test_a_shard_in_the_place_of_another_is_named(folder, tmp_path):
    write_folder(tmp_path / "other", train=(2, 0, 3))
    (folder / FIRST).write_bytes((tmp_path / "other" / FIRST).read_bytes())
    with pytest.raises(ShardError, match="holds 2 records, not 4") as caught:
        open_dataset(folder, "train")[0]
    assert FIRST in one_line(caught)


@pytest.mark.parametrize("same_split", [True, False])
def test_a_shard_exchanged_by_name_is_named(tmp_path, same_split):
    folder = write_folder(tmp_path / "ds", train=(2, 2), val=2)
    a, b = (folder / f"toy-train.array_record-0000{i}-of-00002" for i in (0, 1))
    if not same_split:
        b = folder / "toy-val.array_record-00000-of-00001"
        assert a.stat().st_size == b.stat().st_size  # padded: what a size cannot tell
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    with pytest.raises(ShardError, match="-00000-of-00002 differs"):
        open_dataset(folder, "train", verified=True)
    source = open_dataset(folder, "train")
    if same_split:  # all records are there, in another order
        assert {source[i].id for i in range(4)} == {f"train{i}" for i in range(4)}
    else:
        with pytest.raises(ShardError, match="holds records of split 'val'"):
            source[0]


def test_flipped_bits_are_found_by_the_read(folder):
    path = folder / FIRST
    data = bytearray(path.read_bytes())
    data[200] ^= 0x55
    path.write_bytes(data)
    (line,) = verify(folder)
    assert FIRST in line
    source = open_dataset(folder, "train")
    with pytest.raises(ShardError, match="is corrupt at record") as caught:
        list(source)
    assert FIRST in one_line(caught)


def test_shard_with_foreign_examples_is_named(folder):
    name = ShardName("toy", "train", 0, 3)
    shards.write_array_record(folder / name.filename, [b"hello"] * 4, name.filename)
    with pytest.raises(ShardError, match="does not hold a record") as caught:
        open_dataset(folder, "train")[0]
    assert FIRST in one_line(caught)


def test_folders_that_are_none_and_splits_that_are_not_there(folder, tmp_path):
    with pytest.raises(ShardError, match=r"no finished shard in manifest\.jsonl"):
        open_dataset(tmp_path / "nothing", "train")
    with pytest.raises(ShardError, match="no split 'dev'; it has: train, val"):
        open_dataset(folder, "dev")


def test_a_split_that_lacks_a_shard_is_refused(tmp_path):
    names = shard_names("toy", "train", 3)
    for name in (names[0], names[2]):
        write_shard(tmp_path, name, [record(name.index)])
    with pytest.raises(ShardError, match="lacks 1 of 3 shards, first index 1") as caught:
        splits(tmp_path)
    one_line(caught)
