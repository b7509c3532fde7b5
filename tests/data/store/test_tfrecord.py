"""TFRecord: framing, the way out and back, and damaged files."""

import pathlib
import struct
import subprocess
import sys

import pytest

from medvlp_jax.data.store import tfrecord
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardError, ShardName, shard_names
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard


def record(i: int, split: str = "train") -> Record:
    return Record(
        id=str(i),
        images=(Image(b"\xff\xd8\xff" + bytes(i), "jpeg"),),
        texts=(Text(f"text {i}", "caption"),),
        split=split,
    )


@pytest.fixture
def folder(tmp_path):
    for name in shard_names("toy", "train", 3):
        records = map(record, range(name.index * 3, name.index * 3 + (0, 3, 3)[name.index]))
        write_shard(tmp_path / "ar", name, records)
    write_shard(tmp_path / "ar", ShardName("toy", "val", 0, 1), [record(1, "val")])
    return tmp_path / "ar"


def test_masked_checksum_of_the_specification():
    # crc32c of 32 zero bytes is 0x8A9136AA (RFC 3720, B.4); the mask is TFRecord's.
    crc = 0x8A9136AA
    want = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert tfrecord.masked_crc32c(bytes(32)) == want


def test_frame_layout(tmp_path):
    path = tmp_path / "x"
    assert tfrecord.write_frames(path, [b"abc", b""]) == 2
    data = path.read_bytes()
    assert struct.unpack("<Q", data[:8]) == (3,)
    assert data[12:15] == b"abc"
    assert len(data) == (8 + 4 + 3 + 4) + (8 + 4 + 0 + 4)
    assert list(tfrecord.read_frames(path)) == [b"abc", b""]


def test_out_and_back(folder, tmp_path):
    assert tfrecord.export(folder, tmp_path / "tf") == {"train": 6, "val": 1}
    names = sorted(p.name for p in (tmp_path / "tf").glob("*tfrecord*"))
    assert names == [  # the shard without records is gone
        "toy-train.tfrecord-00000-of-00002",
        "toy-train.tfrecord-00001-of-00002",
        "toy-val.tfrecord-00000-of-00001",
    ]
    assert list(tfrecord.read_records(tmp_path / "tf" / names[0])) == [record(i) for i in (3, 4, 5)]
    assert tfrecord.import_folder(tmp_path / "tf", tmp_path / "back") == {"train": 6, "val": 1}
    for split in ("train", "val"):
        assert list(open_dataset(tmp_path / "back", split)) == list(open_dataset(folder, split))


def test_import_resumes(folder, tmp_path, monkeypatch):
    tfrecord.export(folder, tmp_path / "tf")
    tfrecord.import_folder(tmp_path / "tf", tmp_path / "back")
    first = tmp_path / "back" / "toy-train.array_record-00000-of-00002"
    first.unlink()
    written = []
    real = tfrecord.write_shard
    monkeypatch.setattr(
        tfrecord,
        "write_shard",
        lambda d, name, *a: (written.append(name.filename), real(d, name, *a)),
    )
    tfrecord.import_folder(tmp_path / "tf", tmp_path / "back")
    assert written == [first.name]


def test_tfds_knows_the_exported_folder(folder, tmp_path):
    tfrecord.export(folder, tmp_path / "tf")
    code = (
        "import sys, tensorflow_datasets as tfds; "
        f"b = tfds.builder_from_directory({str(tmp_path / 'tf')!r}); "
        "print(b.info.file_format.value, b.info.splits['train'].num_examples, "
        "[p.name for p in b.info.splits['train'].filepaths], 'tensorflow' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    names = [f"toy-train.tfrecord-0000{i}-of-00002" for i in range(2)]
    assert out.stdout.split("\n")[0] == f"tfrecord 6 {names} False"


def flip(at):
    def damage(path: pathlib.Path):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
        (lambda p: p.write_bytes(p.read_bytes()[:-2]), "cut short in frame 2"),
        (lambda p: p.write_bytes(p.read_bytes()[:5]), "cut short in frame 0"),
        (lambda p: p.write_bytes(b"a foreign file " * 20), "is no TFRecord file"),
        (flip(3), "is no TFRecord file"),
        (flip(40), r"corrupt in frame 0 \(checksum\)"),
        (flip(-1), r"corrupt in frame 2 \(checksum\)"),
        (lambda p: p.unlink(), "is missing"),
        (lambda p: tfrecord.write_frames(p, [b"x"]), "frame 0: .*not hold a record"),
    ],
)
def test_damaged_file_is_named(folder, tmp_path, damage, message):
    tfrecord.export(folder, tmp_path / "tf")
    path = tmp_path / "tf" / "toy-train.tfrecord-00001-of-00002"
    damage(path)
    with pytest.raises(ShardError, match=message) as caught:
        tfrecord.import_folder(tmp_path / "tf", tmp_path / "back")
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "back" / path.name.replace("tfrecord", "array_record")).exists()


def test_folder_without_tfrecords(tmp_path):
    with pytest.raises(ShardError, match="holds no"):
        tfrecord.import_folder(tmp_path, tmp_path / "back")


@pytest.mark.parametrize("convert", [tfrecord.export, tfrecord.import_folder])
def test_the_folder_that_is_read_is_not_written(folder, tmp_path, convert):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    (tmp_path / "link").symlink_to(folder)
    for target in (folder, tmp_path / "link", folder / "." / ".." / "ar"):
        with pytest.raises(ShardError, match="choose another one"):
            convert(folder, target)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_full_disk(tmp_path):
    code = f"""
import os, pathlib, resource
from medvlp_jax.data.store import tfrecord
from medvlp_jax.data.store.manifest import ShardError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    tfrecord.write_frames(pathlib.Path({str(tmp_path / "x")!r}), (bytes(50_000) for _ in range(9)))
except ShardError as e:
    print(e)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = out.stdout.splitlines()
    assert "cannot write" in line
    assert "free space" in line
    assert list(tmp_path.iterdir()) == []


def test_command_converts_and_reports_one_line(folder, tmp_path, repo_root):
    def convert(source, target, form):
        return subprocess.run(
            [
                sys.executable,
                str(repo_root / "launch" / "convert_records.py"),
                f"--from={source}",
                f"--to={target}",
                f"--format={form}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    done = convert(folder, tmp_path / "tf", "tfrecord")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["train: 6 records", "val: 1 records"]
    bad = convert(tmp_path / "nowhere", tmp_path / "x", "tfrecord")
    assert bad.returncode == 2
    (line,) = bad.stderr.splitlines()
    assert line.startswith("error: ")
    assert "nowhere" in line
