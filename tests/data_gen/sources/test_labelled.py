"""RadImageNet and the fundus collections in their layouts, down to the captions of their labels."""

import itertools

import pytest

from data_gen.pipelines.captions import gate, grammar
from data_gen.pipelines.captions.lexicon import lexicon
from data_gen.pipelines.captions.subject import radimagenet_keys, shipped
from data_gen.sources import run_import
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.labelled import fundus, radimagenet
from data_gen.sources.labelled.fundus_words import Words, facts
from medvlp_jax.data.store.dataset import open_dataset

from .layouts import image_file, run, write

FOLDERS = {"MRI photo": "MR", "CT scan": "CT", "ultrasound image": "US"}


def checked(source, root, **settings):
    records, places, rejects = run(source, root=root, **settings)
    check_rows(rejects, rejects.rows - rejects.refused - rejects.left_out.total())
    return records, places, rejects


def published():
    """``{path below radiology_ai: key}`` of the published keys, in the folders of the release."""
    paths = {}
    for modality, anatomy, label in radimagenet_keys():
        folder = label.replace(" ", "_") + "_" * (label == "liver disease")  # as it is released
        inner = anatomy if modality == "ultrasound image" else f"{anatomy}/{folder}"
        path = f"{FOLDERS[modality]}/{inner}/{anatomy}{len(paths):06d}.png"
        paths[path] = (modality, anatomy, label)
    return paths


def test_radimagenet_folders_give_the_165_keys_of_the_captions(tmp_path):
    paths = published()
    assert len(paths) == 165
    for path in paths:
        image_file(tmp_path / "radiology_ai" / path, size=8)
    records, rejects, said = checked(radimagenet.SOURCE, tmp_path)
    assert (len(records), rejects) == (165, [])
    assert any("no patient is known" in note for note in said.notes)
    read = shipped().read
    for path, key in paths.items():
        record = records[path.removesuffix(".png")]
        (label,) = record.labels
        found = read(record.images[0].modality, record.provenance["anatomy"], label)
        wanted = read(*key)
        for field in ("modality", "place", "kind", "names", "doubt"):
            assert getattr(found, field) == getattr(wanted, field), (path, field)
    image_file(tmp_path / "radiology_ai" / "XR" / "chest" / "normal" / "a.png", size=8)
    records, rejects, _ = checked(radimagenet.SOURCE, tmp_path)
    assert (len(records), rejects) == (165, [("XR/chest/normal/a.png", "unknown modality")])
    config = radimagenet.SOURCE.config(root=str(tmp_path))
    lines = check_counts(radimagenet.SOURCE, config, listed(radimagenet.SOURCE, config, Rejects()))
    assert lines == ("the whole set: 165 records, published 1,350,000",)


def test_radimagenet_lists_are_its_split(tmp_path):
    for name in ("MR/knee/fracture/a.png", "CT/lung/Nodule/b.png", "US/gb/c.png"):
        image_file(tmp_path / "radiology_ai" / name)
    rows = "filename,label\nradiology_ai/{},x\n"
    lines = "radiology_ai/MR/knee/fracture/gone.png,x\n,x\nradiology_ai/MR/knee/d.png,x\n"
    write(tmp_path / "RadiologyAI_train.csv", rows.format("MR/knee/fracture/a.png") + lines)
    write(tmp_path / "RadiologyAI_val.csv", rows.format("CT/lung/Nodule/b.png"))
    write(tmp_path / "RadiologyAI_test.csv", rows.format("US/gb/c.png"))
    report = run_import("radimagenet", {"root": str(tmp_path)}, tmp_path / "out", progress=False)
    assert report.rows == {"read": 6, "in records": 3, "refused": 3}
    assert report.rejected == {"bad row": 1, "missing image": 1, "no image": 1}
    assert report.split == "official"
    assert any("train: 2 records, published 1,049,000" in line for line in report.warnings)
    assert not any("no patient" in note for note in report.notes)
    (test,) = open_dataset(tmp_path / "out", "test")
    assert (test.labels, test.images[0].modality) == ({"gb": 1}, "ultrasound")
    assert test.provenance["anatomy"] == "gb"


