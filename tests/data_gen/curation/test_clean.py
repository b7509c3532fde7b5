"""Cleaning of a data folder, its rejects and the page."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from data_gen.curation import clean as cleaning
from data_gen.curation.clean import CleanJob, CurateConfig, clean
from data_gen.curation.faults import spoil
from data_gen.curation.rejects import Pictures, RejectRow, counts, read_rejects, small
from data_gen.curation.review import ReviewJob
from data_gen.data_page import write_data_report
from data_gen.jobs.job import JobError
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.dataset import finalise, open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text
from medvlp_jax.data.store.shards import write_shard

from .films import files, films, png

FILMS, FILES = films(), files()


def record(i, *images, split="train", **more):
    return Record(
        id=f"r{i:02d}",
        images=images or (Image(FILES[i], "jpeg", "PA"),),
        texts=(Text(f"Study {i} is <normal>.", "impression"),),
        labels={"no finding": 1},
        split=split,
        **more,
    )


def broken(i, fault):
    pixels = spoil(FILMS[i], fault, i)
    return record(i, Image(png(pixels), "png", "PA"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two shards of train and one of test with every kind of trouble."""
    folder = tmp_path_factory.mktemp("data") / "source"
    copy = Image(png(FILMS[20]), "png", "PA")
    train = [
        record(0),
        broken(1, "black"),
        broken(2, "text"),
        record(3, Image(FILES[3][:400], "jpeg")),
        record(4, copy),  # as the test study
        record(5),
        # Of two images the first goes: what refers to the second must follow it.
        record(
            6,
            Image(png(spoil(FILMS[6], "blurred", 0)), "png", "PA"),
            Image(FILES[6], "jpeg", "AP"),
            boxes=(Box(0, 0, 0.5, 0.5, "a", image=0), Box(0.1, 0.1, 0.5, 0.5, "b", image=1)),
            masks=(Mask(png(FILMS[6]), "c", image=1), Mask(png(FILMS[6]), "d", image=0)),
        ),
        Record(id="r07", images=(), texts=(Text("Only words.", "report"),)),
        record(8, provenance={"made": "here"}),
        broken(9, "inverted"),
    ]
    write_shard(folder, ShardName("films", "train", 0, 2), train[:5], "x")
    write_shard(folder, ShardName("films", "train", 1, 2), train[5:], "x")
    test = [record(20, split="test"), record(21, split="test")]
    write_shard(folder, ShardName("films", "test", 0, 1), test, "x")
    finalise(folder, "Films.")
    return folder


@pytest.fixture(scope="module")
def cleaned(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "clean"
    return clean(CurateConfig(source=str(source), processes=1), folder, progress=False), folder


def ids(folder, split):
    found = open_dataset(folder, split)
    return [found[i].id for i in range(len(found))]


def test_what_stays_and_why_the_rest_goes(cleaned):
    result, folder = cleaned
    assert ids(folder, "train") == ["r00", "r05", "r06", "r07", "r08"]
    assert ids(folder, "test") == ["r20", "r21"]
    rows = {row["where"]: row for row in read_rejects(folder)}
    assert {k: row["kind"] for k, row in rows.items()} == {
        "r01": "black",
        "r02": "text overlay",
        "r03": "unreadable",
        "r04": "near-duplicate",
        "r06/0": "blur",
        "r09": "inverted",
    }
    assert rows["r04"]["detail"] == "like r20"
    assert rows["r04"]["stage"] == "duplicates"
    assert "JPEG of 400 bytes" in rows["r03"]["detail"]
    assert rows["r02"]["scores"]["text/share"] > 0.04
    assert rows["r02"]["text"] == "Study 2 is <normal>."
    assert (result.images, result.kept) == (12, 6)
    assert str(result).startswith("images: 6 of 12 kept (50.0 %)\ndropped, named in rejects.jsonl")


def test_a_record_follows_its_images(cleaned):
    _, folder = cleaned
    kept = open_dataset(folder, "train")[2]
    assert [image.view for image in kept.images] == ["AP"]
    assert [(b.label, b.image) for b in kept.boxes] == [("b", 0)]
    assert [(m.label, m.image) for m in kept.masks] == [("c", 0)]
    kept.validate()
    other = open_dataset(folder, "train")[4]
    assert other.provenance["made"] == "here"
    assert other.provenance["curation"]["scores"][0]["layout/distance"] < 0.75
    assert other.images[0].data == FILES[8]


def test_small_pictures_of_what_was_dropped(cleaned):
    _, folder = cleaned
    rows = read_rejects(folder)
    shown = [row["thumbnail"] for row in rows if "thumbnail" in row]
    assert len(shown) == len(rows) - 1  # the unreadable one has none
    assert all((folder / name).read_bytes().startswith(b"\xff\xd8") for name in shown)


def test_again_makes_nothing_and_another_gate_is_refused(cleaned, source):
    _, folder = cleaned
    config = CurateConfig(source=str(source), processes=1)
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*array_record*")}
    clean(config, folder, progress=False)
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.glob("*array_record*")}
    other = dataclasses.replace(config, same_above=1.0)
    with pytest.raises(UserError, match="other settings"):
        clean(other, folder, progress=False)
    with pytest.raises(UserError, match="is the source itself"):
        clean(config, source, progress=False)


