"""Shards: whole or absent, resumable, readable by TFDS alone, and rejected by name when broken."""

import errno
import json
import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from medvlp_jax.data import manifest, shards
from medvlp_jax.data.dataset import finalise, open_dataset, splits, verify
from medvlp_jax.data.manifest import ShardError, ShardName, read_manifest, shard_names, unfinished
from medvlp_jax.data.records import Box, Image, Record, RecordError, Text
from medvlp_jax.data.shards import remove_leftovers, write_shard

JPEG = b"\xff\xd8\xff"
RANDOM_RECORD = 'Record(str(i), images=(Image(b"\\xff\\xd8\\xff" + os.urandom(9000), "jpeg"),))'


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


def test_the_same_records_give_the_same_file(tmp_path):
    infos = [
        write_shard(tmp_path / d, ShardName("toy", "train", 0, 1), map(record, range(9)))
        for d in "ab"
    ]
    assert infos[0] == infos[1]


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


def test_shards_of_two_jobs_do_not_mix(tmp_path):
    names = shard_names("toy", "train", 2)
    write_shard(tmp_path, names[0], [record(0)], "old")
    write_shard(tmp_path, names[1], [record(1)], "new")
    with pytest.raises(ShardError, match="come from different jobs"):
        finalise(tmp_path)
    with pytest.raises(ShardError, match="job with other settings"):
        unfinished(tmp_path, names, "new")
    with pytest.raises(ShardError, match="job with other settings"):
        unfinished(tmp_path, shard_names("toy", "train", 5), "old")


def test_an_interrupted_job_makes_only_what_is_missing(tmp_path):
    names = shard_names("toy", "train", 4)
    assert unfinished(tmp_path, names, "j") == names
    for i in (0, 1, 3):
        write_shard(tmp_path, names[i], [record(i)], "j")
    (tmp_path / names[1].filename).write_bytes(b"cut")  # as after a crash of the machine
    (tmp_path / names[3].filename).unlink()
    assert unfinished(tmp_path, names, "j") == [names[1], names[2], names[3]]
    for name in unfinished(tmp_path, names, "j"):
        write_shard(tmp_path, name, [record(name.index)], "j")
    assert list(open_dataset(tmp_path)) == [record(i) for i in range(4)]


def test_other_shard_count_after_deleting_the_old_files(tmp_path):
    for name in shard_names("toy", "train", 2):
        write_shard(tmp_path, name, [record(name.index)], "old")
        (tmp_path / name.filename).unlink()
    write_shard(tmp_path, ShardName("toy", "train", 0, 1), [record(7)], "new")
    assert list(open_dataset(tmp_path)) == [record(7)]


def test_manifest_survives_a_line_cut_short(tmp_path):
    names = shard_names("toy", "train", 2)
    write_shard(tmp_path, names[0], [record(0)], "j")
    path = tmp_path / manifest.MANIFEST
    with open(path, "ab") as f:
        f.write(path.read_bytes()[:40])
    assert list(read_manifest(tmp_path)) == [names[0].filename]
    write_shard(tmp_path, names[1], [record(1)], "j")
    assert list(read_manifest(tmp_path)) == [n.filename for n in names]


def test_killed_writer_leaves_no_shard_under_the_final_name(tmp_path):
    code = f"""
        import os, signal
        from medvlp_jax.data.records import Image, Record
        from medvlp_jax.data.shards import write_shard, ShardName
        def records():
            for i in range(50):
                yield {RANDOM_RECORD}
            os.kill(os.getpid(), signal.SIGKILL)
        write_shard({str(tmp_path)!r}, ShardName("toy", "train", 0, 1), records())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    (leftover,) = [p.name for p in tmp_path.iterdir()]
    assert leftover.startswith(".toy-train")
    assert unfinished(tmp_path, shard_names("toy", "train", 1), "") != []
    assert remove_leftovers(tmp_path) == [leftover]
    assert list(tmp_path.iterdir()) == []


def test_file_size_limit_gives_one_line_and_keeps_the_old_shard(tmp_path):
    """A true error of the operating system in the middle of the C++ writer."""
    code = f"""
        import os, resource
        from medvlp_jax.data.records import Image, Record
        from medvlp_jax.data.shards import ShardName, write_shard
        from medvlp_jax.data.manifest import ShardError
        def records(n):
            for i in range(n):
                yield {RANDOM_RECORD}
        name = ShardName("toy", "train", 0, 1)
        write_shard({str(tmp_path)!r}, name, records(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            write_shard({str(tmp_path)!r}, name, records(100))
        except ShardError as e:
            print(e)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    (line,) = out.stdout.splitlines()
    assert line.startswith(f"cannot write {tmp_path}/toy-train.array_record-00000-of-00001 (")
    assert "free space and rerun" in line
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        manifest.MANIFEST,
        "toy-train.array_record-00000-of-00001",
    ]
    assert len(open_dataset(tmp_path)) == 2


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_at_the_end_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(ShardError, match=r"No space left on device.*free space") as caught:
        write_shard(tmp_path, ShardName("toy", "train", 0, 1), [record(0)])
    one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_the_manifest_leaves_the_shard_unfinished(tmp_path, monkeypatch):
    def full(directory, info):
        with manifest.write_errors(directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards, "append_manifest", full)
    names = shard_names("toy", "train", 1)
    with pytest.raises(ShardError, match="free space"):
        write_shard(tmp_path, names[0], [record(0)], "j")
    assert unfinished(tmp_path, names, "j") == names


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardError, match="check the path and its permissions"):
        write_shard(tmp_path / "file", ShardName("toy", "train", 0, 1), [record(0)])


def test_bad_records_stop_the_shard(tmp_path):
    name = ShardName("toy", "train", 0, 1)
    with pytest.raises(RecordError, match=r"images\[0\]\.data is empty"):
        write_shard(tmp_path, name, [record(0), Record("b", images=(Image(b"", "png"),))])
    with pytest.raises(ShardError, match="'train1' occurs twice"):
        write_shard(tmp_path, name, [record(1), record(1)])
    with pytest.raises(ShardError, match="has split 'val'"):
        write_shard(tmp_path, name, [record(1, "val")])
    with pytest.raises(FileNotFoundError):  # an error of the caller stays what it is
        write_shard(tmp_path, name, (record(p.stat().st_size) for p in [tmp_path / "gone"]))
    assert list(tmp_path.iterdir()) == []


def test_shard_names():
    name = ShardName("cxr_v2", "train", 3, 12)
    assert name.filename == "cxr_v2-train.array_record-00003-of-00012"
    assert ShardName.parse(name.filename) == name
    assert ShardName.parse("cxr-train.tfrecord-00000-of-00001") is None
    for bad in (("CXR", "train", 0, 1), ("cxr-a", "train", 0, 1), ("cxr", "a-b", 0, 1)):
        with pytest.raises(ValueError, match="name"):
            ShardName(*bad)
    with pytest.raises(ValueError, match="starts at 0"):
        ShardName("cxr", "train", 1, 1)
