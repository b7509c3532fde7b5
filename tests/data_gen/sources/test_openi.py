"""A tiny copy of OpenI: XML reports, PNG and DICOM images, views from another table."""

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from data_gen.sources import openi
from data_gen.sources.importing.base import Rejects, SourceError


def image_file(path, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 99, np.uint8))


def run(source, **settings):
    rejects = Rejects()
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, [(r.where, r.kind) for r in rejects]


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


def test_copy_of_kaggle(tmp_path):
    reports = [
        "uid,MeSH,Problems,image,indication,comparison,findings,impression",
        '1,normal,normal,Xray PA,cough,None.,"Heart is normal.\nLungs are clear.",Normal chest.',
        "2,Cardiomegaly/mild;Pulmonary Edema,x,Xray,XXXX,,XXXX.,Mild edema.",
        "3,normal,normal,,,,Clear.,",
        "4,normal,normal,,,,Clear lungs.,",
    ]
    projections = [
        "uid,filename,projection",
        "1,1_IM-0001-4001.dcm.png,Frontal",
        "1,1_IM-0001-3001.dcm.png,Lateral",
        "2,2_IM-0652-1001.dcm.png,Frontal",
        "4,4_IM-1111-1001.dcm.png,Frontal",
    ]
    (tmp_path / "indiana_reports.csv").write_text("\n".join(reports) + "\n")
    (tmp_path / "indiana_projections.csv").write_text("\n".join(projections) + "\n")
    for line in projections[1:4]:
        image_file(tmp_path / "images" / "images_normalized" / line.split(",")[1])
    records, rejects = run(openi.SOURCE, root=str(tmp_path))
    assert list(records) == ["CXR1", "CXR2"]
    one, two = records.values()
    assert [i.view for i in one.images] == ["FRONTAL", "LATERAL"]
    assert [(t.section, t.text) for t in one.texts] == [
        ("findings", "Heart is normal. Lungs are clear."),
        ("impression", "Normal chest."),
        ("indication", "cough"),
    ]
    assert one.labels["no finding"] == 1
    assert [(t.section, t.text) for t in two.texts] == [("impression", "Mild edema.")]
    assert {k for k, v in two.labels.items() if v} == {"cardiomegaly", "edema"}
    assert rejects == [
        ("indiana_reports.csv row 4, line 5", "no image"),
        ("indiana_reports.csv row 5, line 6", "missing image"),
    ]
    frontal, _ = run(openi.SOURCE, root=str(tmp_path), views=("PA", "AP"))
    assert [len(r.images) for r in frontal.values()] == [1, 1]