def test_radimagenet_takes_labels_of_a_table(tmp_path):
    for name in "abc":
        image_file(tmp_path / f"images/MR/{name}.png")
    rows = [
        "file,where,what,who,part",
        "MR/a.png,abd,abd-liver_lesion,1,val",
        "b.png,af,normal,2,x",
    ]
    write(tmp_path / "mine.csv", "\n".join([*rows, "MR/c.png,,normal,3,test"]) + "\n")
    how = {"table": "mine.csv", "image": "file", "labels": "table", "label": "what"}
    how |= {"anatomy": "where", "patient": "who", "split": "part"}
    records, rejects, _ = checked(radimagenet.SOURCE, tmp_path, **how)
    (record,) = records.values()
    assert (record.labels, record.provenance["anatomy"]) == ({"liver lesion": 1}, "abd")
    assert (record.split, record.patient_id) == ("validation", "1")
    assert rejects == [("mine.csv row 3", "bad row"), ("mine.csv row 4", "bad row")]
    with pytest.raises(SourceError, match=r"config\.labels='table'"):
        checked(radimagenet.SOURCE, tmp_path, labels="table")
    with pytest.raises(SourceError, match="no folder MR, CT or US"):
        checked(radimagenet.SOURCE, tmp_path, images="elsewhere")


def table(*rows):
    head = ",image,atributes,categories"
    return "\n".join([head, *(f'{i},{image},[],"{told}"' for i, (image, told) in enumerate(rows))])


def collections(root):
    """Four collections, one of them of sentences; their folders are spelled as copies have them."""
    edema = "no referable diabetic macular edema"
    write(
        root / "03_IDRID.csv",
        table(
            ("03_IDRiD/B/1.jpg", f"['moderate diabetic retinopathy', {edema!r}]"),
            ("03_IDRiD/A/2.jpg", "['haemorrhages', 'soft exudates', 'a sixth toe']"),
            ("03_IDRiD/A/3.jpg", "['a sixth toe']"),
            ("03_IDRiD/A/4.jpg", "['ungradable']"),
            ("03_IDRiD/A/5.jpg", "['']"),
            ("03_IDRiD/A/6.jpg", "['glaucoma'"),
            ("03_IDRiD/A/7.jpg", "['mild diabetic retinopathy', 'no diabetic retinopathy']"),
        ),
    )  # fmt: skip
    write(
        root / "08_ODIR.csv",
        table(
            ("08_ODIR-5K/1_left.jpg", "['suspected glaucoma，drusen']"),
            ("08_ODIR-5K/1_right.jpg", "['normal fundus']"),
        ),
    )
    write(root / "18_DRIONS-DB.csv", table(("18_DRIONS-DB/1.jpg", "['no cataract', 'a disease']")))
    told = "['macular hole', '43-year-old female, macular hole,']"
    write(
        root / "06_DEN.csv", table(("06_DEN/1.jpg", told), ("06_DEN/2.jpg", "['oct of a scar.']"))
    )
    for name in ("B/1", "A/2", "A/3", "A/4", "A/5", "A/6", "A/7"):
        image_file(root / f"03_IDRID/{name}.jpg")
    for name in (
        "08_ODIR-5K/1_left",
        "08_ODIR-5K/1_right",
        "18_DRIONS-DB/1",
        "06_DEN/1",
        "06_DEN/2",
    ):
        image_file(root / f"{name}.jpg")


