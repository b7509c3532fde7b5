"""The 21 sets of the suite in their public layouts: classes, order, splits, rows that add up."""

import numpy as np
import PIL.Image
import pytest

from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.suites.layouts import LAYOUTS
from data_gen.sources.suites.reader import SETS, SOURCE

from .layouts import run, write
from .suite_layouts import write as lay_out

#: Images of a class beside those of the set, rejects and rows left out in the tiny copies.
LEFT = {
    "NCK_CRC": {"set": 2},
    "LC25000_colon": {"set": 1},
}
REFUSED = {"Osteo": ["unknown class"], "skin_cancer": ["no split"], "skin_tumor": ["no split"]}


def read(name, root, **settings):
    records, _, rejects = run(SOURCE, root=root, set=name, check_counts=False, **settings)
    check_rows(rejects, len(records))
    return records, rejects


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name, tmp_path):
    each = 1
    records, rejects = read(name, lay_out(name, tmp_path, each))
    one = SETS[name]
    assert len(records) == each * len(one.classes)
    assert {r.split for r in records.values()} == {"test"}
    assert {r.images[0].modality for r in records.values()} == {one.modality}
    # The picture of class k was drawn with the number k: the order of the classes is right.
    for record in records.values():
        assert tuple(record.labels) == one.classes
        assert sum(record.labels.values()) == 1
    positive = [[r.labels[c] for c in one.classes].index(1) for r in records.values()]
    assert sorted(positive) == sorted(list(range(len(one.classes))) * each)
    assert dict(rejects.left_out) == ({"set": 1} if name in LEFT else {})
    assert [r.kind for r in rejects] == REFUSED.get(name, [])


def test_classes_keep_their_numbers(tmp_path):
    """Class k has the picture that was drawn for spelling k, in tables, folders and names."""
    for name, spelled in {
        "CT_axial": ("test000000", "test100000"),
        "skin_cancer": ("nontumor_skin_necrosis_necrosis_0", "tumor_skin_naevus_naevus_0"),
        "NCK_CRC": ("ADI-0", "TUM-0"),
        "BACH": ("b000", "n000"),
        "PCAM": ("00_0", "01_1"),
    }.items():
        records, _ = read(name, lay_out(name, tmp_path / name, 1))
        for text, c in zip(spelled, (SETS[name].classes[0], SETS[name].classes[-1]), strict=True):
            (found,) = [r for k, r in records.items() if k.endswith(text)]
            assert found.labels[c] == 1


def test_tiff_becomes_the_same_pixels(tmp_path):
    records, _ = read("NCK_CRC", lay_out("NCK_CRC", tmp_path, 1))
    record = next(r for k, r in records.items() if "STR" in k)
    assert record.images[0].format == "png"
    assert record.provenance["notes"] == {"TIFF kept as PNG": 1}
    from medvlp_jax.data.images.decoding import decode

    there = np.asarray(PIL.Image.open(tmp_path / "CRC-VAL-HE-7K/STR/STR-0.tif"))
    np.testing.assert_array_equal(decode(record.images[0].data, "png"), there)


def test_pages_and_16_bits_are_refused(tmp_path):
    folder = tmp_path / "CRC-VAL-HE-7K"
    lay_out("NCK_CRC", tmp_path, 1)
    page = PIL.Image.new("RGB", (8, 8))
    page.save(folder / "ADI/two.tif", save_all=True, append_images=[page])
    PIL.Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "ADI/deep.tif")
    (folder / "ADI/cut.tif").write_bytes((folder / "ADI/ADI-0.tif").read_bytes()[:60])
    records, rejects = read("NCK_CRC", tmp_path)
    assert len(records) == 8
    said = {r.where: r.detail for r in rejects}
    assert "2 pages" in said["ADI/two.tif"]
    assert "8 bits" in said["ADI/deep.tif"]
    assert "ADI/cut.tif" in said


def test_splits_to_learn_from(tmp_path):
    lay_out("thyroid_us", tmp_path / "a", 2, ("train", "val", "test"))
    records, _ = read("thyroid_us", tmp_path / "a")
    counts = {
        s: sum(r.split == s for r in records.values()) for s in ("train", "validation", "test")
    }
    assert counts == {"train": 4, "validation": 4, "test": 4}
    lay_out("dr_regular", tmp_path / "b", 1, ("train", "val", "test"))
    assert {r.split for r in read("dr_regular", tmp_path / "b")[0].values()} == set(counts)
    lay_out("LC25000_lung", tmp_path / "c", 20)
    fractions = {"train": 0.5, "validation": 0.2, "test": 0.3}
    records, _ = read("LC25000_lung", tmp_path / "c", split_fractions=fractions)
    assert {r.split for r in records.values()} == set(fractions)


def test_a_missing_class_and_a_missing_table_are_named(tmp_path):
    lay_out("acl_mri", tmp_path, 2)
    write(tmp_path / "test_fold1.csv", "img_dir,label\nimages/test_no_0.png,no\ngone.png,maybe\n")
    records, rejects = read("acl_mri", tmp_path)
    assert len(records) == 1
    assert [(r.kind, r.where) for r in rejects] == [("unknown class", "test_fold1.csv row 3")]
    assert any("no image of 1 of its classes: acl tear (as yes)" in n for n in rejects.notes)
    with pytest.raises(SourceError, match=r"no breast_test_fold1\.csv, by which breast_us"):
        read("breast_us", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'acl_mri'"):
        SOURCE.config(root=str(tmp_path), set="acl_mr")


def test_own_columns(tmp_path):
    lay_out("rsna_pneumonia", tmp_path, 1)
    write(tmp_path / "mine.csv", "kind,where\n1,p10.png\n0.0,p00.png\n")
    records, _ = read("rsna_pneumonia", tmp_path, table="mine.csv", image="where", label="kind")
    assert {k: r.labels["pneumonia"] for k, r in records.items()} == {"test/p10": 1, "test/p00": 0}


def test_sizes_are_held_against_the_published_ones(tmp_path):
    config = SOURCE.config(root=str(lay_out("refuge_retina", tmp_path, 2)), set="refuge_retina")
    lines = check_counts(SOURCE, config, listed(SOURCE, config, Rejects()))
    assert "refuge_retina, test: 4 records, published 400" in lines
    assert "refuge_retina, test: 2 records with glaucoma, published 40" in lines
