"""RSNA pneumonia: the Kaggle layout and the first export, as DICOM files."""

import pytest

from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.rsna import SOURCE
from medvlp_jax.data.store.record import Box

from .layouts import dicom_file, pixels_of, ramp, run, write

LABELS = """patientId,x,y,width,height,Target
a,256.0,128.0,512.0,256.0,1
b,,,,,0
c,,,,,0
a,600.0,600.0,100.0,100.0,1
d,,,,,1
gone,1,1,9,9,1
a,256.0,128.0,512.0,256.0,1
b,1,1,2,2,1
e,900,900,300,300,1
f,,,,,2
"""
CLASSES = """patientId,class
a,Lung Opacity
a,Lung Opacity
b,Normal
c,No Lung Opacity / Not Normal
d,Wombat
"""


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "stage_2_train_labels.csv", LABELS)
    write(tmp_path / "stage_2_detailed_class_info.csv", CLASSES)
    folder = tmp_path / "stage_2_train_images"
    for name in "abcde":
        kind = "MONOCHROME1" if name == "c" else "MONOCHROME2"
        dicom_file(folder / f"{name}.dcm", ramp(), kind)
    return tmp_path


def test_kaggle(root):
    records, rejects, _ = run(SOURCE, root=root)
    assert sorted(records) == ["a", "b", "c", "d", "e"]
    a = records["a"]
    assert a.labels == {"pneumonia": 1, "lung opacity": 1, "no finding": 0}
    assert a.boxes == (  # on 1024 pixels whatever the file's size, a repeated row once
        Box(0.25, 0.125, 0.75, 0.375, "pneumonia"),
        Box(600 / 1024, 600 / 1024, 700 / 1024, 700 / 1024, "pneumonia"),
    )
    assert (a.patient_id, a.images[0].view, a.images[0].format) == ("a", "FRONTAL", "dicom")
    assert records["b"].labels == {"pneumonia": 0, "lung opacity": 0, "no finding": 1}
    assert records["c"].labels == {"pneumonia": 0, "lung opacity": 0, "no finding": 0}
    assert records["d"].labels == {"pneumonia": 1, "lung opacity": 1}  # its class is not known
    assert records["e"].boxes == (Box(900 / 1024, 900 / 1024, 1, 1, "pneumonia"),)
    assert rejects == [
        ("stage_2_detailed_class_info.csv row 6", "unknown class"),
        ("stage_2_train_labels.csv row 11", "bad label"),
        ("stage_2_train_labels.csv row 6", "bad box"),
        ("stage_2_train_labels.csv row 7", "missing image"),
        ("stage_2_train_labels.csv row 9", "bad label"),
    ]
    assert a.provenance["split_name"] == "patients/seed 0"


def test_monochrome1_is_shown_inverted(root):
    records, _, _ = run(SOURCE, root=root, max_size=16)
    normal, inverted = pixels_of(records["b"]), pixels_of(records["c"])
    assert normal.shape == (16, 16)
    assert normal[0, 0] < 20 < 230 < normal[0, -1]
    assert inverted[0, 0] > 230 > 20 > inverted[0, -1]


def test_gloria_recipe_on_a_part(root):
    config = SOURCE.config(root=str(root), split_name="gloria")
    with pytest.raises(SourceError, match=r"gloria, train: \d records, published 18,678; .*=False"):
        check_counts(SOURCE, config, listed(SOURCE, config, Rejects()))
    records, _, _ = run(SOURCE, root=root, split_name="gloria", check_counts=False)
    assert {r.split for r in records.values()} <= {"train", "validation", "test"}
    assert {r.provenance["split_name"] for r in records.values()} == {"gloria"}
    backwards = write(root / "stage_2_train_labels.csv", "\n".join(reversed(LABELS.split("\n"))))
    lines = backwards.read_text().strip().split("\n")
    backwards.write_text("\n".join([lines[-1], *lines[:-1]]))
    again, _, _ = run(SOURCE, root=root, split_name="gloria", check_counts=False)
    assert {k: r.split for k, r in again.items()} == {k: r.split for k, r in records.items()}


def test_first_export_with_boxes_in_one_cell(tmp_path):
    path = "mdai_rsna_project_images/1.2.3/1.2.4/1.2.5.dcm"
    dicom_file(tmp_path / path, ramp())
    header = "ID,img_path,boxes,classes\n"
    boxes = "256.0;128.0;512.0;256.0|0;0;1024;512"
    write(tmp_path / "test.csv", f"{header}u-1,{path},{boxes},1\nu-2,{path},,0\nu-3,{path},1;2,1\n")
    write(tmp_path / "val.csv", f"{header}u-4,gone/x.dcm,,0\nu-1,{path},,0\n")
    records, rejects, _ = run(
        SOURCE,
        root=tmp_path,
        split_name="medklip",
        split_lists={"test": "test.csv", "validation": "val.csv"},
        check_counts=False,
    )
    assert {k: (r.split, r.labels["pneumonia"]) for k, r in records.items()} == {
        "u-1": ("test", 1),
        "u-2": ("test", 0),
    }
    assert records["u-1"].boxes == (
        Box(0.25, 0.125, 0.75, 0.375, "pneumonia"),
        Box(0, 0, 1, 0.5, "pneumonia"),
    )
    assert ("test.csv row 4", "bad row") in rejects
    assert ("val.csv row 2", "missing image") in rejects


def test_medklip_list_on_kaggle_files(root):
    write(root / "test.csv", "ID,img_path,boxes,classes\na,x/1.dcm,,1\nzzz,x/2.dcm,,0\n")
    records, rejects, _ = run(
        SOURCE,
        root=root,
        split_name="medklip",
        split_lists={"test": "test.csv"},
        check_counts=False,
    )
    assert {k: r.split for k, r in records.items()} == {"a": "test"}
    assert ("test.csv", "listed, not there") in rejects
    assert sum(kind == "not in the split" for _, kind in rejects) == 5


def test_without_tables(tmp_path):
    with pytest.raises(SourceError, match=r"no stage_2_train_labels\.csv; .*config\.split_lists"):
        run(SOURCE, root=tmp_path)
