"""A tiny copy of CheXpert: paths that hold the top folder, empty and uncertain labels."""

import cv2
import numpy as np
import pytest

from data_gen.sources import chexpert
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.labels import CHEXPERT


def image_file(path, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 99, np.uint8))


def run(source, **settings):
    rejects = Rejects()
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, [(r.where, r.kind) for r in rejects]


def chexpert_row(path, side, position, **labels):
    cells = [labels.get(name.lower().replace(" ", "_"), "") for name in CHEXPERT]
    return ",".join([path, "Female", "68", side, position, *cells])


@pytest.fixture
def chexpert_root(tmp_path):
    root = tmp_path / "CheXpert-v1.0-small"
    top = "CheXpert-v1.0-small"
    header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT])
    marks = {"edema": "1.0", "cardiomegaly": "0.0", "pleural_effusion": "-1.0"}
    train = [
        chexpert_row(
            f"{top}/train/patient00001/study1/view1_frontal.jpg", "Frontal", "AP", **marks
        ),
        chexpert_row(f"{top}/train/patient00001/study1/view2_lateral.jpg", "Lateral", "", **marks),
        chexpert_row(
            f"{top}/train/patient00001/study2/view1_frontal.jpg", "Frontal", "PA", edema="2.0"
        ),
        chexpert_row(f"{top}/train/patient00002/study1/view1_frontal.jpg", "Frontal", "PA"),
    ]
    valid = [chexpert_row(f"{top}/valid/patient64541/study1/view1_frontal.jpg", "Frontal", "AP")]
    root.mkdir()
    (root / "train.csv").write_text("\n".join([header, *train]) + "\n")
    (root / "valid.csv").write_text("\n".join([header, *valid]) + "\n")
    short = ",".join(["Path", *CHEXPERT])
    test = "test/patient64741/study1/view1_frontal.jpg" + ",1" * 14
    (root / "groundtruth.csv").write_text(f"{short}\n{test}\n")
    for row in (*train[:3], *valid):
        image_file(tmp_path / row.split(",")[0])
    image_file(root / "test/patient64741/study1/view1_frontal.jpg")
    return root


def test_chexpert(chexpert_root):
    records, rejects = run(chexpert.SOURCE, root=str(chexpert_root))
    assert list(records) == [
        "train/patient00001/study1",
        "validation/patient64541/study1",
        "test/patient64741/study1",
    ]
    study = records["train/patient00001/study1"]
    assert [i.view for i in study.images] == ["AP", "LATERAL"]
    assert study.labels == {"edema": 1, "cardiomegaly": 0, "pleural effusion": -1}
    assert (study.patient_id, study.split) == ("patient00001", "train")
    assert study.provenance["sex"] == "Female"
    assert records["validation/patient64541/study1"].labels == {}
    assert records["test/patient64741/study1"].labels["lung opacity"] == 1
    assert rejects == [("train.csv row 4", "bad label"), ("train.csv row 5", "missing image")]


def test_labels_go_by_name_whatever_the_order_of_the_columns(chexpert_root):
    """Repositories disagree on the order, and address columns by number."""
    plain, _ = run(chexpert.SOURCE, root=str(chexpert_root))
    for name in ("train.csv", "valid.csv", "groundtruth.csv"):
        rows = [line.split(",") for line in (chexpert_root / name).read_text().splitlines()]
        turned = [[row[0], *row[:0:-1]] for row in rows]
        (chexpert_root / name).write_text("\n".join(map(",".join, turned)) + "\n")
    turned, _ = run(chexpert.SOURCE, root=str(chexpert_root))
    assert [r.labels for r in turned.values()] == [r.labels for r in plain.values()]


def test_chexpert_frontal_only_and_chosen_splits(chexpert_root):
    records, _ = run(
        chexpert.SOURCE, root=str(chexpert_root), views=("PA", "AP"), splits=("train",)
    )
    assert [len(r.images) for r in records.values()] == [1]
    assert list(records) == ["train/patient00001/study1"]


def test_chexpert_without_its_tables(tmp_path):
    with pytest.raises(SourceError, match=r"neither train\.csv nor valid\.csv"):
        run(chexpert.SOURCE, root=str(tmp_path))
    (tmp_path / "train.csv").write_text("path,Sex\n")
    with pytest.raises(SourceError, match="no column 'Path'; did you mean 'path'"):
        run(chexpert.SOURCE, root=str(tmp_path))
    with pytest.raises(SourceError, match=r"config\.root .* is no folder"):
        run(chexpert.SOURCE, root=str(tmp_path / "none"))


def test_chexpert_rows_of_one_study_that_differ(chexpert_root):
    path = chexpert_root / "train.csv"
    header = path.read_text().splitlines()[0]
    study = "CheXpert-v1.0-small/train/patient00001/study1"
    lateral = chexpert_row(f"{study}/view2_lateral.jpg", "Lateral", "", edema="1.0", fracture="0.0")
    rows = [
        chexpert_row(f"{study}/view1_frontal.jpg", "Frontal", "AP", edema="0.0", fracture="-1.0"),
        lateral,
        lateral,
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    rejects = Rejects()
    config = chexpert.SOURCE.config(root=str(chexpert_root), splits=("train",))
    (record,) = chexpert.SOURCE.records(config, rejects)
    assert record.labels == {"edema": 1, "fracture": -1}
    assert [i.view for i in record.images] == ["AP", "LATERAL"]
    assert [(r.where, r.kind) for r in rejects] == [("train.csv row 4", "duplicate id")]
    assert any(note.startswith("train.csv: 2 labels differ") for note in rejects.notes)
