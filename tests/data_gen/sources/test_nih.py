"""A tiny copy of NIH ChestX-ray14: headers with commas, lists of splits, boxes."""

import cv2
import numpy as np
import pytest

from data_gen.sources import nih
from data_gen.sources.importing.base import Rejects
from data_gen.sources.tables.reader import Table
from medvlp_jax.data.store.record import Box


def image_file(path, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 99, np.uint8))


def run(source, **settings):
    rejects = Rejects()
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, [(r.where, r.kind) for r in rejects]


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
NIH_ROWS = [
    "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,AP,2682,2749,0.143,0.143",
    "00000002_000.png,Infiltration|Pleural_Thickening,0,2,81,M,PA,2500,2048,0.171,0.171",
    "00000003_000.png,Effusion,0,3,74,F,PA,2500,2048,0.168,0.168",
    "00000004_000.png,Wombat,0,4,74,F,PA,2500,2048,0.168,0.168",
    "00000005_000.png,Mass,0,5,74,F,PA,2500,2048,0.168,0.168",
]
NIH_BOXES = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00000002_000.png,Infiltrate,256.0,128.0,512.0,256.0,,,
00000003_000.png,Effusion,900.0,900.0,300.0,300.0,,,
00000003_000.png,Effusion,nonsense,,,
"""


@pytest.fixture
def nih_root(tmp_path):
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([NIH_HEADER, *NIH_ROWS]) + "\n")
    (tmp_path / "BBox_List_2017.csv").write_text(NIH_BOXES)
    (tmp_path / "train_val_list.txt").write_text(
        "00000001_000.png\n00000001_001.png\n00000002_000.png\n00000004_000.png\n"
    )
    (tmp_path / "test_list.txt").write_text("00000003_000.png")
    image_file(tmp_path / "images_001" / "images" / "00000001_000.png")
    image_file(tmp_path / "images_001" / "images" / "00000001_001.png")
    image_file(tmp_path / "images_012" / "images" / "00000002_000.png", 64)
    image_file(tmp_path / "images_012" / "images" / "00000003_000.png")
    return tmp_path


def test_nih(nih_root):
    records, rejects = run(nih.SOURCE, root=str(nih_root))
    assert list(records) == ["00000001_000", "00000001_001", "00000002_000", "00000003_000"]
    first = records["00000001_000"]
    assert {k for k, v in first.labels.items() if v == 1} == {"cardiomegaly", "emphysema"}
    assert len(first.labels) == 15
    assert first.images[0].view == "PA"
    normal = records["00000001_001"]
    assert {k for k, v in normal.labels.items() if v == 1} == {"no finding"}
    assert normal.split == first.split != "test"
    assert records["00000002_000"].labels["pleural thickening"] == 1
    # boxes count on 1024 pixels whatever the size of the copy; "Infiltrate" is "Infiltration"
    assert records["00000002_000"].boxes == (Box(0.25, 0.125, 0.75, 0.375, "infiltration"),)
    test = records["00000003_000"]
    assert (test.split, test.labels["pleural effusion"]) == ("test", 1)
    assert test.boxes == (Box(900 / 1024, 900 / 1024, 1, 1, "pleural effusion"),)
    assert sorted(rejects) == [
        ("BBox_List_2017.csv row 4", "bad box"),
        ("Data_Entry_2017_v2020.csv row 6", "unknown label"),
        ("Data_Entry_2017_v2020.csv row 7", "no split"),
    ]


def test_nih_header_has_eleven_columns(nih_root):
    table = Table(
        nih_root / "Data_Entry_2017_v2020.csv", nih.NihConfig(root=str(nih_root)), Rejects()
    )
    assert len(table.columns) == 11
    assert dict(table)[2]["Height]"] == "2749"


def test_nih_without_lists_and_with_one_folder(nih_root):
    for name in ("train_val_list.txt", "test_list.txt", "BBox_List_2017.csv"):
        (nih_root / name).unlink()
    image_file(nih_root / "images" / "00000005_000.png")
    fractions = {"test": 1.0}
    records, _ = run(nih.SOURCE, root=str(nih_root), split_fractions=fractions, views=("PA",))
    assert "00000005_000" in records
    assert "00000001_001" not in records
    assert {r.split for r in records.values()} == {"test"}


@pytest.mark.parametrize(
    "row",
    [
        "00000001_000.png,Effusion, Mass,3,2,058Y,M,PA,2682,2749,0.143,0.143",
        "00000001_000.png,Effusion,,3,2,058Y,M,PA,2682,2749,0.143,0.143",
        "00000001_000.png,Effusion,3,2,58,M,upright,2682,2749,0.143,0.143,",
        "00000001_000.png,Effusion,3,,58,M,PA,2682,2749,0.143,0.143,",
    ],
)
def test_nih_cells_that_a_comma_moved(nih_root, row):
    good = "00000001_001.png,Mass,3.0,2.0,058Y,M,PA,2682,2749,0.143,0.143"
    (nih_root / "Data_Entry_2017_v2020.csv").write_text("\n".join([NIH_HEADER, row, good]) + "\n")
    records, rejects = run(nih.SOURCE, root=str(nih_root))
    assert [(r.id, r.patient_id) for r in records.values()] == [("00000001_001", "2")]
    assert ("Data_Entry_2017_v2020.csv row 2", "bad row") in rejects
    assert len(rejects) == 2  # and a box
