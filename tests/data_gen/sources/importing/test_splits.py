"""Named splits: recipes as published, list files of every form, and the sizes of the parts."""

import json
import pathlib

import numpy as np
import pytest

from data_gen.sources import nih, rsna, siim
from data_gen.sources.csv import SOURCE
from data_gen.sources.importing import job
from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceError
from data_gen.sources.importing.split_names import spelled_split
from data_gen.sources.importing.splits import (
    Count,
    NamedSplit,
    Shuffle,
    assign,
    differences,
    read_list,
    shuffle,
    stem,
)
from data_gen.sources.nih import FINDINGS

from ..layouts import image_file, run, write


@pytest.mark.parametrize(
    ("cell", "split"),
    [("Train", "train"), ("val", "validation"), ("train2", "train2"), ("test_external",) * 2,
     ("fold", "fold"), ("hospital b", None), ("tset", None), ("trian", None), ("vaild", None)],
)  # fmt: skip
def test_splits_as_spelled(cell, split):
    if split is None:
        with pytest.raises(ValueError, match=r"no split name|looks like"):
            spelled_split(cell, "part")
    else:
        assert spelled_split(cell, "part") == split
    assert spelled_split(cell, "part", {cell: "tset"}) == "tset"


@pytest.mark.parametrize("held_out", [0.3, 0.15, 41])
def test_shuffle_is_what_scikit_learn_does(held_out):
    model_selection = pytest.importorskip("sklearn.model_selection")
    keys = [f"{i:04d}-x" for i in np.random.default_rng(0).permutation(103)]
    train, rest = model_selection.train_test_split(sorted(keys), test_size=held_out, random_state=0)
    test, validation = model_selection.train_test_split(rest, test_size=0.5, random_state=0)
    places = shuffle(keys, Shuffle(held_out, ("test", "validation")))
    for split, chosen in (("train", train), ("validation", validation), ("test", test)):
        assert {k for k, s in places.items() if s == split} == set(chosen)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("gloria", (18_678, 4_003, 4_003)), ("mgca_detection", (16_010, 5_337, 5_337))],
)
def test_recipes_of_rsna_have_their_published_sizes(name, sizes):
    named = rsna.SPLITS[name]
    places = list(shuffle([str(i) for i in range(26_684)], named.how).values())
    assert tuple(places.count(s) for s in ("train", "validation", "test")) == sizes
    assert tuple(named.counts[s].records for s in ("train", "validation", "test")) == sizes


def test_published_sizes_are_those_of_their_sets():
    assert sum(nih.SPLITS["official"].counts[p].records for p in ("train+validation", "test")) == (
        nih.SPLITS["all"].counts["all"].records
    )
    assert set(nih.SPLITS["official"].counts["test"].positives) == set(FINDINGS)
    rows = [c.rows for c in siim.SPLITS["mavl"].counts.values()]
    unique = [c.unique for c in siim.SPLITS["mavl"].counts.values()]
    assert (rows, unique) == ([6_949, 2_316, 2_317], [6_585, 2_264, 2_264])
    for source in job.SOURCES.values():
        for named in source.splits.values():
            assert named.source
            assert named.counts


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "a.png\nb.png\n"),
        ("a.txt", "x/y/a.png\nb.png"),
        ("a.txt", "\ufeffa.png 0 1\n\nb.png 1 0\n\n"),
        ("a.txt", "p1 a.png positive rsna\np2 b.png negative rsna\n"),
        ("a.txt", "a.dcm,1\r\nb.dcm,0\r\n"),
        ("a.txt", "a\nb\n"),
        ("a.csv", "filepath\na\nb\n"),
        ("a.csv", "label,Image Index\n0,a.png\n1,b.png\n,\n"),
        ("a.csv", 'ID,img_path,boxes\na,x/1.dcm,"1;2"\nb,x/2.dcm,\n'),
        ("a.csv", "p1 a.png positive rsna\np2 b.png negative rsna\n"),
        ("a.tsv", "x\tpath\n0\ta.jpg\n0\tb.jpeg"),
    ],
)
def test_lists_of_every_form(tmp_path, name, text):
    path = write(tmp_path / name, text)
    assert [stem(cell) for cell in read_list(path)] == ["a", "b"]


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(SourceError, match=r"x\.txt is missing; check config\.split_lists"):
        read_list(tmp_path / "x.txt")
    with pytest.raises(SourceError, match="no column of ids; name it 'id' or 'path'"):
        read_list(write(tmp_path / "x.csv", "foo,bar\n1,2\n"))
    assert read_list(write(tmp_path / "empty.csv", "")) == []


def test_names_keep_dots_that_are_not_of_an_image():
    assert stem("x/1.2.276.0.7230.DCM") == "1.2.276.0.7230"
    assert stem("1.2.276.0.7230") == "1.2.276.0.7230"
    assert stem("a\\b\\c.png ") == "c"


def made(n, **labels):
    return [
        Item(
            id=f"i{i}",
            where=f"row {i}",
            images=(ImageFile(pathlib.Path("x")),),
            split="train",
            labels={k: v for k, v in labels.items() if i % 2},
            patient_id=f"p{i // 2}",
        )
        for i in range(n)
    ]


