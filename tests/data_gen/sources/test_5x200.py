"""CheXpert's test set and the 5x200 set: by names, by patients, and as the recipe draws."""

import numpy as np
import pytest

from data_gen.sources import chexpert
from data_gen.sources.five_by_200 import FINDINGS, LABELS
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.labels import CHEXPERT
from data_gen.sources.importing.source import check_counts, listed

from .layouts import image_file, run, write

TOP = "CheXpert-v1.0-small"
META = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")


def table_text(rows, columns=CHEXPERT, meta=META):
    """``rows``: (path, {label: cell}); the view is read off the path."""
    lines = [",".join((*meta, *columns))]
    for path, cells in rows:
        side = "Lateral" if "lateral" in path else "Frontal"
        known = {"Path": path, "Sex": "Male", "Age": "60", "Frontal/Lateral": side}
        known["AP/PA"] = "" if side == "Lateral" else "AP"
        lines.append(
            ",".join([known.get(m, "") for m in meta] + [cells.get(c, "") for c in columns])
        )
    return "\n".join(lines) + "\n"


def big_rows(patients=120):
    """Patients of two studies; many frontal images show one finding alone, in several spellings."""
    rng = np.random.default_rng(0)
    rows = []
    for p in range(patients):
        for s in (1, 2):
            cells = {FINDINGS[rng.integers(5)]: "1.0"}
            kind = rng.integers(6)
            if kind == 0:
                cells["Fracture"] = "1.0"
            elif kind == 1:
                cells["Lung Opacity"] = "-1.0"
            elif kind == 2:
                cells |= {"Pneumonia": "0.0", "No Finding": "1.0"}  # No Finding is not looked at
            elif kind == 3:
                cells = dict.fromkeys(cells, "-1.0")
            base = f"{TOP}/train/patient{p:05d}/study{s}"
            rows.append((f"{base}/view1_frontal.jpg", cells))
            rows.append((f"{base}/view2_lateral.jpg", cells))
    return rows


@pytest.fixture
def root(tmp_path):
    write(tmp_path / TOP / "train.csv", table_text(big_rows()))
    return tmp_path / TOP


def items_of(root, rejects=None, **settings):
    settings = {"split_name": "5x200", "per_finding": 8, "check_counts": False} | settings
    config = chexpert.SOURCE.config(root=str(root), **settings)
    return listed(chexpert.SOURCE, config, Rejects() if rejects is None else rejects)


def test_recipe_draws_what_the_published_one_draws(root):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(root / "train.csv").fillna(dict.fromkeys(CHEXPERT, 0))
    frame = frame[frame["Frontal/Lateral"] == "Frontal"]
    judged = [name for name in CHEXPERT if name != "No Finding"]
    expected = set()
    for name in FINDINGS:
        alone = frame[(frame[judged] == [float(j == name) for j in judged]).all(axis=1)]
        assert len(alone) > 8
        expected |= set(alone.sample(n=8, random_state=0)["Path"])
    chosen = [item for item in items_of(root) if item.split == "test_5x200"]
    assert len(chosen) == 40
    assert {f"{TOP}/train/{item.id.removeprefix('test_5x200/')}.jpg" for item in chosen} == expected
    for item in chosen:
        assert [i.path.name for i in item.images] == ["view1_frontal.jpg"]
        assert sum(item.labels[name] for name in LABELS) == 1


def test_patients_of_5x200_are_not_trained_on(root):
    """Elsewhere rows were dropped by label where positions were meant, and only the images."""
    rejects = Rejects()
    items = items_of(root, rejects)
    tested = {item.patient_id for item in items if item.split == "test_5x200"}
    trained = {item.patient_id for item in items if item.split == "train"}
    assert trained
    assert not tested & trained
    assert tested | trained == {f"patient{p:05d}" for p in range(120)}
    images = sum(len(item.images) for item in items)
    dropped = [r for r in rejects if r.kind == "patient of 5x200"]
    assert images + len(dropped) == 480
    # rows that a filter has renumbered are dropped by what they are, not by their place
    lines = (root / "train.csv").read_text().strip().split("\n")
    (root / "train.csv").write_text("\n".join([lines[0], *lines[41:], *lines[1:41]]) + "\n")
    again = items_of(root)
    again_tested = {i.patient_id for i in again if i.split == "test_5x200"}
    assert not again_tested & {i.patient_id for i in again if i.split == "train"}


