"""The import job: shards, resume, rejects on disk, and the real sample where there is one."""

import importlib.util
import json
from collections import Counter

import cv2
import numpy as np
import pytest

from configs.data_gen import sample_modalities
from data_gen.sources import SOURCES, SourceError, run_import
from data_gen.sources.csv import CsvConfig
from data_gen.sources.importing import shards
from data_gen.sources.importing.labels import LabelColumns
from data_gen.sources.nih import FINDINGS
from medvlp_jax.core.config import ConfigError, to_plain
from medvlp_jax.core.processes.lock import LockError, workdir_lock
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardError
from medvlp_jax.data.store.record import MODALITIES


@pytest.fixture
def config(tmp_path):
    lines = ["path,who,part,edema"]
    for i in range(9):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 6), i, np.uint8))
        lines.append(f"{i}.png,p{i // 2},{'train' if i < 7 else 'test'},{i % 2}")
    (tmp_path / "7.png").write_bytes(b"")
    (tmp_path / "8.png").write_bytes(b"")
    lines.append("9.png,p0,val,1")
    lines.append("2.png,p1,train")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    cv2.imwrite(str(tmp_path / "9.png"), np.full((4, 6), 9, np.uint8))
    return CsvConfig(
        root=str(tmp_path),
        name="toy",
        csv="t.csv",
        patient="who",
        split="part",
        labels=LabelColumns(columns={"edema": ""}),
    )


def ids(folder, split):
    return [record.id for record in open_dataset(folder, split)]


@pytest.mark.parametrize("processes", [1, 2])
def test_import_writes_a_data_folder(config, tmp_path, processes):
    out = tmp_path / "out"
    report = run_import(
        "csv", config, out, records_per_shard=3, processes=processes, progress=False
    )
    assert report.records == {"train": 7, "validation": 1}  # both images of test are unreadable
    assert report.rejected == {"unreadable image": 2, "short row": 1}
    assert report.shards_written == 5
    assert report.shared_patients == ("p0", "p3")
    assert "warning: 2 patients are in several splits, first p0" in str(report)
    assert ids(out, "train") == [f"{i}.png" for i in range(7)]
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert {r["where"] for r in rejects} == {f"t.csv row {n}" for n in (9, 10, 12)}
    assert (out / "features.json").exists()


