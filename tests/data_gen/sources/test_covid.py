"""COVIDx: lists without a header, two and three classes. COVID-19 Rural: masks beside images."""

import numpy as np
import pytest

from data_gen.sources import covid_rural, covidx
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.source import check_counts, listed

from .layouts import image_file, mask_of, run, write

TRAIN = """79f2 79f2.png negative rsna
COVID_4 COVID(4).png positive sirm
4 e6ea.jpg negative cohen

4 my film 2.png positive actmed
only three words
9 gone.png positive cohen
"""


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "test.txt", "4 t.png positive cohen")  # no newline at the end
    for name in ("train/79f2.png", "train/COVID(4).png", "train/e6ea.jpg", "train/my film 2.png"):
        image_file(tmp_path / name)
    image_file(tmp_path / "t.png")  # a copy without folders
    return tmp_path


def test_two_classes(root):
    records, rejects, _ = run(covidx.SOURCE, root=root)
    assert {k: r.labels["covid-19"] for k, r in records.items()} == {
        "train/79f2": 0,
        "train/COVID(4)": 1,
        "train/e6ea": 0,
        "train/my film 2": 1,
        "test/t": 1,
    }
    # patient 4 of one collection is not patient 4 of another
    patients = [r.patient_id for r in records.values()]
    assert patients == ["rsna/79f2", "sirm/COVID_4", "cohen/4", "actmed/4", "cohen/4"]
    assert rejects == [("train.txt row 6", "bad row"), ("train.txt row 7", "missing image")]
    assert records["test/t"].split == "test"


def test_published_sizes(root):
    config = covidx.SOURCE.config(root=str(root), split_name="cxr2_mavl")
    with pytest.raises(SourceError) as caught:
        check_counts(covidx.SOURCE, config, listed(covidx.SOURCE, config, Rejects()))
    assert "train: 5 records, published 20,990" in str(caught.value)
    assert "train: 3 records with covid-19, published 11,232" in str(caught.value)


def test_three_classes_in_named_lists(root):
    lines = "1 79f2.png normal a\n2 e6ea.jpg pneumonia a\n3 COVID(4).png COVID-19 a\n"
    write(root / "train_COVIDx9A.txt", lines)
    lists = {"train": "train_COVIDx9A.txt"}
    records, rejects, _ = run(covidx.SOURCE, root=root, lists=lists)
    names = ("covid-19", "pneumonia", "no finding")
    labels = [tuple(r.labels[n] for n in names) for r in records.values()]
    assert labels == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert rejects == []
    with pytest.raises(SourceError, match=r"config\.lists\.train"):
        run(covidx.SOURCE, root=root, lists={"train": "none.txt"})
    with pytest.raises(SourceError, match=r"no train\.txt"):
        run(covidx.SOURCE, root=root / "train")


STEMS = [f"COVID-19-AR-1640{p}_0{d}-11-2012-XR" for p, d in ((1, 1), (1, 2), (2, 1), (3, 1))]


@pytest.fixture
def rural(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 10:20] = 1  # 0 and 1 as well as 0 and 255
    for i, name in enumerate(STEMS):
        image_file(tmp_path / "jpgs" / f"{name}.jpg", value=np.full((20, 30), 90, np.uint8))
        if i < 2:
            image_file(tmp_path / "pngs_masks" / f"{name}.png", value=mask * (255 if i else 1))
    color = np.stack([mask * 0, mask * 9, mask * 0], axis=2)
    image_file(tmp_path / "pngs_masks" / f"{STEMS[2]}.png", value=color)
    return tmp_path


def test_rural(rural):
    records, rejects, _ = run(covid_rural.SOURCE, root=rural)
    assert list(records) == STEMS
    for name in STEMS[:3]:
        assert mask_of(records[name]).sum() == 50
        assert records[name].labels == {"covid-19": 1}
    assert records[STEMS[3]].masks == ()
    assert rejects == [(f"{STEMS[3]}.jpg", "missing mask")]
    assert records[STEMS[0]].patient_id == records[STEMS[1]].patient_id == "COVID-19-AR-16401"
    assert records[STEMS[0]].split == records[STEMS[1]].split


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_rural_lists_with_and_without_a_last_newline(rural, end):
    write(rural / "train.csv", "filepath\n" + "\n".join(STEMS[:3]) + end)
    write(rural / "test.csv", f"filepath\n{STEMS[3]}{end}")
    lists = {"train": "train.csv", "test": "test.csv"}
    settings = {"split_name": "mavl", "split_lists": lists}
    records, _, _ = run(covid_rural.SOURCE, root=rural, check_counts=False, **settings)
    assert [r.split for r in records.values()] == ["train"] * 3 + ["test"]
    config = covid_rural.SOURCE.config(root=str(rural), **settings)
    with pytest.raises(SourceError, match="train: 3 rows in the list, published 133"):
        check_counts(covid_rural.SOURCE, config, listed(covid_rural.SOURCE, config, Rejects()))


def test_rural_without_images(tmp_path):
    with pytest.raises(SourceError, match="jpgs holds no images"):
        run(covid_rural.SOURCE, root=tmp_path)
