"""VinDr-CXR: three readers, the consensus of the test set, two spellings, the Kaggle copy."""

import pytest

from data_gen.sources.importing.base import PixelBox, Rejects, SourceError
from data_gen.sources.importing.readers import (
    Agreement,
    Reading,
    agreed_boxes,
    agreed_labels,
    overlap,
)
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.vindr import SOURCE
from medvlp_jax.data.store.record import Box

from .layouts import dicom_file, pixels_of, ramp, run, write

TRAIN_LABELS = """image_id,rad_id,Cardiomegaly,Nodule/Mass,Other diseases,No finding
a,R1,1,0,0,0
a,R2,1,0,1,0
a,R3,0,0,0,1
b,R1,0,0,0,1
b,R2,0,0,0,1
b,R3,0,1,0,0
c,R1,0,0,0,1
c,R1,1,0,0,0
c,R2,x,0,0,0
gone,R1,0,0,0,1
"""
TRAIN_BOXES = """image_id,rad_id,class_name,x_min,y_min,x_max,y_max
a,R1,Cardiomegaly,10,5,30,15
a,R2,Cardiomegaly,12,5,32,15
a,R2,Other diseases,0,0,5,5
a,R1,Cardiomegaly,40,0,50,10
b,R3,Nodule/Mass,1,1,5,5
b,R1,No finding,,,,
a,R3,No finding,,,,
a,R1,Cardiomegaly,,3,4,5
nobody,R1,Cardiomegaly,1,2,3,4
"""
TEST_LABELS = "image_id,Cardiomegaly,Nodule/Mass,Other disease,No finding\nt,0,0,1,0\nu,0,0,0,1\n"
TEST_BOXES = "image_id,class_name,x_min,y_min,x_max,y_max\nt,Other disease,0,0,32,20\n"


@pytest.fixture
def root(tmp_path):
    notes = tmp_path / "annotations"
    write(notes / "image_labels_train.csv", TRAIN_LABELS)
    write(notes / "annotations_train.csv", TRAIN_BOXES)
    write(notes / "image_labels_test.csv", TEST_LABELS)
    write(notes / "annotations_test.csv", TEST_BOXES)
    for name in ("train/a", "train/b", "train/c", "test/t", "test/u"):
        kind = "MONOCHROME1" if name == "test/u" else "MONOCHROME2"
        dicom_file(tmp_path / f"{name}.dicom", ramp(20, 64), kind)
    return tmp_path


def test_majority_of_three_readers(root):
    records, rejects, _ = run(SOURCE, root=root)
    assert {k: r.split for k, r in records.items()} == {
        **dict.fromkeys("abc", "train"),
        **dict.fromkeys("tu", "test"),
    }
    a, b = records["a"], records["b"]
    expected = {"cardiomegaly": 1, "nodule/mass": 0, "other disease": 0, "no finding": 0}
    assert a.labels == expected
    # the mean of two boxes that overlap; the box that one reader alone drew is gone
    assert a.boxes == (Box(11 / 64, 5 / 20, 31 / 64, 15 / 20, "cardiomegaly"),)
    assert (b.labels["no finding"], b.labels["nodule/mass"], b.boxes) == (1, 0, ())
    assert records["t"].labels["other disease"] == 1  # one spelling in both tables
    assert records["t"].boxes == (Box(0, 0, 0.5, 1, "other disease"),)
    assert (a.provenance["readers"], records["t"].provenance["readers"]) == (3, 1)
    assert a.provenance["split_name"] == "official"
    assert rejects == [
        ("annotations_train.csv row 10", "box without its image"),
        ("annotations_train.csv row 9", "bad box"),
        ("image_labels_train.csv row 10", "bad label"),
        ("image_labels_train.csv row 11", "missing image"),
        ("image_labels_train.csv row 9", "duplicate reader"),
    ]
    assert pixels_of(records["u"])[0, 0] > pixels_of(records["t"])[0, 0]


def test_any_reader(root):
    records, _, _ = run(SOURCE, root=root, agreement="any")
    a = records["a"]
    assert (a.labels["cardiomegaly"], a.labels["other disease"], a.labels["no finding"]) == (
        1,
        1,
        0,
    )
    assert len(a.boxes) == 4
    assert records["b"].labels == {
        "cardiomegaly": 0,
        "nodule/mass": 1,
        "other disease": 0,
        "no finding": 0,
    }


