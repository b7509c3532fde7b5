"""MedMNIST: the layout of its files, names and captions, published sizes, damaged archives."""

import numpy as np
import pytest

from data_gen.sources import medmnist
from data_gen.sources.containers import npz
from data_gen.sources.importing.base import SourceError
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.medmnist import SOURCE, sets
from medvlp_jax.core.files.opening import FileError
from medvlp_jax.data.store.record import Text

from .layouts import pixels_of, run

SIZES = {"train": 5, "val": 2, "test": 3}


def archive(root, name, pixels=28, colour=False, save=np.savez_compressed, labels=None):
    """A tiny copy of a set; returns its arrays."""
    rng = np.random.default_rng(0)
    width = len(sets()[name]["labels"]) if name == "chestmnist" else 1
    arrays = {}
    for part, n in SIZES.items():
        shape = (n, pixels, pixels, 3) if colour else (n, pixels, pixels)
        arrays[f"{part}_images"] = rng.integers(0, 256, shape, np.uint8)
        count = 2 if width > 1 else len(sets()[name]["labels"])
        arrays[f"{part}_labels"] = rng.integers(0, count, (n, width)).astype(np.uint8)
    arrays |= labels or {}
    root.mkdir(exist_ok=True)
    save(root / (f"{name}.npz" if pixels == 28 else f"{name}_{pixels}.npz"), **arrays)
    return arrays


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 2.5, -0.5, 99.0])
def test_a_label_that_is_no_class_costs_its_image(tmp_path, wrong):
    labels = np.array([[0.0], [1.0], [wrong], [2.0], [3.0]])
    archive(tmp_path, "pathmnist", colour=True, labels={"train_labels": labels})
    records, rejects = checked(tmp_path, "pathmnist")
    assert len(records) == 9
    assert [kind for _, kind in rejects] == ["class without a name"]


def checked(root, name, **settings):
    records, places, rejects = run(SOURCE, root=root, set=name, check_counts=False, **settings)
    check_rows(rejects, len(records))
    return records, places


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("name", "pixels", "colour"), [("pathmnist", 28, True), ("octmnist", 64, False)]
)
def test_pixels_labels_and_splits(tmp_path, save, name, pixels, colour):
    arrays = archive(tmp_path, name, pixels, colour, save)
    records, rejects = checked(tmp_path, name, pixels=pixels)
    assert rejects == []
    assert len(records) == 10
    names = sets()[name]["labels"]
    for part, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        for i in range(SIZES[part]):
            record = records[f"{name}/{part}/{i}"]
            assert record.split == split
            np.testing.assert_array_equal(pixels_of(record), arrays[f"{part}_images"][i])
            number = int(arrays[f"{part}_labels"][i, 0])
            assert record.labels == {n: int(k == number) for k, n in enumerate(names)}
            assert record.texts[0].labels == (names[number],)
            assert record.images[0].modality == sets()[name]["modality"]


def test_rows_in_any_order_are_the_same(tmp_path):
    arrays = archive(tmp_path, "octmnist")
    rows = npz.Rows(tmp_path / "octmnist.npz", "train_images")
    for i in (3, 0, 4, 4, 1):
        np.testing.assert_array_equal(rows.row(i), arrays["train_images"][i])


def test_captions():
    facts = sets()

    def caption(name, **labels):
        return medmnist._caption(labels, facts[name])

    assert caption("chestmnist", mass=1, edema=0, hernia=1, nodule=1) == Text(
        "A frontal chest radiograph with mass, hernia and nodule.",
        *("caption", "labels", ("mass", "hernia", "nodule")),
    )
    assert caption("chestmnist", mass=0).text.endswith("without any of the fourteen findings.")
    assert (
        caption("pneumoniamnist", normal=1).text == "A chest radiograph of a child that is normal."
    )
    assert caption("organamnist", liver=1).text == "An axial CT slice through the liver."


def test_multi_label(tmp_path):
    arrays = archive(tmp_path, "chestmnist")
    records, _ = checked(tmp_path, "chestmnist")
    names = sets()["chestmnist"]["labels"]
    for i, row in enumerate(arrays["train_labels"]):
        labels = records[f"chestmnist/train/{i}"].labels
        assert labels == dict(zip(names, row.tolist(), strict=True))


def test_all_twelve_sets_have_their_facts():
    assert list(sets()) == list(SOURCE.config.__annotations__["set"].__args__)
    for name, facts in sets().items():
        names = facts["labels"]
        assert len(set(names)) == len(names)
        assert all(label == label.lower() and ";" not in label for label in names), name
        assert all(len(counts) == 3 for counts in facts["counts"])
        for label in names:
            text = medmnist._caption({label: 1}, facts).text
            assert label in text or label == "normal"
            assert "{" not in text
    sizes = {name: sum(facts["counts"][0]) for name, facts in sets().items()}
    assert sizes["pathmnist"] == 107_180
    assert sizes["chestmnist"] == 112_120
    assert sizes["dermamnist"] == 10_015
    assert sizes["tissuemnist"] == 236_386


def test_sizes_are_compared(tmp_path, monkeypatch):
    archive(tmp_path, "breastmnist")
    with pytest.raises(SourceError, match=r"\[5, 2, 3\] images .* published \[546, 78, 156\]"):
        run(SOURCE, root=tmp_path, set="breastmnist")
    monkeypatch.setitem(sets()["breastmnist"], "counts", [[1, 1, 1], [5, 2, 3]])
    records, _, _ = run(SOURCE, root=tmp_path, set="breastmnist")
    assert len(records) == 10


def test_an_unknown_class_is_refused(tmp_path):
    archive(tmp_path, "breastmnist", labels={"val_labels": np.array([[1], [9]], np.uint8)})
    records, rejects = checked(tmp_path, "breastmnist")
    assert len(records) == 9
    assert rejects == [("breastmnist.npz val 1", "class without a name")]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_turned_bit_is_found(tmp_path, save):
    archive(tmp_path, "pathmnist", colour=True, save=save)
    path = tmp_path / "pathmnist.npz"
    data = bytearray(path.read_bytes())
    data[4000] ^= 16  # among the pixels of the first array
    path.write_bytes(data)
    with pytest.raises(FileError, match="train_images"):
        checked(tmp_path, "pathmnist")


def test_wrong_files_are_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"octmnist_64\.npz is missing"):
        checked(tmp_path, "octmnist", pixels=64)
    archive(tmp_path, "octmnist", labels={"val_labels": np.zeros((2, 3), np.uint8)})
    with pytest.raises(SourceError, match="another set"):
        checked(tmp_path, "octmnist")
    (tmp_path / "octmnist.npz").write_bytes(b"no archive")
    with pytest.raises(FileError, match="download it again"):
        checked(tmp_path, "octmnist")
