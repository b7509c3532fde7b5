"""MS-CXR: phrases with several boxes, the table with and without splits, the COCO file."""

import json

import pytest

from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.ms_cxr import SOURCE
from medvlp_jax.data.store.record import Box

from .layouts import image_file, run, write

A = "files/p10/p10000032/s50000001/aaaa-bbbb.jpg"
B = "files/p11/p11000048/s50000003/cccc-dddd.jpg"
GONE = "files/p12/p12000011/s50000004/eeee.jpg"
HEADER = "category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id"
ROWS = [  # category, phrase, path, x, y, w, h, width, height
    ("Pleural Effusion", "small right effusion", A, 100, 200, 300, 100, 1000, 500),
    ("Pleural Effusion", "small right effusion", A, 600, 0, 400, 500, 1000, 500),
    ("Pneumonia", "opacity,  left base", A, 0, 0, 500, 250, 1000, 500),
    ("Pneumothorax", "left apical pneumothorax", B, 0, 0, 50, 50, 100, 100),
    ("Pneumothorax", "left apical pneumothorax", B, 0, 0, 50, 50, 100, 100),
    ("Edema", "", B, 1, 1, 2, 2, 100, 100),
    ("Edema", "mild edema", GONE, 1, 1, 2, 2, 100, 100),
]


def table(rows, header=HEADER, more=()):
    lines = [header]
    for i, row in enumerate(rows):
        cells = [f'"{row[0]}"', f'"{row[1]}"', *map(str, row[2:]), row[2].split("/")[-1][:-4]]
        lines.append(",".join(cells + ([more[i]] if more else [])))
    return "\n".join(lines) + "\n"


@pytest.fixture
def mimic(tmp_path):
    for path in (A, B):
        image_file(tmp_path / "mimic" / path, 20)
    return tmp_path / "mimic"


def check(records, rejects, name):
    a, b = records["aaaa-bbbb"], records["cccc-dddd"]
    assert a.labels == {"pleural effusion": 1, "pneumonia": 1}
    assert a.boxes == (
        Box(0.1, 0.4, 0.4, 0.6, "pleural effusion", "small right effusion"),
        Box(0.6, 0.0, 1.0, 1.0, "pleural effusion", "small right effusion"),
        Box(0.0, 0.0, 0.5, 0.5, "pneumonia", "opacity, left base"),
    )
    assert [(t.text, t.section, t.labels) for t in a.texts] == [
        ("small right effusion", "phrase", ("pleural effusion",)),
        ("opacity, left base", "phrase", ("pneumonia",)),
    ]
    assert (a.patient_id, a.provenance["study"]) == ("p10000032", "s50000001")
    assert b.boxes == (Box(0, 0, 0.5, 0.5, "pneumothorax", "left apical pneumothorax"),)
    assert [kind for where, kind in rejects] == ["bad row", "missing image"]
    assert all(where.startswith(name) for where, _ in rejects)


def test_csv_of_version_1_0(tmp_path, mimic):
    name = "MS_CXR_Local_Alignment_v1.0.0.csv"
    write(tmp_path / name, table(ROWS))
    records, rejects, _ = run(SOURCE, root=tmp_path, images=mimic)
    check(records, rejects, name)
    assert {r.split for r in records.values()} == {"test"}
    config = SOURCE.config(root=str(tmp_path), images=str(mimic))
    items = listed(SOURCE, config, Rejects())
    # a phrase with two boxes is one pair
    assert check_counts(SOURCE, config, items) == ("the whole set: 4 phrases, published 1,162",)


def test_newest_csv_has_splits(tmp_path, mimic):
    write(tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv", table(ROWS))
    splits = ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    name = "MS_CXR_Local_Alignment_v1.1.0.csv"
    write(tmp_path / name, table(ROWS, HEADER + ",split", splits))
    records, rejects, _ = run(SOURCE, root=tmp_path, images=mimic)
    check(records, rejects, name)
    assert [r.split for r in records.values()] == ["train", "validation"]


def test_coco(tmp_path, mimic):
    names = sorted({row[0] for row in ROWS})
    paths = list(dict.fromkeys(row[2] for row in ROWS))
    tree = {
        "images": [{"id": i, "path": path} for i, path in enumerate(paths)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "image_id": paths.index(row[2]),
                "category_id": names.index(row[0]),
                "bbox": list(row[3:7]),
                "width": row[7],
                "height": row[8],
                "label_text": row[1],
            }
            for row in ROWS
        ],
    }
    name = "MS_CXR_Local_Alignment_v1.0.0.json"
    write(tmp_path / name, json.dumps(tree))
    records, rejects, _ = run(SOURCE, root=tmp_path, images=mimic)
    check(records, rejects, name)
    write(tmp_path / name, json.dumps({"images": []}))
    with pytest.raises(SourceError, match="no COCO file"):
        run(SOURCE, root=tmp_path, images=mimic)


def test_without_a_table(tmp_path):
    with pytest.raises(SourceError, match="no MS-CXR table"):
        run(SOURCE, root=tmp_path)