def test_sizes_are_compared(root):
    config = SOURCE.config(root=str(root))
    lines = check_counts(SOURCE, config, listed(SOURCE, config, Rejects()))
    assert lines == (
        "official, train: 4 records, published 15,000",
        "official, test: 2 records, published 3,000",
    )


def test_kaggle(tmp_path):
    write(
        tmp_path / "train.csv",
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
        "a,Cardiomegaly,3,R1,10,5,30,15\na,Cardiomegaly,3,R2,10,5,30,15\n"
        "a,No finding,14,R3,,,,\nb,No finding,14,R1,,,,\nb,No finding,14,R2,,,,\n"
        "b,Nodule/Mass,8,R3,1,1,5,5\n",
    )
    for name in "ab":
        dicom_file(tmp_path / "train" / f"{name}.dicom", ramp(20, 64))
    records, rejects, _ = run(SOURCE, root=tmp_path, split_fractions={"test": 1.0})
    assert rejects == []
    assert records["a"].labels == {"cardiomegaly": 1, "no finding": 0, "nodule/mass": 0}
    assert records["a"].boxes == (Box(10 / 64, 5 / 20, 30 / 64, 15 / 20, "cardiomegaly"),)
    assert records["b"].labels == {"cardiomegaly": 0, "no finding": 1, "nodule/mass": 0}
    assert {r.split for r in records.values()} == {"test"}
    assert records["a"].provenance["split_name"] == "patients/seed 0"


def test_without_tables(tmp_path):
    with pytest.raises(SourceError, match=r"neither annotations/image_labels_train\.csv nor"):
        run(SOURCE, root=tmp_path)


def test_overlap_and_votes():
    box = PixelBox(0, 0, 4, 2, "mass")
    assert overlap(box, box) == 1
    assert overlap(box, PixelBox(2, 0, 4, 2, "mass")) == pytest.approx(4 / 12)
    assert overlap(box, PixelBox(9, 9, 1, 1, "mass")) == 0
    assert overlap(PixelBox(0, 0, 0, 0, "m"), PixelBox(0, 0, 0, 0, "m")) == 0
    two = Reading("", {"R1": {"mass": 1}, "R2": {"mass": 0}}, [("R1", box)])
    assert agreed_labels(two, Agreement.MAJORITY) == {"mass": 0}  # half is no majority
    assert agreed_boxes(two, Agreement.MAJORITY, {"mass": 0}) == ()
    # one reader's two boxes never make a majority
    same = Reading("", {"R1": {}, "R2": {}, "R3": {}}, [("R1", box), ("R1", box)])
    assert agreed_boxes(same, Agreement.MAJORITY, {"mass": 1}) == ()


def test_columns_that_are_no_labels_and_values_that_are_no_votes(root):
    table = root / "annotations" / "image_labels_train.csv"
    write(
        table,
        "Unnamed: 0,image_id,rad_id,age,Pleural_effusion,No finding\n"
        "1,a,R1,50,1.0,0\n2,b,R1,50,-1,0\n3,c,R1,50,2,0\n4,c,R2,,0.5,0\n5,c,R3,,0,1\n",
    )
    records, rejects, log = run(SOURCE, root=root)
    assert records["a"].labels == {"pleural effusion": 1, "no finding": 0}
    assert records["c"].labels == {"pleural effusion": 0, "no finding": 1}
    bad = [(f"image_labels_train.csv row {n}", "bad label") for n in (3, 4, 5)]
    assert [r for r in rejects if r[1] == "bad label"] == bad
    assert any(note.endswith("left out: Unnamed: 0, age") for note in log.notes)
    for header, message in (
        ("image_id,Pleural_effusion,Pleural effusion", "are both the label 'pleural effusion'"),
        ("image_id,Other disease,Other diseases", "are both the label 'other disease'"),
        ("image_id,x,y", "no column of a label"),
    ):
        write(table, f"{header}\na,1,0\n")
        with pytest.raises(SourceError, match=message):
            run(SOURCE, root=root)
