"""Small data sets in the layout of every importer, with their tables as text to be damaged."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import cv2
import numpy as np

from data_gen.sources.importing.base import Rejects
from data_gen.sources.importing.labels import CHEXPERT
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.source import listed, load
from data_gen.sources.registry import SOURCES
from medvlp_jax.core.config import parse

ROWS = 8
TEXTS = [
    "Small effusion, left.",
    "Heart size is normal.",
    "Kein Pleuraerguß, Größe normal.",
    "No acute process",
    "Tube tip 5 cm above carina, unchanged",
    "Señal de neumonía",
    "Lungs are clear",
    "Opacity, right; follow up",
]
PNG = cv2.imencode(".png", np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)[1].tobytes()


@dataclasses.dataclass(frozen=True)
class Layout:
    """``tables``: file -> text; ``images``: files that the rows name; ``rows``: of records."""

    source: str
    tables: dict[str, str]
    images: list[str]
    settings: dict = dataclasses.field(default_factory=dict)
    rows: int = ROWS
    cells: str = ","  # what cuts them; "" where the file is no table


def _csv(*rows: tuple) -> str:
    def cell(value: object) -> str:
        text = str(value)
        quoted = any(c in text for c in ',"\n')
        return '"' + text.replace('"', '""') + '"' if quoted else text

    return "".join(",".join(map(cell, row)) + "\n" for row in rows)


def _plain(texts: list[str]) -> Layout:
    rows = [(f"img{i:04d}.png", f"pat{i}", t, i % 2, i * 7) for i, t in enumerate(texts)]
    table = _csv(("path", "patient", "findings", "edema", "age"), *rows)
    settings = {
        "csv": "t.csv",
        "patient": "patient",
        "texts": {"findings": "findings"},
        "labels": {"columns": {"edema": ""}},
        "keep": ["age"],
    }
    return Layout("csv", {"t.csv": table}, [row[0] for row in rows], settings)


def csv_texts() -> Layout:
    return _plain(TEXTS)


def csv_reports() -> Layout:
    """Reports of several lines, one of which looks much like a row."""
    return _plain([f"FINDINGS:\n{t}\n\nIMPRESSION: {i}, a, b, {i}" for i, t in enumerate(TEXTS)])


def chexpert() -> Layout:
    names = [f"patient{i // 2:05d}/study{i % 2 + 1}/view1_frontal.jpg" for i in range(ROWS)]
    values = ["1.0", "0.0", "-1.0", ""] * 4
    rows = [
        (f"CheXpert-v1.0/train/{n}", "Male", 50 + i, "Frontal", "AP", *values[i % 4 :][:14])
        for i, n in enumerate(names)
    ]
    rows = [row + ("",) * (19 - len(row)) for row in rows]
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT)
    return Layout(
        "chexpert",
        {"train.csv": _csv(header, *rows), "valid.csv": _csv(header)},
        [f"train/{n}" for n in names],
    )


def mimic_cxr() -> Layout:
    ids = [(f"{i:08x}-0a1b2c3d-{i:08x}", 10000000 + i, 50000000 + i) for i in range(ROWS)]
    metadata = _csv(
        ("dicom_id", "subject_id", "study_id", "ViewPosition"), *[(*k, "PA") for k in ids]
    )
    split = _csv(
        ("dicom_id", "study_id", "subject_id", "split"),
        *[(d, s, p, ("train", "validate", "test")[p % 3]) for d, p, s in ids],
    )
    labels = _csv(
        ("subject_id", "study_id", *CHEXPERT), *[(p, s, "1.0", *("",) * 13) for _, p, s in ids]
    )
    folders = [f"files/p10/p{p}/s{s}" for _, p, s in ids]
    return Layout(
        "mimic_cxr",
        {
            "mimic-cxr-2.0.0-metadata.csv": metadata,
            "mimic-cxr-2.0.0-split.csv": split,
            "mimic-cxr-2.0.0-chexpert.csv": labels,
        },
        [f"{f}/{k[0]}.jpg" for f, k in zip(folders, ids, strict=True)],
        {"text_required": False},
    )


def nih() -> Layout:
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    )
    images = [f"{i:08d}_000.png" for i in range(1, ROWS + 1)]
    rows = [
        (n, "Mass|Nodule", 0, i, 57, "M", "PA", 2682, 2749, 0.143, 0.143)
        for i, n in enumerate(images)
    ]
    boxes = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    return Layout(
        "nih",
        {
            "Data_Entry_2017_v2020.csv": header + _csv(*rows),
            "BBox_List_2017.csv": boxes + _csv((images[0], "Mass", 1, 2, 300, 400, "", "", "")),
            "train_val_list.txt": "\n".join(images[:6]) + "\n",
            "test_list.txt": "\n".join(images[6:]),
        },
        [f"images/{n}" for n in images],
    )


def openi() -> Layout:
    header = (
        "uid",
        "MeSH",
        "Problems",
        "image",
        "indication",
        "comparison",
        "findings",
        "impression",
    )
    reports = _csv(
        header,
        *[(i, "normal", "normal", "Xray", "cough", "", t, "Clear.") for i, t in enumerate(TEXTS)],
    )
    names = [f"{i}_IM-0001-4001.dcm.png" for i in range(ROWS)]
    projections = _csv(
        ("uid", "filename", "projection"), *[(i, n, "Frontal") for i, n in enumerate(names)]
    )
    return Layout(
        "openi", {"indiana_reports.csv": reports, "indiana_projections.csv": projections}, names
    )


def openi_xml() -> Layout:
    body = (
        '<eCitation><uId id="CXR{0}"/><AbstractText Label="FINDINGS">{1}</AbstractText>'
        '<MeSH><major>normal</major></MeSH><parentImage id="CXR{0}_IM-1"/></eCitation>'
    )
    return Layout(
        "openi",
        {f"ecgen-radiology/{i}.xml": body.format(i, t) for i, t in enumerate(TEXTS)},
        [f"CXR{i}_IM-1.png" for i in range(ROWS)],
        cells="",
    )


def rsna() -> Layout:
    ids = [f"{i:04d}abcd-{i}" for i in range(ROWS)]
    rows = [(n, 9.5, 1, 30, 40, 1) if i % 2 else (n, "", "", "", "", 0) for i, n in enumerate(ids)]
    classes = [(n, "Lung Opacity" if i % 2 else "Normal") for i, n in enumerate(ids)]
    return Layout(
        "rsna",
        {
            "stage_2_train_labels.csv": _csv(
                ("patientId", "x", "y", "width", "height", "Target"), *rows
            ),
            "stage_2_detailed_class_info.csv": _csv(("patientId", "class"), *classes),
        },
        [f"stage_2_train_images/{n}.dcm" for n in ids],
    )


def siim() -> Layout:
    ids = [f"1.2.276.{i}.9" for i in range(ROWS)]
    rows = [(n, "0 5 3 2" if i % 2 else " -1") for i, n in enumerate(ids)]
    table = _csv(("ImageId", " EncodedPixels"), *rows)
    return Layout("siim", {"train-rle.csv": table}, [f"{n}.dcm" for n in ids], {"size": [8, 8]})


def padchest() -> Layout:
    header = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "MethodLabel", "Labels")
    header += ("Report", "Pediatric")
    rows = [
        (f"im{i}.png", 0, f"s{i}", f"p{i}", "PA", "Physician", "['normal', ' nodule']", t, "No")
        for i, t in enumerate(TEXTS)
    ]
    return Layout(
        "padchest",
        {"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": _csv(header, *rows)},
        [f"0/{row[0]}" for row in rows],
    )


def vindr() -> Layout:
    rows = [(f"id{i:06x}", f"R{r}", i % 2, 0) for i in range(ROWS // 2) for r in (1, 2)]
    boxes = [("id000001", "Mass", "R1", 1, 1, 5, 6)]
    return Layout(
        "vindr",
        {
            "annotations/image_labels_train.csv": _csv(
                ("image_id", "rad_id", "Mass", "Edema"), *rows
            ),
            "annotations/annotations_train.csv": _csv(
                ("image_id", "class_name", "rad_id", "x_min", "y_min", "x_max", "y_max"), *boxes
            ),
        },
        [f"train/id{i:06x}.png" for i in range(ROWS // 2)],
    )


def vindr_kaggle() -> Layout:
    rows = [
        (f"id{i // 2:06x}", "Mass" if i % 2 else "No finding", i % 2, "R1", "R2", 1, 1, 5, 6)
        for i in range(ROWS)
    ]
    rows = [(r[0], r[1], r[2], r[3 + i % 2], *r[5:]) for i, r in enumerate(rows)]
    header = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
    return Layout(
        "vindr",
        {"train.csv": _csv(header, *rows)},
        [f"train/id{i:06x}.png" for i in range(ROWS // 2)],
    )


def _ms_cxr_rows() -> list[tuple]:
    return [
        ("Edema", t, f"files/p10/p100/s{i}/{i:04x}-ab.jpg", 1, 1, 4, 4, 8, 8)
        for i, t in enumerate(TEXTS)
    ]


def ms_cxr() -> Layout:
    header = ("category_name", "label_text", "path", *"xywh", "image_width", "image_height")
    rows = _ms_cxr_rows()
    return Layout(
        "ms_cxr",
        {"MS_CXR_Local_Alignment_v1.0.0.csv": _csv(header, *rows)},
        [row[2] for row in rows],
    )


def ms_cxr_json() -> Layout:
    rows = _ms_cxr_rows()
    tree = {
        "categories": [{"id": 1, "name": "Edema"}],
        "images": [{"id": i, "path": r[2], "width": 8, "height": 8} for i, r in enumerate(rows)],
        "annotations": [
            {"image_id": i, "category_id": 1, "label_text": r[1], "bbox": [1, 1, 4, 4]}
            for i, r in enumerate(rows)
        ],
    }
    return Layout(
        "ms_cxr",
        {"MS_CXR_Local_Alignment_v1.0.0.json": json.dumps(tree, ensure_ascii=False)},
        [row[2] for row in rows],
        cells="",
    )


def covidx() -> Layout:
    lines = [f"p{i} film {i}.png {'positive' if i % 2 else 'negative'} rsna" for i in range(ROWS)]
    return Layout(
        "covidx",
        {"train.txt": "\n".join(lines[:5]) + "\n", "test.txt": "\n".join(lines[5:])},
        [f"{'train' if i < 5 else 'test'}/film {i}.png" for i in range(ROWS)],
        cells="",
    )


LAYOUTS: dict[str, Callable[[], Layout]] = {
    f.__name__: f
    for f in (
        *(csv_texts, csv_reports, chexpert, mimic_cxr, nih, openi, openi_xml, rsna, siim),
        *(padchest, vindr, vindr_kaggle, ms_cxr, ms_cxr_json, covidx),
    )
}


def lay_out(layout: Layout, root: pathlib.Path) -> None:
    """Writes tables and images."""
    for name in layout.images:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    for name, text in layout.tables.items():
        put(root / name, text.encode())


def put(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def read(layout: Layout, root: pathlib.Path, **more: object) -> tuple[dict, Rejects]:
    """``({id: what the tables say of the record}, rejects)``; every row is accounted for, twice."""
    source = SOURCES[layout.source]
    settings = {"root": str(root), "name": "d", "split_fractions": {"train": 1.0}}
    config = parse(source.config, settings | layout.settings | more)
    rejects = Rejects()
    items = listed(source, config, rejects)
    check_rows(rejects, sum(item.rows for item in items))
    found, kept = {}, 0
    for item in items:
        record = load(source, item, config, rejects)
        if record is not None:
            kept += item.rows
            found[record.id] = (
                record.texts,
                record.labels,
                record.boxes,
                record.patient_id,
                record.split,
                len(record.images),
                len(record.masks),
            )
    check_rows(rejects, kept)
    return found, rejects
