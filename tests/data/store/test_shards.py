"""Writing shards: whole or absent, resumable, and one line when the disk is full."""

import dataclasses
import errno
import os
import subprocess
import sys
import textwrap

import pytest

from medvlp_jax.data.store import manifest, shards
from medvlp_jax.data.store.dataset import finalise, open_dataset
from medvlp_jax.data.store.manifest import (
    ShardError,
    ShardName,
    read_manifest,
    shard_names,
    unfinished,
)
from medvlp_jax.data.store.record import Image, Record, RecordError
from medvlp_jax.data.store.shards import remove_leftovers, write_shard

RANDOM_RECORD = 'Record(str(i), images=(Image(b"\\xff\\xd8\\xff" + os.urandom(9000), "jpeg"),))'


def record(i: int) -> Record:
    image = Image(b"\xff\xd8\xff" + bytes([i % 256]) * 50, "jpeg", "PA")
    return Record(id=f"train{i}", images=(image,), provenance={"index": i})


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "; " in message, "says no mend"
    return message


def test_the_same_records_give_the_same_file(tmp_path):
    infos = [
        write_shard(tmp_path / d, ShardName("toy", "train", 0, 1), map(record, range(9)))
        for d in "ab"
    ]
    assert infos[0] == infos[1]


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
        from medvlp_jax.data.store.record import Image, Record
        from medvlp_jax.data.store.shards import write_shard, ShardName
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
        from medvlp_jax.data.store.record import Image, Record
        from medvlp_jax.data.store.shards import ShardName, write_shard
        from medvlp_jax.data.store.manifest import ShardError
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
        write_shard(tmp_path, name, [dataclasses.replace(record(1), split="val")])
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