def test_import_resumes_per_shard(config, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = run_import("csv", config, out, records_per_shard=2, progress=False)
    assert first.shards_written == 6
    before = {p.name: p.read_bytes() for p in out.iterdir() if "array_record" in p.name}
    (out / "toy-train.array_record-00001-of-00004").unlink()
    loaded = []
    real = shards.load
    monkeypatch.setattr(
        shards, "load", lambda s, item, *a: (loaded.append(item.id), real(s, item, *a))[1]
    )
    second = run_import("csv", config, out, records_per_shard=2, progress=False)
    assert second.shards_written == 1
    assert loaded == ["2.png", "3.png"]
    assert (second.records, second.rejected) == (first.records, first.rejected)
    assert {p.name: p.read_bytes() for p in out.iterdir() if "array_record" in p.name} == before


def test_import_that_dies_keeps_its_shards(config, tmp_path, monkeypatch):
    out = tmp_path / "out"
    real = shards.load

    def dies(source, item, *rest):
        if item.id == "5.png":
            raise KeyboardInterrupt
        return real(source, item, *rest)

    monkeypatch.setattr(shards, "load", dies)
    with pytest.raises(KeyboardInterrupt):
        run_import("csv", config, out, records_per_shard=3, progress=False)
    with pytest.raises(ShardError, match="lacks"):
        open_dataset(out, "train")
    monkeypatch.setattr(shards, "load", real)
    report = run_import("csv", config, out, records_per_shard=3, progress=False)
    assert report.records == {"train": 7, "validation": 1}
    assert report.shards_written == 3


def test_other_settings_do_not_mix_into_the_folder(config, tmp_path):
    out = tmp_path / "out"
    run_import("csv", config, out, progress=False)
    other = CsvConfig(**{**vars(config), "max_size": 2})
    with pytest.raises(ShardError, match="other settings; choose another directory"):
        run_import("csv", other, out, progress=False)
    with pytest.raises(ShardError, match="other settings"):
        run_import("csv", config, out, records_per_shard=2, progress=False)


def test_second_process_on_the_folder(config, tmp_path):
    out = tmp_path / "out"
    with workdir_lock(out), pytest.raises(LockError, match="in use by process"):
        run_import("csv", config, out, progress=False)


def test_wrong_settings_give_one_line(config, tmp_path):
    out = tmp_path / "out"
    cases = [
        (("cvs", config), SourceError, "source 'cvs' is unknown; there are: csv"),
        (("csv", {"root": "x", "cvs": "y"}), ConfigError, "cvs is not a known key"),
        (
            ("csv", CsvConfig(**{**vars(config), "where": {"part": ("x",)}})),
            SourceError,
            "no row is left",
        ),
        (
            ("csv", CsvConfig(**{**vars(config), "labels": LabelColumns(columns={"who": ""})})),
            SourceError,
            "11 were rejected, first t.csv row 2: bad row (column 'who' is 'p0'",
        ),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error) as caught:
            run_import(*arguments, out, progress=False)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_wrong_image_root_stops_at_once(config, tmp_path):
    elsewhere = CsvConfig(
        **{**vars(config), "root": str(tmp_path / "none"), "csv": str(tmp_path / "t.csv")}
    )
    with pytest.raises(SourceError, match=r"none of 10 images looked for exists, first .*0\.png"):
        run_import("csv", elsewhere, tmp_path / "out", progress=False)


def test_limit_takes_the_first_studies(config, tmp_path):
    few = CsvConfig(**{**vars(config), "limit": 2})
    assert run_import("csv", few, tmp_path / "out", progress=False).records == {"train": 2}


def test_every_source_is_listed_with_its_config():
    assert set(SOURCES) == {
        *("csv", "chexpert", "mimic_cxr", "nih", "openi", "rsna", "siim", "padchest", "vindr"),
        *("ms_cxr", "covidx", "covid_rural", "webdataset", "parquet", "medmnist"),
        *("roco", "pmc_oa", "llava_med", "llava_captions", "quilt", "mm_retinal", "suite"),
        *("radimagenet", "fundus"),
    }
    needed = {"csv": {"csv": "t.csv"}, "suite": {"set": "PCAM"}}
    for name, source in SOURCES.items():
        assert source.config(root="x", **needed.get(name, {})).root == "x"


SAMPLE = {
    "nih_chestxray": (80, {"pneumonia": 40, "no finding": 40, "pleural effusion": 5}),
    "kermany_paediatric_cxr": (77, {"pneumonia": 39, "no finding": 38}),
}


@pytest.mark.parametrize("group", SAMPLE)
def test_real_images_of_the_sample(sample_dir, tmp_path, group):
    count, positives = SAMPLE[group]
    judged = (*FINDINGS, "no finding") if group == "nih_chestxray" else ("pneumonia", "no finding")
    report = run_import(
        "csv",
        {
            "root": str(sample_dir),
            "name": group,
            "csv": "manifest.csv",
            "where": {"group": [group]},
            "labels": {
                "list_column": "labels",
                "separator": ";",
                "judged": judged,
                "names": {"viral or bacterial pneumonia": "pneumonia"},
            },
            "patient": "patient_id",
            "view": "view",
            "keep": ["licence", "sha256"],
            "split_fractions": {"test": 1.0},
        },
        tmp_path,
        progress=False,
    )
    assert report.records == {"test": count}
    assert report.rejected == {}
    source = open_dataset(tmp_path, "test")
    counts = source.label_counts
    assert {name: counts[name]["positive"] for name in positives} == positives
    assert set(source.label_names) == set(judged)
    record = source[0]
    pixels = decode(record.images[0].data, record.images[0].format)
    assert pixels.shape[:2] == (record.images[0].height, record.images[0].width)
    assert record.provenance["licence"]


def test_all_images_of_the_sample_name_their_modality(sample_dir, tmp_path):
    config = to_plain(sample_modalities.get_config(str(sample_dir)))
    assert config.pop("generator") == "csv"
    del config["records_per_shard"], config["processes"]
    report = run_import("csv", config, tmp_path, progress=False)
    assert (report.records, report.rejected) == ({"test": 394}, {})
    found = Counter(r.images[0].modality for r in open_dataset(tmp_path, "test"))
    assert set(found) == set(MODALITIES)
    assert found == {
        "xray": 247,
        "ct": 63,
        "mri": 21,
        "ultrasound": 5,
        "pathology": 46,
        "fundus": 12,
    }


def test_sample_config_imports_the_chest_radiographs(sample_dir, tmp_path, repo_root):
    spec = importlib.util.spec_from_file_location("s", repo_root / "configs/data_gen/sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = to_plain(module.get_config(str(sample_dir)))
    assert config.pop("generator") == "csv"
    del config["records_per_shard"], config["processes"]
    report = run_import("csv", config, tmp_path, progress=False)
    assert sum(report.records.values()) == 205
    assert (report.rejected, report.shared_patients) == ({}, ())
    assert set(report.records) == {"train", "validation", "test"}
    records = [r for split in report.records for r in open_dataset(tmp_path, split)]
    groups = Counter(r.provenance["group"] for r in records)
    assert groups == {"nih_chestxray": 80, "kermany_paediatric_cxr": 77, "covid_chestxray": 48}
    assert {i.view for r in records for i in r.images} == {"", "PA", "AP"}
    assert all(len(r.texts) == 1 for r in records)
    masks = Counter(m.label for r in records for m in r.masks)
    assert masks == {"lungs": 46, "ground glass opacity": 2, "consolidation": 1}
    judged = {len(r.labels) for r in records if r.provenance["group"] == "nih_chestxray"}
    assert judged == {15}
    for r in records:
        if r.provenance["group"] == "kermany_paediatric_cxr":
            assert set(r.labels) == {"pneumonia", "no finding"}
            assert sum(r.labels.values()) == 1