def test_columns_in_another_order_change_nothing(root):
    before = [(i.id, i.split, i.labels) for i in items_of(root)]
    for order in (sorted(CHEXPERT), CHEXPERT[::-1]):
        write(root / "train.csv", table_text(big_rows(), order))
        assert [(i.id, i.split, i.labels) for i in items_of(root)] == before


def test_published_list(root):
    images = [i.id.removeprefix("test_5x200/") for i in items_of(root) if "test" in i.split][:10]
    paths = [f"{TOP}/train/{image}.jpg" for image in images]
    write(
        root / "list.csv", "\n".join(["Path,Report Impression", *(f"{p},x" for p in paths)]) + "\n"
    )
    lists = {"test_5x200": "list.csv"}
    items = items_of(root, split_lists=lists)
    assert {i.id.removeprefix("test_5x200/") for i in items if "test" in i.split} == set(images)
    config = chexpert.SOURCE.config(root=str(root), split_name="5x200", split_lists=lists)
    with pytest.raises(
        SourceError, match=r"test_5x200: 10 records, published 1,000; .*atelectasis"
    ):
        check_counts(chexpert.SOURCE, config, items)
    write(root / "list.csv", f"Path\n{TOP}/train/patient99999/study1/view1_frontal.jpg\n")
    with pytest.raises(SourceError, match=r"1 images are not in .*first patient99999/study1/view1"):
        items_of(root, split_lists=lists)


def test_too_few_images_of_a_finding(root):
    with pytest.raises(
        SourceError, match=r"5x200 takes 200; complete it, or set config\.per_finding"
    ):
        items_of(root, per_finding=200)


@pytest.mark.parametrize("column", ["Path", "Study"])
def test_test_set_of_its_own(tmp_path, column):
    """500 studies come apart: another folder, no views, other order of columns, rows of studies."""
    root = tmp_path / TOP
    write(root / "train.csv", table_text([]))
    test = tmp_path / "CheXpert" / "test"
    for p, view in ((1, "view1_frontal"), (1, "view2_lateral"), (2, "view1_frontal")):
        image_file(test / f"patient6474{p}" / "study1" / f"{view}.jpg")
    end = "" if column == "Study" else "/view1_frontal.jpg"
    labels = {"Edema": "1", "No Finding": "0"}
    rows = [(f"test/patient6474{p}/study1{end}", labels) for p in (1, 2, 3)]
    text = table_text(rows, sorted(CHEXPERT), ("Path",)).replace("Path", column, 1)
    write(tmp_path / "labels" / "groundtruth.csv", text)
    records, rejects, _ = run(
        chexpert.SOURCE, root=root, test_labels="../labels/groundtruth.csv", views=("PA", "AP")
    )
    assert list(records) == ["test/patient64741/study1", "test/patient64742/study1"]
    for record in records.values():
        assert (record.split, record.labels) == ("test", {"edema": 1, "no finding": 0})
        assert [i.view for i in record.images] == ["FRONTAL"]  # the table does not say PA or AP
    assert [kind for _, kind in rejects] == ["missing image"]
    both, _, _ = run(chexpert.SOURCE, root=root, test_labels="../labels/groundtruth.csv")
    assert len(both["test/patient64741/study1"].images) == (2 if column == "Study" else 1)


def test_splits_that_do_not_exist():
    with pytest.raises(ValueError, match="splits has 'val'; there are: train, validation, test"):
        chexpert.SOURCE.config(root="x", splits=("val",))