def test_a_stopped_cleaning_goes_on(source, cleaned, tmp_path, monkeypatch):
    config = CurateConfig(source=str(source), processes=1)
    honest = ReviewJob.records

    def stopped(self, shard):
        if shard.name.split == "train" and shard.name.index == 1:
            raise KeyboardInterrupt
        yield from honest(self, shard)

    monkeypatch.setattr(ReviewJob, "records", stopped)
    with pytest.raises(KeyboardInterrupt, match="2 of 3 shards are finished"):
        clean(config, tmp_path / "out", progress=False)
    reviewed = []

    def counted(self, shard):
        reviewed.append(shard.name.filename)
        yield from honest(self, shard)

    monkeypatch.setattr(ReviewJob, "records", counted)
    clean(config, tmp_path / "out", progress=False)
    assert len(reviewed) == 1
    for path in sorted(cleaned[1].glob("films-*")):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_decisions_of_another_run_are_noticed(source, cleaned):
    job = CleanJob(str(source), (), str(cleaned[1] / cleaning.REVIEW), "a", "not these")
    with pytest.raises(JobError, match="changed by another run"):
        next(job.records(job.shards()[0]))


def test_a_greedy_encoder_is_warned_of(source, tmp_path):
    config = CurateConfig(source=str(source), same_above=0.1, processes=1)
    result = clean(config, tmp_path, progress=False)
    assert "warning: the step 'duplicates' drops" in str(result)
    assert "raise config.same_above" in str(result)


def test_only_some_splits(source, tmp_path):
    config = CurateConfig(source=str(source), only=("test",), processes=1)
    assert clean(config, tmp_path / "a", progress=False).images == 2
    with pytest.raises(UserError, match="no split 'valid'"):
        clean(dataclasses.replace(config, only=("valid",)), tmp_path / "b", progress=False)


def test_pictures_are_bounded(tmp_path):
    pictures = Pictures(tmp_path, 2)
    rows = [pictures.keep(RejectRow(str(i), "images", ("a b",)), small(FILMS[i])) for i in range(4)]
    assert [row.thumbnail for row in rows] == ["rejects/a-b-000.jpg", "rejects/a-b-001.jpg", "", ""]
    assert len(list((tmp_path / "rejects").iterdir())) == 2
    assert counts([row.as_json() for row in rows]) == {"a b": 4}
    assert small(np.zeros((30, 900, 3), np.uint8)).startswith(b"\xff\xd8")


def test_rejects_that_cannot_be_read(tmp_path):
    assert read_rejects(tmp_path) == []
    (tmp_path / "rejects.jsonl").write_text('{"where": "a", "kind": "b"}\nnonsense\n')
    with pytest.raises(UserError, match=r"rejects\.jsonl, line 2"):
        read_rejects(tmp_path)


def test_the_page(cleaned):
    _, folder = cleaned
    page = write_data_report(folder).read_text()
    for words in (
        "Studies that stayed",
        "near-duplicate",
        "Study 0 is &lt;normal&gt;.",
        "impression: length",
        "Nearest other image",
        "Distance from the layout",
        "like r20",
    ):
        assert words in page, words
    assert "<normal>" not in page
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page)
    assert outside == []
    ids_of = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids_of)) == len(ids_of)
    json.dumps(page)


def test_the_page_of_a_folder_that_nobody_curated(source):
    page = write_data_report(source).read_text()
    assert "nothing was left out, or nobody looked" in page
    assert "What was measured" not in page


def test_the_page_shows_entities_and_how_it_was_made(tmp_path):
    entities = [
        {"text": "small nodule", "type": "ABNORMALITY", "canonical": "nodule"},
        {"text": "left lung", "type": "ANATOMY", "canonical": "left lung"},
    ]
    made = [record(i, provenance={"entities": entities}) for i in range(3)]
    write_shard(tmp_path, ShardName("films", "train", 0, 1), made, "x")
    finalise(tmp_path)
    counted = {"no finding": {"positive": 3, "negative": 0, "uncertain": 0}}
    summary = {
        "description": "Films.",
        "splits": {"train": {"records": 3, "labels": counted}},
        "made": {
            "missing": 2,
            "images": {
                "rejects": {"blur": 4},
                "gate": {"recall": 0.5, "by fault": {"black": {"planted": 2, "found": 1}}},
            },
        },
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "rejects.jsonl").write_text(
        json.dumps({"where": "r9", "kind": "missing", "stage": "reports", "text": "No <b> here."})
    )
    page = write_data_report(tmp_path).read_text()
    for words in ("ABNORMALITY", "left lung", "Planted faults", "50 %", "No &lt;b&gt; here."):
        assert words in page, words


def test_the_command(source, tmp_path):
    import pathlib

    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run(
        [
            sys.executable,
            "launch/generate.py",
            "--config=configs/data_gen/curate.py",
            f"--config.source={source}",
            f"--out={tmp_path}",
            "--config.gate.statistics.max_text=1.0",
            "--config.processes=1",
        ],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "images: 7 of 12 kept" in done.stdout
    assert (tmp_path / "data_report.html").exists()
