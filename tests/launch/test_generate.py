"""``launch/generate.py`` from the outside: a small phantom, a CSV, and what users get wrong."""

import dataclasses
import importlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from configs.data_gen import unimed_quickstart
from data_gen.jobs import summary
from data_gen.phantom.chest_xray.findings import FINDING_NAMES, LABEL_NAMES
from data_gen.phantom.chest_xray.sample import sample_study
from data_gen.phantom.job import SPLIT_START, PhantomConfig, PhantomJob, SplitCounts
from data_gen.phantom.registry import PHANTOMS
from data_gen.sources.registry import SOURCES
from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import content_sha256

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"train": 7, "validation": 3, "test": 2}
PHANTOM = (
    "--config=configs/data_gen/phantom.py",
    "--config.size=32",
    *(f"--config.splits.{split}={count}" for split, count in COUNTS.items()),
)


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    """Runs the script; the processes share one cache of compiled programs."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "launch/generate.py", *map(str, args)]
        env = {**os.environ, **cache, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    done = cli(*PHANTOM, f"--out={folder}", "--config.processes=1")
    assert done.returncode == 0, done.stderr
    assert "7 " in done.stdout
    assert "3 shards made, 0 found" in done.stdout
    return folder


def records(folder: Path, split: str) -> list:
    source = open_dataset(folder, split)
    return [source[i] for i in range(len(source))]


def test_processes_and_shards_change_no_record(cli, made, tmp_path):
    done = cli(
        *PHANTOM, f"--out={tmp_path}", "--config.processes=2", "--config.studies_per_shard=2"
    )
    assert done.returncode == 0, done.stderr
    for split in COUNTS:
        assert records(tmp_path, split) == records(made, split)


def test_the_same_command_again_makes_nothing(cli, made):
    done = cli(*PHANTOM, f"--out={made}")
    assert done.returncode == 0, done.stderr
    assert "0 shards made, 3 found" in done.stdout


def test_verify_compares_a_folder_with_its_digests(cli, made, tmp_path):
    done = cli(f"--out={made}", "--verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 shards and what lies beside them are what was written" in done.stdout
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    for name in ("summary.json", "phantom-test.array_record-00000-of-00001"):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
    done = cli(f"--out={folder}", "--verify")
    assert done.returncode == 2
    *named, last = done.stderr.splitlines()
    assert [line.split()[0] for line in named] == [
        f"{folder}/phantom-test.array_record-00000-of-00001",
        f"{folder}/summary.json",
    ]
    assert last == f"error: {folder} is not what was written; what differs is named above"
    done = cli(f"--out={tmp_path / 'nothing'}", "--verify")
    assert done.returncode == 2
    assert "has no finished shard" in done.stderr


def test_records_hold_the_whole_truth(made):
    for split, count in COUNTS.items():
        found = records(made, split)
        assert len(found) == count
        for record in found:
            study = sample_study(0, record.provenance["index"])
            assert record.labels == study.labels()
            assert set(record.labels) == set(LABEL_NAMES)
            assert record.images[0].view == study.view
            with Picture.open(io.BytesIO(record.images[0].data)) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "L", (32, 32))
            assert [t.section for t in record.texts[:2]] == ["findings", "impression"]
            captions = {t.text.lower() for t in record.texts[2:] if t.section == "caption"}
            assert len(captions) == len(record.texts) - 2
            for text in record.texts[2:]:
                named = {
                    f["name"]
                    for f in record.provenance["findings"]
                    if f["phrase"].lower() == text.text.lower()
                }
                assert set(text.labels) == (named or {"no finding"})
            said = {f["phrase"].lower() for f in record.provenance["findings"]}
            assert captions == (said or {record.texts[1].text.lower()})
            assert record.provenance["prompt"] == record.texts[1].text
            assert record.provenance["generator"] == "phantom"
            assert record.provenance["content_sha256"] == content_sha256(record)
            truth = record.provenance["findings"]
            assert [f["name"] for f in truth] == [f.name for f in study.findings]
            assert [f["side"] for f in truth] == [f.side for f in study.findings]
            phrases = {f["phrase"] for f in truth}
            assert {b.phrase for b in record.boxes} <= phrases
            assert {b.label for b in record.boxes} <= {f.name for f in study.findings}
            names = [m.label for m in record.masks]
            assert len(set(names)) == len(names)
            assert {"left lung", "right lung", "heart"} <= set(names)
            assert set(names) - {"left lung", "right lung", "heart"} <= set(FINDING_NAMES)
            for mask in record.masks:
                pixels = cv2.imdecode(np.frombuffer(mask.data, np.uint8), cv2.IMREAD_UNCHANGED)
                assert pixels.shape == (32, 32)
                assert set(np.unique(pixels)) <= {0, 255}


def test_splits_share_nothing(made):
    everyone = [r for split in COUNTS for r in records(made, split)]
    for key in ("id", "patient_id"):
        assert len({getattr(r, key) for r in everyone}) == sum(COUNTS.values())
    assert len({r.provenance["content_sha256"] for r in everyone}) == sum(COUNTS.values())


def test_summary_and_preview_stand_beside_the_shards(made):
    whole = summary.read(made)
    assert {s: v["records"] for s, v in whole["splits"].items()} == COUNTS
    train = whole["splits"]["train"]
    labels = [r.labels for r in records(made, "train")]
    for name in LABEL_NAMES:
        assert train["labels"][name]["positive"] == sum(row[name] == 1 for row in labels)
    assert sum(train["views"].values()) == 7
    with Picture.open(made / summary.PREVIEW) as picture:
        assert picture.size[0] > 6 * 256


def test_a_larger_training_set_keeps_the_others():
    def indices(config: PhantomConfig, split: str) -> set[int]:
        return {
            SPLIT_START[s.name.split] + i
            for s in PhantomJob(config).shards()
            if s.name.split == split
            for i in range(s.start, s.stop)
        }

    small = PhantomConfig(splits=SplitCounts(100, 20, 30))
    large = PhantomConfig(splits=SplitCounts(5000, 20, 30), studies_per_shard=77)
    assert indices(small, "train") < indices(large, "train")
    for split in ("validation", "test"):
        assert indices(small, split) == indices(large, split)
        assert not indices(large, split) & indices(large, "train")


def test_fingerprint_follows_the_output_only():
    base = PhantomConfig()
    same = dataclasses.replace(base, processes=7)
    assert PhantomJob(base).fingerprint == PhantomJob(same).fingerprint
    for change in ({"seed": 1}, {"size": 64}, {"quality": 80}, {"masks": False}):
        other = dataclasses.replace(base, **change)
        assert PhantomJob(other).fingerprint != PhantomJob(base).fingerprint


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config.sze=3"], "config.sze is not a known key; did you mean config.size?"),
        (["--config.splits.tain=3"], "did you mean config.splits.train?"),
        (["--config.size=16"], "size=16 must be at least 32"),
        (["--config.size=big"], "config.size='big' must be int"),
        (["--config.generator=fantom"], "did you mean 'phantom'?"),
        (["--config=configs/data_gen/fantom.py"], "no config file configs/data_gen/fantom.py"),
        (["--config.seed=1"], "other settings"),
        (["--out=pyproject.toml"], "pyproject.toml is a file, not a folder"),
    ],
)
def test_mistakes_are_one_line(cli, made, args, message):
    done = cli(*PHANTOM, f"--out={made}", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_csv_by_flags(cli, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["path,patient,report,Effusion"]
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 255, (40, 40), np.uint8))
        lines.append(f"{i}.png,p{i},Report number {i}.,{i % 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    done = cli(
        "--config=configs/data_gen/csv.py",
        f"--out={tmp_path / 'out'}",
        f"--config.root={tmp_path}",
        "--config.csv=table.csv",
        "--config.patient=patient",
        "--config.texts.report=findings",
        "--config.labels.columns.Effusion=pleural effusion",
        "--config.split_fractions={'train': 1.0}",
        "--config.processes=1",
    )
    assert done.returncode == 0, done.stderr
    found = records(tmp_path / "out", "train")
    assert sorted(r.texts[0].text for r in found) == [f"Report number {i}." for i in range(6)]
    assert sum(r.labels["pleural effusion"] for r in found) == 3
    assert summary.read(tmp_path / "out")["splits"]["train"]["records"] == 6
    assert (tmp_path / "out" / summary.PREVIEW).exists()


def test_the_six_modality_quickstart_draws_every_phantom():
    config = parse(PhantomConfig, to_plain(unimed_quickstart.get_config()))
    assert config.drawn == tuple(PHANTOMS)
    assert [config.partners(s) for s in ("train", "validation", "test")] == [False, False, True]
    records = dict.fromkeys(("train", "validation", "test"), 0)
    for shard in PhantomJob(config).shards():
        records[shard.name.split] += shard.count
    assert records == {"train": 15000, "validation": 600, "test": 2400}


@pytest.mark.parametrize("name", ["phantom", *SOURCES])
def test_every_config_file_is_valid(name):
    module = importlib.import_module(f"configs.data_gen.{name}")
    assert "launch/generate.py" in module.__doc__
    config = to_plain(module.get_config())
    assert config["generator"] == name
    if name == "phantom":
        assert parse(PhantomConfig, config) == PhantomConfig()
        return
    extra = {"root": "/data", "csv": "table.csv"} if name == "csv" else {"root": "/data"}
    for key in ("generator", "records_per_shard", "processes"):
        del config[key]
    parse(SOURCES[name].config, {**config, **extra})
