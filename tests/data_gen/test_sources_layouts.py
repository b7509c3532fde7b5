"""Tiny copies of CheXpert, MIMIC-CXR-JPG, NIH ChestX-ray14 and OpenI with their true oddities."""

import gzip

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from data_gen.sources import chexpert, mimic_cxr, nih, openi
from data_gen.sources.base import Rejects, SourceError
from data_gen.sources.labels import CHEXPERT
from data_gen.sources.report_text import report_texts, sections
from medvlp_jax.data.records import Box


def image_file(path, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 99, np.uint8))


def run(source, **settings):
    rejects = Rejects()
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, [(r.where, r.kind) for r in rejects]


# CheXpert


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
        "val/patient64541/study1",
        "test/patient64741/study1",
    ]
    study = records["train/patient00001/study1"]
    assert [i.view for i in study.images] == ["AP", "LATERAL"]
    assert study.labels == {"edema": 1, "cardiomegaly": 0, "pleural effusion": -1}
    assert (study.patient_id, study.split) == ("patient00001", "train")
    assert study.provenance["sex"] == "Female"
    assert records["val/patient64541/study1"].labels == {}
    assert records["test/patient64741/study1"].labels["lung opacity"] == 1
    assert rejects == [("train.csv row 4", "bad label"), ("train.csv row 5", "missing image")]


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


# MIMIC-CXR-JPG

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
    assert records["s50000003"].split == "val"
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
    with pytest.raises(SourceError, match=r"metadata\.csv\.gz is damaged after row .*again"):
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


# NIH ChestX-ray14

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
    from data_gen.sources.tables import Table

    table = Table(nih_root / "Data_Entry_2017_v2020.csv", Rejects())
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


# OpenI

OPENI = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
<uId id="CXR{n}"/>
<MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">{indication}</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
{more}
</Abstract></Article></MedlineCitation>
<MeSH>{mesh}</MeSH>
{images}
</eCitation>
"""


def openi_report(root, n, mesh, images, findings="", impression="", more="", indication=""):
    folder = root / "NLMCXR_reports" / "ecgen-radiology"
    folder.mkdir(parents=True, exist_ok=True)
    tags = "".join(f'<parentImage id="{i}"><caption>x</caption></parentImage>' for i in images)
    codes = "".join(f"<major>{m}</major>" for m in mesh)
    text = OPENI.format(
        n=n,
        findings=findings,
        impression=impression,
        more=more,
        indication=indication,
        mesh=codes,
        images=tags,
    )
    (folder / f"{n}.xml").write_text(text)


def dicom_file(path):
    path.parent.mkdir(parents=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID
    data.Rows, data.Columns, data.SamplesPerPixel = 12, 16, 1
    data.PhotometricInterpretation = "MONOCHROME1"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = np.arange(192, dtype=np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def openi_root(tmp_path):
    openi_report(
        tmp_path,
        1,
        ["normal"],
        ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"],
        "The cardiac silhouette is normal.  XXXX XXXX are clear.",
        "Normal chest &lt;x-XXXX&gt;.",
        '<AbstractText Label="IMPRESSION">Second impression.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Second impression.</AbstractText>',
        "Positive TB test",
    )
    openi_report(
        tmp_path,
        2,
        ["Cardiomegaly/borderline", "Pulmonary Atelectasis/base/left", "Calcinosis"],
        ["CXR2_IM-0652-1001"],
        findings="XXXX.",
        impression="Borderline heart size.",
    )
    openi_report(tmp_path, 3, ["No Indexing"], ["CXR3_3_IM-1384-1001"], impression="Unclear.")
    openi_report(tmp_path, 4, ["normal"], [], impression="A report without images.")
    openi_report(tmp_path, 5, ["normal"], ["CXR5_1_IM-2117-1003"], impression="Gone image.")
    openi_report(tmp_path, 10, ["normal"], ["CXR10_10_IM-1-1"], impression="x")
    (tmp_path / "NLMCXR_reports" / "ecgen-radiology" / "10.xml").write_text("<eCitation><uId")
    image_file(tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png")
    image_file(tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-4001.png")
    image_file(tmp_path / "NLMCXR_png" / "CXR2_IM-0652-1001.png")
    dicom_file(tmp_path / "NLMCXR_dcm" / "3" / "3_IM-1384-1001.dcm")
    return tmp_path


def test_openi(openi_root):
    records, rejects = run(openi.SOURCE, root=str(openi_root))
    assert list(records) == ["CXR1", "CXR2", "CXR3"]
    first = records["CXR1"]
    assert len(first.images) == 2
    assert [(t.section, t.text) for t in first.texts] == [
        ("findings", "The cardiac silhouette is normal. XXXX XXXX are clear."),
        ("impression", "Normal chest <x-XXXX>."),
        ("impression", "Second impression."),
        ("indication", "Positive TB test"),
    ]
    assert {k for k, v in first.labels.items() if v} == {"no finding"}
    second = records["CXR2"]
    assert [t.section for t in second.texts] == ["impression"]
    assert {k for k, v in second.labels.items() if v} == {"cardiomegaly", "atelectasis"}
    assert second.labels["pneumothorax"] == 0
    assert second.provenance["mesh"][2] == "Calcinosis"
    third = records["CXR3"]
    assert third.labels == {}
    assert (third.images[0].format, third.images[0].width, third.images[0].height) == (
        "dicom",
        16,
        12,
    )
    assert sorted(rejects) == [
        ("10.xml", "unreadable report"),
        ("4.xml", "no image"),
        ("5.xml", "missing image"),
    ]


@pytest.mark.parametrize(
    "view_table",
    [
        "imageid,tsne-view\nCXR1_1_IM-0001-3001,PA\nCXR1_1_IM-0001-4001,L\n",
        "uid,filename,projection\n1,1_IM-0001-3001.dcm.png,PA\n1,1_IM-0001-4001.dcm.png,Lateral\n",
    ],
)
def test_openi_views_from_a_table(openi_root, view_table):
    path = openi_root / "views.csv"
    path.write_text(view_table)
    records, _ = run(openi.SOURCE, root=str(openi_root), view_table=str(path))
    assert [i.view for i in records["CXR1"].images] == ["PA", "LATERAL"]
    frontal, _ = run(
        openi.SOURCE, root=str(openi_root), view_table=str(path), views=("PA", "AP", "FRONTAL")
    )
    assert len(frontal["CXR1"].images) == 1
    path.write_text("image,view\n")
    with pytest.raises(SourceError, match="no column 'imageid'"):
        run(openi.SOURCE, root=str(openi_root), view_table=str(path))


def test_openi_elsewhere(tmp_path):
    with pytest.raises(SourceError, match="ecgen-radiology"):
        run(openi.SOURCE, root=str(tmp_path))