def test_counts_say_which_differ(tmp_path):
    config = SOURCE.config(root=str(tmp_path), csv="t.csv")
    items = made(6, mass=1)
    right = Count(records=6, images=6, patients=3, positives={"mass": 3})
    same = NamedSplit("x", "own", {"all": right, "train+test": right})
    assert differences("n", same, config, items) == []
    other = NamedSplit("x", "own", {"train": Count(5, 7, 4, {"mass": 2}), "test": Count(9)})
    assert differences("n", other, config, items) == [
        "n, train: 6 records, published 5",
        "n, train: 6 images, published 7",
        "n, train: 3 patients, published 4",
        "n, train: 3 records with mass, published 2",
    ]  # nothing of split test was asked for
    near = NamedSplit("x", "own", {"train": Count(5, slack=1)})
    assert differences("n", near, config, items) == []


def test_two_items_of_one_name(tmp_path):
    write(tmp_path / "l.txt", "a.png\n")
    lists = {"test": "l.txt"}
    config = SOURCE.config(root=str(tmp_path), csv="t.csv", split_name="x", split_lists=lists)
    items = [Item(id=f"{f}/a.png", where="", images=(), split="") for f in "xy"]
    with pytest.raises(SourceError, match=r"'a' names both x/a\.png and y/a\.png"):
        list(assign(items, "x", None, config, Rejects()))


@pytest.fixture
def table(tmp_path):
    for name in "abcd":
        image_file(tmp_path / f"{name}.png")
    return write(tmp_path / "t.csv", "path,edema\na.png,1\nb.png,0\nc.png,1\nd.png,0\n")


def test_own_lists_with_any_source(table, tmp_path):
    write(tmp_path / "train.txt", "a.png\nb.png\n")
    write(tmp_path / "test.txt", "c.png\nb.png\nzzz.png\n")
    settings = {
        "root": str(tmp_path),
        "csv": "t.csv",
        "split_name": "mine",
        "split_lists": {"train": "train.txt", "test": "test.txt"},
    }
    records, rejects, _ = run(SOURCE, **settings)
    # an image that two lists name is tested on, and not trained on
    assert {k: r.split for k, r in records.items()} == {
        "a.png": "train",
        "b.png": "test",
        "c.png": "test",
    }
    assert {r.provenance["split_name"] for r in records.values()} == {"mine"}
    assert rejects == [
        ("t.csv row 5", "not in the split"),
        ("test.txt", "listed, not there"),
        ("train.txt", "listed in two splits"),
    ]
    report = job.run_import("csv", settings, tmp_path / "out", progress=False)
    assert report.split == "mine"
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert "split: mine" in info["description"]


def test_split_names_that_are_wrong(table, tmp_path):
    with pytest.raises(SourceError, match=r"'mvl' is unknown here \(known: official, all, mavl"):
        run(nih.SOURCE, root=tmp_path, split_name="mvl")
    write(tmp_path / "Data_Entry_2017.csv", "Image Index,Finding Labels,Patient ID,View Position\n")
    with pytest.raises(SourceError, match=r"'benchx' is made from lists; set config\.split_lists"):
        run(nih.SOURCE, root=tmp_path, split_name="benchx")
    with pytest.raises(ValueError, match="split_lists need split_name"):
        SOURCE.config(root="x", csv="t.csv", split_lists={"train": "x"})


def nih_root(tmp_path, rows=3):
    header = "Image Index,Finding Labels,Patient ID,View Position"
    lines = [f"0000000{i}_000.png,Mass,{i},PA" for i in range(rows)]
    write(tmp_path / "Data_Entry_2017.csv", "\n".join([header, *lines]))
    for i in range(rows):
        image_file(tmp_path / "images" / f"0000000{i}_000.png")
    write(tmp_path / "test_list.txt", "00000000_000.png\n")
    write(tmp_path / "train_val_list.txt", "00000001_000.png\n00000002_000.png\n")
    return {"root": str(tmp_path)}


def test_parts_of_a_data_set_warn_and_named_splits_stop(tmp_path):
    config = nih_root(tmp_path)
    report = job.run_import("nih", config, tmp_path / "out", progress=False)
    assert report.split == "official"
    assert any(
        line.startswith("official, train+validation: 2 records, published 86,524")
        for line in report.warnings
    )
    assert "warning: official, test: 1 records, published 25,596; check_counts" in str(report)
    quiet = job.run_import("nih", config | {"check_counts": False}, tmp_path / "o2", progress=False)
    few = job.run_import("nih", config | {"limit": 2}, tmp_path / "o3", progress=False)
    assert not any("published" in line for line in (*quiet.warnings, *few.warnings))
    with pytest.raises(SourceError, match=r"split official, train\+validation: 2 records"):
        job.run_import("nih", config | {"split_name": "official"}, tmp_path / "o4", progress=False)
    assert not list((tmp_path / "o4").glob("*array_record*"))
