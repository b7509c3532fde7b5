"""A tiny copy of MIMIC-CXR-JPG with reports: gzipped tables, repeated and missing sections."""

import gzip

import cv2
import numpy as np
import pytest

from data_gen.sources import mimic_cxr
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.labels import CHEXPERT
from data_gen.sources.importing.report_text import report_texts, sections
from data_gen.sources.importing.source import check_counts, listed


def image_file(path, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 99, np.uint8))


def run(source, **settings):
    rejects = Rejects()
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, [(r.where, r.kind) for r in rejects]


REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 
 INDICATION:  ___F with new onset ascites  // eval for infection
 
 COMPARISON:  None.
 
 FINDINGS: 
 
 This line is replaced by a later section of the same name.
 
 FINDINGS: 
 
 There is no focal consolidation, pleural effusion
 or pneumothorax.
 
 IMPRESSION: 
 
 No acute process.
"""
PLAIN = """                                 FINAL REPORT
 AP CHEST, 4:40 A.M., ___.
 
 HISTORY:  Hypoxia.
 
 The lungs are clear. Heart size is normal.
"""
STUDIES = {  # study: (subject, split, report)
    "50000001": ("10000032", "train", REPORT),
    "50000002": ("10000032", "train", PLAIN),
    "50000003": ("11000048", "validate", " IMPRESSION: \n \n As above.\n"),
    "50000004": ("12000011", "test", REPORT),
    "50000005": ("12000011", "test", None),
}


def gz(path, text):
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def mimic_root(tmp_path):
    metadata, split, labels = [], [], []
    views = {"50000001": ("PA", "LL"), "50000002": ("AP",)}
    for study, (subject, part, report) in STUDIES.items():
        folder = tmp_path / "files" / f"p{subject[:2]}" / f"p{subject}"
        for i, view in enumerate(views.get(study, ("PA",))):
            dicom = f"{study}-{i}"
            metadata.append(f'{dicom},{subject},{study},"CHEST (PA, LAT)",{view},2500,3000')
            if study != "50000004":
                split.append(f"{dicom},{study},{subject},{part}")
            image_file(folder / f"s{study}" / f"{dicom}.jpg")
        if report is not None:
            (folder / f"s{study}.txt").write_text(report)
        cells = ["-1.0", "0.0", "1.0", *[""] * 11] if study != "50000002" else [""] * 14
        labels.append(f"{subject},{study}," + ",".join(cells))
    split.append("50000004-0,50000004,12000011,test")
    gz(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns\n"
        + "\n".join(metadata),
    )
    gz(
        tmp_path / "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,study_id,subject_id,split\n" + "\n".join(split),
    )
    gz(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz",
        "subject_id,study_id," + ",".join(sorted(CHEXPERT)) + "\n" + "\n".join(labels),
    )
    return tmp_path


def test_mimic(mimic_root):
    records, rejects = run(mimic_cxr.SOURCE, root=str(mimic_root))
    assert list(records) == ["s50000001", "s50000002", "s50000004"]
    first = records["s50000001"]
    assert [i.view for i in first.images] == ["PA", "LATERAL"]
    assert [(t.section, t.text) for t in first.texts] == [
        (
            "findings",
            "There is no focal consolidation, pleural effusion or pneumothorax.",
        ),
        ("impression", "No acute process."),
        ("indication", "___F with new onset ascites // eval for infection"),
    ]
    # columns are found by name: here they stand in alphabetical order
    assert first.labels == {"atelectasis": -1, "cardiomegaly": 0, "consolidation": 1}
    assert (first.patient_id, first.split) == ("p10000032", "train")
    plain = records["s50000002"]
    assert plain.texts[0].section == "report"
    assert plain.texts[0].text == "The lungs are clear. Heart size is normal."
    assert plain.labels == {}
    assert records["s50000004"].split == "test"
    assert sorted(rejects) == [
        ("mimic-cxr-2.0.0-metadata.csv.gz row 5", "no text"),
        ("mimic-cxr-2.0.0-metadata.csv.gz row 7", "missing report"),
        ("mimic-cxr-2.0.0-metadata.csv.gz row 7", "no text"),
    ]


def test_mimic_labels_of_radiologists_and_images_without_reports(mimic_root):
    (mimic_root / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text(
        "study_id," + ",".join(CHEXPERT) + "\n50000004" + ",0" * 13 + ",1\n"
    )
    records, _ = run(mimic_cxr.SOURCE, root=str(mimic_root), text_required=False, views=("PA",))
    assert set(records) == {"s50000001", "s50000003", "s50000004", "s50000005"}
    assert records["s50000003"].split == "validation"
    test = records["s50000004"]
    assert test.labels["support devices"] == 1
    assert sum(test.labels.values()) == 1
    assert test.provenance["labels"] == "mimic-cxr-2.1.0-test-set-labeled.csv"
    assert records["s50000001"].provenance["labels"] == "mimic-cxr-2.0.0-chexpert.csv.gz"


def test_mimic_image_outside_the_split_table_and_reports_elsewhere(mimic_root, tmp_path):
    reports = tmp_path / "reports" / "files" / "p10" / "p10000032"
    reports.mkdir(parents=True)
    (reports / "s50000002.txt").write_text(" IMPRESSION: \n \n Small left effusion.\n")
    split = mimic_root / "mimic-cxr-2.0.0-split.csv.gz"
    text = gzip.decompress(split.read_bytes()).decode()
    gz(split, "\n".join(line for line in text.split("\n") if "50000003" not in line))
    records, rejects = run(
        mimic_cxr.SOURCE, root=str(mimic_root), reports=str(tmp_path / "reports")
    )
    assert [t.text for t in records["s50000002"].texts] == ["Small left effusion."]
    assert ("mimic-cxr-2.0.0-metadata.csv.gz row 5", "no split") in rejects


def test_mimic_damaged_download(mimic_root):
    path = mimic_root / "mimic-cxr-2.0.0-metadata.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(
        SourceError, match=r"metadata\.csv\.gz cannot be read .*; download it again"
    ):
        run(mimic_cxr.SOURCE, root=str(mimic_root))
    path.unlink()
    with pytest.raises(SourceError, match="no metadata table"):
        run(mimic_cxr.SOURCE, root=str(mimic_root))


def test_sections_of_reports():
    found = sections(REPORT)
    assert found["comparison"] == "None."
    assert found["preamble"] == "FINAL REPORT"
    assert found["last_paragraph"] == "No acute process."
    assert report_texts("") == ()
    assert report_texts(" IMPRESSION: \n \n ___ ___ ___.\n") == ()
    short = " FINDINGS: \n \n Clear lungs, normal heart.\n \n IMPRESSION: \n \n Normal.\n"
    assert [t.section for t in report_texts(short)] == ["findings"]
    windows = REPORT.replace("\n", "\r\n")
    assert sections(windows) == found


def test_patients_of_ms_cxr_are_not_trained_on(mimic_root):
    rows = "category_name,label_text,path,dicom_id\nEdema,x,files/a.jpg,50000002-0\n"
    (mimic_root / "ms_cxr.csv").write_text(rows)
    records, rejects = run(mimic_cxr.SOURCE, root=str(mimic_root), held_out="ms_cxr.csv")
    assert list(records) == ["s50000004"]  # the other study of that patient is out too
    assert [kind for _, kind in rejects].count("patient held out") == 2
    (mimic_root / "ms_cxr.csv").write_text("dicom_id\nzzz\n")
    with pytest.raises(SourceError, match=r"held_out: no image of .*ms_cxr\.csv is in"):
        run(mimic_cxr.SOURCE, root=str(mimic_root), held_out="ms_cxr.csv")


def test_size_of_the_release_and_its_split(mimic_root):
    config = mimic_cxr.SOURCE.config(root=str(mimic_root))
    items = listed(mimic_cxr.SOURCE, config, Rejects())
    assert {i.provenance["split_name"] for i in items} == {"official"}
    warnings = check_counts(mimic_cxr.SOURCE, config, items)
    assert warnings == ("the whole set: 6 images, published 377,110",)


def test_mimic_tables_that_contradict_themselves(mimic_root):
    def change(table, old, new):
        path = mimic_root / f"mimic-cxr-2.0.0-{table}.csv.gz"
        text = gzip.decompress(path.read_bytes()).decode()
        assert old in text
        gz(path, text.replace(old, new))

    one = "50000001-0,10000032,50000001"
    change("metadata", one, "50000001-0,10000032.0,50000001.0")
    lateral = '50000001-1,10000032,50000001,"CHEST (PA, LAT)",LL,2500,3000\n'
    more = lateral + lateral.replace("10000032", "10000033").replace("-1,", "-9,")
    change("metadata", lateral, lateral + more)
    change("metadata", "12000011,50000004", "12000011,5.0000004e7")
    zero, train = "50000002-0,50000002,10000032,train\n", "50000001-9,50000001,10000033,train\n"
    change("split", zero, zero + zero.replace("train", "test") + zero + train)
    labels = "10000032,50000001,-1.0,0.0,1.0" + "," * 11
    change("chexpert", labels, f"10000032,50000001.0,1.0,0.0,{',' * 11}\n{labels}")
    rejects = Rejects()
    config = mimic_cxr.SOURCE.config(root=str(mimic_root))
    (record,) = mimic_cxr.SOURCE.records(config, rejects)
    assert (record.id, record.patient_id, record.split) == ("s50000001", "p10000032", "train")
    assert [i.view for i in record.images] == ["PA", "LATERAL"]
    assert record.labels == {"atelectasis": 1, "cardiomegaly": 0, "consolidation": 1}
    kinds = [(r.where.rpartition(" ")[2], r.kind) for r in rejects][:4]
    assert kinds == [
        ("4", "duplicate id"),
        ("5", "bad row"),
        ("6", "listed in two splits"),
        ("8", "bad row"),
    ]
    assert any("1 labels differ" in note for note in rejects.notes)
