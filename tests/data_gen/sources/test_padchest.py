"""PadChest: 16-bit files, lists in cells, reports in Spanish, files broken in the release."""

import cv2
import numpy as np
import pytest

from data_gen.sources.padchest import SOURCE, classes, parse_labels

from .layouts import image_file, pixels_of, ramp, run, write

HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,"
    "ViewPosition_DICOM,Projection,MethodProjection,Pediatric,ReportID,Report,MethodLabel,Labels"
)
BROKEN = "216840111366964012283393834152009033102258826_00-059-087.png"


def row(n, image, study, projection, labels, method="Physician", pediatric="No", report="sin hal"):
    cells = [n, image, "0" if n % 2 else "7", "20120101", study, f"p{study}", "1950", "F", ""]
    cells += [projection, "Manual", pediatric, n, report, method, f'"{labels}"']
    return ",".join(map(str, cells))


ROWS = [
    row(0, "a.png", 1, "PA", "['normal']"),
    row(1, "b.png", 1, "L", "['normal']"),
    row(2, "c.png", 2, "AP_horizontal", "[' pleural effusion ', 'clavicle fracture', '']"),
    row(3, "d.png", 3, "PA", "['COPD signs', 'double J stent']", "RNN_model", "PED"),
    row(4, BROKEN, 4, "PA", "['normal']"),
    row(5, "f.png", 5, "PA", "nan"),
    row(6, "g.png", 6, "PA", "['exclude']"),
    row(7, "gone.png", 7, "COSTAL", "['unchanged']"),
    row(8, "a.png", 1, "PA", "['normal']"),
    row(9, "c.png", 9, "PA", "['unchanged', 'nodule']"),
]


@pytest.fixture
def root(tmp_path):
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    write(tmp_path / name, "\n".join([HEADER, *ROWS]) + "\n")
    top = np.zeros((32, 64), np.uint16)
    top[:, 32:], top[0, 0] = 20_000, 40_000
    image_file(tmp_path / "7" / "a.png", value=top)
    image_file(tmp_path / "0" / "b.png", value=ramp(top=60_000, dtype=np.uint16))
    image_file(tmp_path / "7" / "c.png", value=ramp())  # an 8-bit copy
    image_file(tmp_path / "0" / "c.png", value=ramp())
    image_file(tmp_path / "0" / "d.png", value=ramp(top=4095, dtype=np.uint16))
    return tmp_path


def test_padchest(root):
    records, rejects, _ = run(SOURCE, root=root)
    assert list(records) == ["1", "2", "3", "9"]
    one, two, three, nine = records.values()
    assert [i.view for i in one.images] == ["PA", "LATERAL"]
    assert one.labels["no finding"] == 1
    assert sum(one.labels.values()) == 1
    assert [(t.text, t.section) for t in one.texts] == [("sin hal", "report")]
    assert (one.patient_id, one.provenance["language"]) == ("p1", "es")
    assert two.images[0].view == "AP"
    positive = {name for name, value in two.labels.items() if value}
    assert positive == {"pleural effusion", "clavicle fracture"}
    assert "fracture" not in two.labels  # a clavicle fracture is one
    assert two.labels["no finding"] == 0
    assert three.labels["copd signs"] == three.labels["double j stent"] == 1
    assert nine.labels == {"nodule": 1}
    assert three.provenance["labelled_by"] == "RNN_model"
    table = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    assert rejects == [
        (f"{table} row 10", "duplicate id"),
        (f"{table} row 6", "broken in the release"),
        (f"{table} row 7", "bad label"),
        (f"{table} row 8", "excluded by its readers"),
        (f"{table} row 9", "missing image"),
    ]


def test_16_bits_by_the_largest_value(root):
    records, _, _ = run(SOURCE, root=root, views=("PA",))
    pixels = pixels_of(records["1"])
    assert pixels.dtype == np.uint8
    assert (pixels[5, 5], pixels[5, 40], pixels[0, 0]) == (0, 128, 255)  # v / 40000 * 255
    by_window, _, _ = run(SOURCE, root=root, views=("PA",), intensity="quantile")
    assert pixels_of(by_window["1"])[5, 40] == 255  # one bright pixel does not count
    stored = by_window["1"].images[0].data
    assert cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_physicians_only_without_children_and_flat_folder(root):
    (root / "7" / "c.png").rename(root / "c.png")
    records, _, _ = run(SOURCE, root=root, physicians_only=True)
    assert list(records) == ["1", "2", "9"]
    assert list(run(SOURCE, root=root, pediatric=False)[0]) == ["1", "2", "9"]


def test_class_lists():
    seen, rare, unseen = classes("seen"), classes("rare"), classes("unseen")
    assert [len(set(c)) for c in (seen, rare, unseen)] == [14, 39, 60]
    assert set(rare) < set(unseen)
    assert {"no finding", "pleural effusion", "catheter"} < set(seen)
    assert {"copd signs", "double j stent", "volume loss"} < set(unseen)


def test_labels_of_a_cell():
    assert parse_labels("['a', ' b  c', 'A', '']") == ["a", "b c"]
    for cell in ("", "nan", "{'a'}", "['a', 1]", "'a'", "['a'"):
        with pytest.raises(ValueError, match="not a list"):
            parse_labels(cell)


@pytest.mark.parametrize("cell", ["['a' 'b']", "['a', 'b' 'c']", "['a''b']", "['a'\n 'b', '']"])
def test_a_list_that_lacks_a_comma(cell):
    with pytest.raises(ValueError, match="a comma is missing"):
        parse_labels(cell)


def test_rows_of_one_study_that_differ(root):
    rows = [
        row(0, "a.png", 1, "PA", "['pneumonia']"),
        row(1, "b.png", 1, "L", "['edema']", report="otro"),
        row(3, "d.png", 1, "L", "['mass']").replace(",p1,", ",p9,"),
    ]
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    write(root / name, "\n".join([HEADER, *rows]) + "\n")
    records, rejects, log = run(SOURCE, root=root)
    assert rejects == [(f"{name} row 4", "bad row")]
    one = records["1"]
    assert (len(one.images), one.patient_id, one.labels["mass"]) == (2, "p1", 0)
    assert [t.text for t in one.texts] == ["sin hal"]
    assert one.labels["pneumonia"] == one.labels["edema"] == 1
    assert [note[:9] for note in log.notes] == ["2 labels ", "1 rows ha"]