def test_fundus_collections(tmp_path):
    collections(tmp_path)
    report = run_import("fundus", {"root": str(tmp_path)}, tmp_path / "out", progress=False)
    assert report.rows == {"read": 10, "in records": 5, "refused": 5}
    assert report.rejected == {
        "bad row": 2, "unknown category": 1, "ungradable": 1, "no category": 1
    }  # fmt: skip
    notes = " ".join(report.notes)
    assert "1 categories are not known and became no label: 'a sixth toe' (2)" in notes
    assert "1 tables are not in config.collections: 06_DEN.csv" in notes
    assert "23 collections have no table here: 04_RFMid" in notes
    assert "2 collections name no patients" in notes
    records = {r.id: r for split in report.records for r in open_dataset(tmp_path / "out", split)}
    graded = records["03_IDRiD/B/1.jpg"]
    assert graded.labels == {
        "moderate nonproliferative diabetic retinopathy": 1,
        "diabetic retinopathy": 1,
        "referable diabetic macular edema": 0,
    }
    (text,) = graded.texts
    assert text.text == (
        "A color fundus photograph with moderate nonproliferative diabetic retinopathy, without "
        "referable diabetic macular edema."
    )
    assert (text.section, text.source) == ("caption", "labels")
    assert text.labels == ("moderate nonproliferative diabetic retinopathy",)
    assert graded.images[0].modality == "fundus"
    assert graded.provenance["anatomy"] == "retina"
    left, right = (records[f"08_ODIR-5K/1_{side}.jpg"] for side in ("left", "right"))
    assert left.labels == {"glaucoma": -1, "drusen": 1}
    assert left.texts[0].text == "A color fundus photograph with drusen."
    assert (right.labels, right.texts[0].text) == (
        {"no finding": 1}, "A normal color fundus photograph."
    )  # fmt: skip
    assert left.split == right.split
    assert left.patient_id == right.patient_id == "08_ODIR-5K/1"
    other = records["18_DRIONS-DB/1.jpg"]
    assert (other.labels, other.texts[0].text) == (
        {"cataract": 0}, "A color fundus photograph without cataract."
    )  # fmt: skip


def test_fundus_settings(tmp_path):
    collections(tmp_path)
    records, _, _ = checked(fundus.SOURCE, tmp_path, collections=("06_DEN",))
    first, second = records.values()
    assert first.texts[0].text == "Macular hole. 43-year-old female, macular hole."
    assert (first.texts[0].source, first.labels) == ("publication", {})
    assert [r.images[0].modality for r in (first, second)] == ["fundus", "other"]
    named, _, _ = checked(
        fundus.SOURCE, tmp_path, collections=("03_IDRID",), names={"a sixth toe": "Polydactyly"}
    )
    assert named["03_IDRiD/A/3.jpg"].labels == {"polydactyly": 1}
    with pytest.raises(ValueError, match="03_IDRID"):
        fundus.FundusConfig(root="x", collections=("03_IDRIDD",))
    for config in (fundus.FundusConfig, radimagenet.RadImageNetConfig):  # "The radiograph shows"
        with pytest.raises(ValueError, match="texts_from_labels"):
            config(root="x", texts_from_labels=True)
    write(tmp_path / "03_IDRID_revised.csv", table())
    with pytest.raises(SourceError, match="both tables of 03_IDRID"):
        checked(fundus.SOURCE, tmp_path)
    with pytest.raises(SourceError, match=r"no table of .*config\.tables"):
        checked(fundus.SOURCE, tmp_path, collections=("04_RFMid",))


def test_fundus_words_are_read_one_way_and_get_captions():
    """No spelling stands for two labels, and of every label the gate keeps ten captions."""
    seen = {}
    for label, entry in facts()["labels"].items():
        assert entry.get("implies", label) in facts()["labels"]
        for word in (label, *entry.get("spelled", ()), *entry.get("absent", ())):
            assert seen.setdefault(word, label) == label
    words = Words({})
    for label in (*facts()["labels"], "no finding"):
        assert words.read([label]).labels[label] == 1
        subject = shipped().read("fundus", "retina", label)
        kept = (t for t in grammar.write(subject, 30) if not gate.faults(subject, t, lexicon()))
        assert len(list(itertools.islice(kept, 10))) == 10, label
    for code in ("HR", "MH"):  # two meanings each
        assert words.read([code]).unknown == (code,)
