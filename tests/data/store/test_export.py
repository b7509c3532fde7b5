"""WebDataset and Parquet files: what is written, that others read it, and resuming."""

import io
import json
import os
import tarfile

import numpy as np
import PIL.Image
import pytest
from every_field import encoded, folder, full, mask_file, plain

from medvlp_jax.data.store import export, parquet, webdataset
from medvlp_jax.data.store.manifest import ShardError, shard_names
from medvlp_jax.data.store.plain import from_plain, to_plain
from medvlp_jax.data.store.record import Image, Record, RecordError
from medvlp_jax.data.store.shards import file_sha256, write_shard

WRITERS = {"webdataset": webdataset.export_webdataset, "parquet": parquet.export_parquet}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("records")
    folder(path)
    return path


def test_plain_values_keep_every_field():
    record = full(1)
    told = json.loads(json.dumps(to_plain(record)))
    images, masks = [i.data for i in record.images], [m.data for m in record.masks]
    assert from_plain(told, images, masks) == record
    with pytest.raises(RecordError, match="make no record"):
        from_plain(told, images[:1], masks)
    with pytest.raises(RecordError, match="export anew"):
        from_plain(told | {"medvlp_jax_record": 7}, images, masks)


def test_members_of_a_tar(source, tmp_path):
    counts = webdataset.export_webdataset(source, tmp_path / "out")
    assert counts == {"train": 4, "validation": 1}
    tars = sorted(p.name for p in (tmp_path / "out").glob("*.tar"))
    assert tars == ["toy-train-000000.tar", "toy-train-000001.tar", "toy-validation-000000.tar"]
    with tarfile.open(tmp_path / "out" / tars[1]) as tar:
        found = {m.name: tar.extractfile(m).read() for m in tar}
    key = "train-00000002"
    assert list(found) == [
        *(f"{key}.jpg", f"{key}.1.png", f"{key}.txt", f"{key}.json"),
        *(f"{key}.mask0.png", f"{key}.mask1.png", "train-00000003.png", "train-00000003.json"),
    ]
    assert found[f"{key}.jpg"] == full(2).images[0].data
    assert found[f"{key}.txt"].decode() == full(2).texts[0].text
    assert json.loads(found[f"{key}.json"])["labels"] == full(2).labels


def test_webdataset_itself_reads_it(source, tmp_path):
    wds = pytest.importorskip("webdataset")
    webdataset.export_webdataset(source, tmp_path)
    tar = str(tmp_path / "toy-train-000000.tar")
    samples = list(wds.WebDataset(tar, shardshuffle=False).decode("pil"))
    assert [s["__key__"] for s in samples] == ["train-00000000", "train-00000001"]
    first = samples[0]
    assert first["txt"] == full(0).texts[0].text
    assert first["json"]["turns"][0] == {"role": "user", "text": "What is it?", "images": [1, 0]}
    want = np.asarray(PIL.Image.open(io.BytesIO(full(0).images[1].data)).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(first["1.png"]), want)
    with_text = wds.WebDataset(tar, shardshuffle=False).select(lambda sample: "txt" in sample)
    pairs = list(with_text.to_tuple("jpg;png", "txt"))
    assert pairs == [(full(0).images[0].data, full(0).texts[0].text.encode())]


def test_datasets_itself_reads_it(source, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    parquet.export_parquet(source, tmp_path / "out")
    files = {s: str(tmp_path / f"out/data/{s}-*.parquet") for s in ("train", "validation")}
    found = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {k: len(v) for k, v in found.items()} == {"train": 4, "validation": 1}
    train = found["train"]
    assert isinstance(train.features["image"], datasets.Image)
    record, row = full(0), train[0]
    want = PIL.Image.open(io.BytesIO(record.images[0].data))
    np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(want))
    assert (row["id"], row["text"]) == (record.id, record.texts[0].text)
    assert row["texts"][0]["labels"] == ["pleural effusion"]
    assert row["boxes"][0]["phrase"] == "left effusion"
    assert row["turns"][0]["images"] == [1, 0]
    assert {e["name"]: e["value"] for e in row["labels"]} == record.labels
    assert np.asarray(row["mask_images"][0]).max() == 255
    assert train[1]["text"] is None
    assert train[1]["more_images"] == []
    whole = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache2"))
    assert set(whole) == {"train", "validation"}  # the names of the files say the splits


def test_dicom_comes_as_bytes(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = bytes(128) + b"DICM" + b"rest"
    write_shard(
        tmp_path / "records",
        shard_names("toy", "train", 1)[0],
        [Record("a", (Image(data, "dicom"),)), plain(1)],
    )
    parquet.export_parquet(tmp_path / "records", tmp_path / "out")
    found = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out/data/*.parquet"),
        cache_dir=str(tmp_path / "cache"),
    )
    assert found["train"][0]["image"] == {"bytes": data, "path": "image0.dcm"}


@pytest.mark.parametrize("name", WRITERS)
def test_each_file_has_its_digest_and_is_made_again(source, tmp_path, name, caplog):
    out = tmp_path / "out"
    WRITERS[name](source, out)
    lines = export.read_lines(out)
    assert [line.records for line in lines] == [2, 2, 1]
    before = {line.file: file_sha256(out / line.file) for line in lines}
    assert before == {line.file: line.sha256 for line in lines}
    times = {file: os.stat(out / file).st_mtime_ns for file in before}
    first, second, _ = before
    (out / first).unlink()
    data = bytearray((out / second).read_bytes())
    data[700] ^= 1
    (out / second).write_bytes(data)
    assert set(export.damaged(out)) == {first, second}
    WRITERS[name](source, out)
    assert {file: file_sha256(out / file) for file in before} == before
    kept = [f for f in before if os.stat(out / f).st_mtime_ns == times[f]]
    assert kept == [lines[2].file]
    assert not list(out.rglob(".*tmp*"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_stopped_export_goes_on(source, tmp_path, name, monkeypatch):
    real, calls = export._part, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(export, "_part", dies)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[name](source, tmp_path / "out")
    assert len(export.read_lines(tmp_path / "out")) == 1
    WRITERS[name](source, tmp_path / "out")
    assert len(calls) == 4  # one before, one that died, two after
    assert export.damaged(tmp_path / "out") == {}


def test_a_folder_of_something_else_is_refused(source, tmp_path):
    with pytest.raises(ShardError, match="is a data folder with shards of its own"):
        webdataset.export_webdataset(source, source)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/other.tar").write_bytes(b"x")
    with pytest.raises(ShardError, match=r"holds other\.tar, which this did not write"):
        webdataset.export_webdataset(source, tmp_path / "a")
    webdataset.export_webdataset(source, tmp_path / "b")
    write_shard(tmp_path / "c", shard_names("toy", "train", 1)[0], [plain(5)])
    with pytest.raises(ShardError, match="made of other records"):
        webdataset.export_webdataset(tmp_path / "c", tmp_path / "b")
    with pytest.raises(ShardError, match="made of other records"):
        parquet.export_parquet(source, tmp_path / "b")


def test_equal_records_give_equal_tars(source, tmp_path):
    for name in ("a", "b"):
        webdataset.export_webdataset(source, tmp_path / name)
    assert export.read_lines(tmp_path / "a") == export.read_lines(tmp_path / "b")


def test_helpers_are_images():
    assert encoded(1) != encoded(2)
    assert mask_file().startswith(b"\x89PNG")
