"""The CSV source: every kind of column, and every kind of wrong row."""

import cv2
import numpy as np
import pytest

from data_gen.sources.csv import SOURCE, BoxColumns, CsvConfig, MaskColumns
from data_gen.sources.importing.base import Rejects, SourceError, patient_split
from data_gen.sources.importing.label_text import label_texts
from data_gen.sources.importing.labels import LabelColumns
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.record import Box, Text


def image_file(path, width=40, height=20, value=90, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, channels)
    assert cv2.imwrite(str(path), np.full(shape, value, np.uint8))
    return path


def table(root, text, name="t.csv"):
    (root / name).write_text(text)
    return name


def run(config):
    rejects = Rejects()
    return list(SOURCE.records(config, rejects)), [(r.where, r.kind) for r in rejects], rejects


def test_all_columns(tmp_path):
    image_file(tmp_path / "a.png")
    image_file(tmp_path / "sub" / "b.jpg", 60, 30, channels=3)
    name = table(
        tmp_path,
        "file,find,imp,Edema,Pleural_Effusion,pid,part,view,sex,skip\n"
        'a.png,"Clear  lungs,\nno effusion.",Normal ___.,0,1.0,p1,Training,ap,M,no\n'
        "sub/b.jpg,,____,uncertain,,p2,valid,lateral,F,no\n"
        "gone.png,,,,,p3,train,,M,yes\n",
    )
    config = CsvConfig(
        root=str(tmp_path),
        name="mine",
        csv=name,
        image="file",
        texts={"find": "findings", "imp": "impression"},
        labels=LabelColumns(columns={"Edema": "", "Pleural_Effusion": ""}),
        patient="pid",
        split="part",
        view="view",
        view_names={"lateral": "LATERAL"},
        where={"skip": ("no",)},
        keep=("sex",),
    )
    records, rejects, _ = run(config)
    assert rejects == []
    a, b = records
    assert (a.id, a.patient_id, a.split) == ("a.png", "p1", "train")
    assert a.texts == (
        Text("Clear lungs, no effusion.", "findings", "radiologist"),
        Text("Normal ___.", "impression", "radiologist"),
    )
    assert a.labels == {"edema": 0, "pleural effusion": 1}
    assert a.provenance["sex"] == "M"
    assert (a.images[0].view, a.images[0].format) == ("AP", "png")
    assert a.images[0].data == (tmp_path / "a.png").read_bytes()
    assert (b.split, b.labels, b.texts) == ("validation", {"edema": -1}, ())
    assert (b.images[0].view, b.images[0].format) == ("LATERAL", "jpeg")
    assert (b.images[0].width, b.images[0].height) == (60, 30)


def test_config_comes_from_a_mapping(tmp_path):
    config = parse(
        CsvConfig,
        {
            "root": str(tmp_path),
            "csv": "t.csv",
            "labels": {"list_column": "l", "separator": ";", "judged": ["edema"]},
            "boxes": {"label_name": "lung opacity"},
            "where": {"kind": ["xray"]},
        },
    )
    assert config.labels.judged == ("edema",)
    assert config.boxes == BoxColumns(label_name="lung opacity")
    with pytest.raises(ConfigError, match=r"did you mean config\.labels\.separator"):
        parse(CsvConfig, {"root": "x", "csv": "y", "labels": {"seperator": ";"}})
    for bad, message in (
        ({"csv": "t.csv"}, "root is empty"),
        ({"root": "x"}, "csv"),
        ({"root": "x", "csv": "y", "split_fractions": {"train": 0.5}}, "add up to 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(CsvConfig, bad)


def test_list_of_labels_with_and_without_a_closed_world(tmp_path):
    image_file(tmp_path / "a.png")
    image_file(tmp_path / "b.png")
    name = table(tmp_path, "path,labels\na.png,Effusion; Mass\nb.png,No Finding\n")
    labels = LabelColumns(
        list_column="labels",
        separator=";",
        judged=("pleural effusion", "edema", "no finding"),
        names={"Mass": "mass or nodule"},
    )
    (a, b), _, _ = run(CsvConfig(root=str(tmp_path), csv=name, labels=labels))
    assert a.labels == {"pleural effusion": 1, "edema": 0, "no finding": 0, "mass or nodule": 1}
    assert b.labels == {"pleural effusion": 0, "edema": 0, "no finding": 1}
    open_world = LabelColumns(list_column="labels", separator=";")
    (a, b), _, _ = run(CsvConfig(root=str(tmp_path), csv=name, labels=open_world))
    assert (a.labels, b.labels) == ({"pleural effusion": 1, "mass": 1}, {"no finding": 1})


def test_boxes_several_rows_an_image(tmp_path):
    """The layout of RSNA: a row per box, the image's name an id, empty cells for no box."""
    image_file(tmp_path / "img" / "p1.png")
    image_file(tmp_path / "img" / "p2.png")
    name = table(
        tmp_path,
        "patientId,x,y,width,height,Target\n"
        "p1,4,2,20,10,1\np1,30,10,100,5,1\np2,,,,,0\np1,4,2,20,10,1\np2,45,2,3,3,0\n",
    )
    config = CsvConfig(
        root=str(tmp_path / "img"),
        csv=str(tmp_path / name),
        image="patientId",
        image_suffix=".png",
        patient="patientId",
        labels=LabelColumns(columns={"Target": "lung opacity"}),
        boxes=BoxColumns(label_name="lung opacity"),
    )
    (p1, p2), rejects, _ = run(config)
    assert p1.labels == {"lung opacity": 1}
    assert p1.boxes == (
        Box(0.1, 0.1, 0.6, 0.6, "lung opacity"),
        Box(0.75, 0.5, 1.0, 0.75, "lung opacity"),  # clipped at the edge
    )
    assert (p2.boxes, p2.labels) == ((), {"lung opacity": 0})
    assert rejects == [("t.csv row 4", "box outside its image")]


def test_boxes_with_corners_frame_label_and_phrase(tmp_path):
    image_file(tmp_path / "a.png")
    name = table(
        tmp_path,
        "path,l,t,r,b,what,say,w,h\na.png,100,100,300,500,Nodule, a  nodule ,1000,1000\n",
    )
    boxes = BoxColumns("l", "t", "r", "b", True, "what", "", "say", "w", "h")
    ((a,), _, _) = run(CsvConfig(root=str(tmp_path), csv=name, boxes=boxes))
    assert a.boxes == (Box(0.1, 0.1, 0.3, 0.5, "nodule", "a nodule"),)
    boxes = BoxColumns("l", "t", "r", "b", True, "what", frame_width="1000", frame_height="500")
    ((a,), _, _) = run(CsvConfig(root=str(tmp_path), csv=name, boxes=boxes))
    assert a.boxes[0].y1 == 1.0


def test_rows_of_a_study_become_one_record(tmp_path):
    for n in "abc":
        image_file(tmp_path / f"{n}.png", value=ord(n))
    name = table(
        tmp_path,
        "path,study,who,text,edema,view\n"
        "a.png,s1,p,One text.,0,PA\nb.png,s1,p,One text.,-1,LATERAL\nc.png,s2,p,Other.,,PA\n"
        "a.png,s1,q,One text.,0,PA\n",
    )
    config = CsvConfig(
        root=str(tmp_path),
        csv=name,
        study="study",
        patient="who",
        texts={"text": "report"},
        labels=LabelColumns(columns={"edema": ""}),
        view="view",
    )
    (s1, s2), rejects, log = run(config)
    assert (s1.id, len(s1.images), len(s1.texts), s1.labels) == ("s1", 2, 1, {"edema": -1})
    assert (s2.id, s2.labels, s2.split) == ("s2", {}, s1.split)
    assert rejects == [("t.csv row 5", "bad row")]
    assert "patient 'q'" in log[0].detail
    assert any(note.startswith("1 labels differ among the rows") for note in log.notes)


def test_views_are_kept_and_boxes_follow_their_image(tmp_path):
    image_file(tmp_path / "a.png", value=1)
    image_file(tmp_path / "b.png", value=2)
    name = table(
        tmp_path,
        "path,study,view,x,y,width,height\na.png,s,LATERAL,1,1,4,4\nb.png,s,PA,4,2,20,10\n",
    )
    config = CsvConfig(
        root=str(tmp_path),
        csv=name,
        study="study",
        view="view",
        views=("PA", "AP"),
        boxes=BoxColumns(label_name="mass"),
    )
    ((s,), _, _) = run(config)
    assert [i.view for i in s.images] == ["PA"]
    assert s.boxes == (Box(0.1, 0.1, 0.6, 0.6, "mass", image=0),)


def test_bad_rows_are_named_and_skipped(tmp_path):
    image_file(tmp_path / "ok.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    whole = image_file(tmp_path / "cut.jpg", 64, 64).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    rows = [
        "gone.png,1",
        "empty.png,1",
        "text.png,1",
        "cut.jpg,1",
        ",1",
        "ok.png,maybe",
        "short",
        "",
        "ok.png,1",
    ]
    name = table(tmp_path, "path,edema\n" + "\n".join(rows) + "\n")
    config = CsvConfig(
        root=str(tmp_path), csv=name, labels=LabelColumns(columns={"edema": ""}), name="d"
    )
    records, rejects, log = run(config)
    assert [r.id for r in records] == ["ok.png"]
    assert sorted(rejects) == [
        ("t.csv row 2", "missing image"),
        ("t.csv row 3", "unreadable image"),
        ("t.csv row 4", "unreadable image"),
        ("t.csv row 5", "unreadable image"),
        ("t.csv row 6", "no image"),
        ("t.csv row 7", "bad row"),
        ("t.csv row 8", "short row"),
    ]
    details = {r.where: r.detail for r in log}
    assert details["t.csv row 2"].endswith("gone.png")
    assert "0 bytes" in details["t.csv row 3"]
    assert "'maybe'" in details["t.csv row 7"]


def test_max_size_scales_down_and_keeps_small_files(tmp_path):
    image_file(tmp_path / "big.jpg", 64, 32, 200)
    image_file(tmp_path / "small.jpg", 16, 8)
    name = table(tmp_path, "path,x,y,width,height\nbig.jpg,0,0,32,16\nsmall.jpg,,,,\n")
    boxes = BoxColumns(label_name="mass")
    (big, small), _, _ = run(CsvConfig(root=str(tmp_path), csv=name, max_size=32, boxes=boxes))
    assert (big.images[0].width, big.images[0].height, big.images[0].format) == (32, 16, "jpeg")
    pixels = decode(big.images[0].data, "jpeg")
    assert pixels.shape == (16, 32)
    assert abs(int(pixels.mean()) - 200) <= 1
    assert small.images[0].data == (tmp_path / "small.jpg").read_bytes()


def test_box_is_a_fraction_of_the_image_that_is_stored(tmp_path):
    """A box in pixels of the file on disk stays where it was when the image is scaled down."""
    image_file(tmp_path / "big.png", 64, 32)
    name = table(tmp_path, "path,x,y,width,height\nbig.png,16,8,32,16\n")
    boxes = BoxColumns(label_name="mass")
    for max_size in (0, 32):
        config = CsvConfig(root=str(tmp_path), csv=name, boxes=boxes, max_size=max_size)
        ((big,), _, _) = run(config)
        assert big.boxes == (Box(0.25, 0.25, 0.75, 0.75, "mass"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "pth"}, r"has no column 'pth' \(config\.image\); did you mean 'path'"),
        ({"texts": {"Finding": "x"}}, r"'Finding' \(config\.texts\); did you mean 'findings'"),
        ({"patient": "zzz"}, r"'zzz' \(config\.patient\); it has: path, findings, edema"),
        ({"labels": LabelColumns(columns={"Edem": ""})}, "did you mean 'edema'"),
        ({"where": {"edma": ("1",)}}, "did you mean 'edema'"),
        ({"csv": "other.csv"}, r"other\.csv is missing"),
    ],
)
def test_wrong_columns_name_the_nearest(tmp_path, change, message):
    name = table(tmp_path, "path,findings,edema\na.png,x,1\n")
    with pytest.raises(SourceError, match=message) as caught:
        run(CsvConfig(**{"root": str(tmp_path), "csv": name} | change))
    assert "\n" not in str(caught.value)


def test_byte_order_mark_tabs_and_blanks_in_the_header(tmp_path):
    image_file(tmp_path / "a.png")
    (tmp_path / "t.tsv").write_text("\ufeffpath\t edema \na.png\t 1 \n", encoding="utf-8")
    labels = LabelColumns(columns={"edema": ""})
    ((a,), _, _) = run(CsvConfig(root=str(tmp_path), csv="t.tsv", delimiter="\t", labels=labels))
    assert a.labels == {"edema": 1}


def test_split_of_a_patient_is_a_function_of_the_patient():
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    first = {f"p{i}": patient_split(f"p{i}", fractions) for i in range(4000)}
    counts = {s: list(first.values()).count(s) / 4000 for s in fractions}
    assert counts == pytest.approx(fractions, abs=0.03)
    assert patient_split("p17", fractions) == first["p17"]
    assert patient_split("p17", {"test": 1.0}) == "test"
    other = [patient_split(f"p{i}", fractions, seed=1) == first[f"p{i}"] for i in range(4000)]
    assert 0.4 < sum(other) / 4000 < 0.7


def test_masks_follow_their_image(tmp_path):
    image_file(tmp_path / "a.png", 40, 20, value=1)
    image_file(tmp_path / "b.png", 40, 20, value=2)
    region = np.zeros((10, 20), np.uint8)
    region[:5] = 255
    assert cv2.imwrite(str(tmp_path / "half.png"), region)  # half the size of its image
    assert cv2.imwrite(str(tmp_path / "square.png"), np.full((9, 9), 255, np.uint8))
    assert cv2.imwrite(str(tmp_path / "none.png"), region * 0)
    name = table(
        tmp_path,
        "path,study,view,lung,more\n"
        "a.png,s,LATERAL,half.png,\n"
        "b.png,s,PA,half.png,x=half.png;edema=half.png; skipped=gone.png\n"
        "a.png,t,PA,gone.png,\na.png,u,PA,square.png,\na.png,v,PA,none.png,\n",
    )
    config = CsvConfig(
        root=str(tmp_path),
        csv=name,
        study="study",
        view="view",
        views=("PA",),
        masks=MaskColumns({"lung": "lungs"}, "more", names={"x": "mass", "edema": "edema"}),
    )
    (s, t, u, v), rejects, _ = run(config)
    assert [(m.label, m.image) for m in s.masks] == [("lungs", 0), ("mass", 0), ("edema", 0)]
    mask = decode(s.masks[0].data, "png")
    assert mask.shape == (20, 40)
    assert (mask[:10] == 255).all()
    assert (mask[10:] == 0).all()
    assert (t.masks, u.masks, v.masks) == ((), (), ())
    assert [kind for _, kind in rejects] == ["missing mask", "mask of another shape", "empty mask"]


def test_rows_of_different_sets_judge_different_labels(tmp_path):
    image_file(tmp_path / "a.png")
    name = table(tmp_path, "path,labels,of\na.png,Mass,x\n")
    labels = LabelColumns(
        list_column="labels",
        judged=("edema",),
        judged_column="of",
        judged_by={"x": ("mass", "nodule")},
    )
    ((a,), _, _) = run(CsvConfig(root=str(tmp_path), csv=name, labels=labels))
    assert a.labels == {"mass": 1, "nodule": 0}
    table(tmp_path, "path,labels,of\na.png,Mass,y\n")
    ((a,), _, _) = run(CsvConfig(root=str(tmp_path), csv=name, labels=labels))
    assert a.labels == {"mass": 1, "edema": 0}
    with pytest.raises(ValueError, match="judged_by needs judged_column"):
        LabelColumns(judged_by={"x": ()})


def test_sentences_of_labels_where_there_is_no_text(tmp_path):
    image_file(tmp_path / "a.png")
    image_file(tmp_path / "b.png")
    name = table(tmp_path, "path,text,mass,edema\na.png,Own words.,1,0\nb.png,,1,0\n")
    config = CsvConfig(
        root=str(tmp_path),
        csv=name,
        texts={"text": "report"},
        labels=LabelColumns(columns={"mass": "", "edema": ""}),
        texts_from_labels=True,
        text_required=True,
    )
    (a, b), rejects, _ = run(config)
    assert rejects == []
    assert [(t.text, t.source) for t in a.texts] == [("Own words.", "radiologist")]
    (text,) = b.texts
    assert (text.section, text.source, text.labels) == ("findings", "labels", ("mass",))
    positive, negative = text.text.lower().split(". ")
    assert "mass" in positive
    assert "edema" in negative
    assert negative.startswith(("no ", "there is no "))
    assert label_texts("b.png", b.labels) == b.texts
    assert len({label_texts(str(i), b.labels) for i in range(40)}) > 5
    assert label_texts("x", {}) == ()
    (normal,) = label_texts("x", {"no finding": 1})
    assert "normal" in normal.text.lower() or "no abnormality" in normal.text.lower()
    (unsure,) = label_texts("x", {"edema": -1})
    assert not unsure.labels
    assert "edema" in unsure.text.lower()


@pytest.mark.parametrize(
    "labels",
    [
        {"columns": {"E": "effusion", "F": "Effusion"}},
        {"columns": {"Pleural_Effusion": "", "Effusion": ""}},
        {"columns": {"A": "Edema", "edema": ""}},
        {"list_column": "l", "names": {"Mass": "a", "mass": "b"}},
    ],
)
def test_two_columns_of_one_label(labels):
    with pytest.raises(ConfigError, match=r"are both the label|two labels"):
        parse(CsvConfig, {"root": "x", "csv": "y", "labels": labels})


def test_lists_that_name_what_is_not_judged(tmp_path):
    for name in "abcdef":
        image_file(tmp_path / f"{name}.png")
    text = "path,l,E\na.png,Effusion|Mass,\nb.png,Effusion; Mass,\nc.png,Mass/Edema,\n"
    name = table(tmp_path, text + "d.png,Wombat,\ne.png,Nodule/Mass,\nf.png,Edema,0\n")
    judged = ("pleural effusion", "mass", "nodule/mass")
    labels = LabelColumns(list_column="l", judged=judged, columns={"E": "edema"})
    records, rejects, log = run(CsvConfig(root=str(tmp_path), csv=name, labels=labels))
    found = {r.id: {k for k, v in r.labels.items() if v} for r in records}
    expected = {"a.png": {"pleural effusion", "mass"}, "d.png": {"wombat"}}
    assert found == {**expected, "e.png": {"nodule/mass"}}
    assert rejects == [(f"t.csv row {n}", "bad row") for n in (3, 4, 7)]
    assert "another separator than '|'" in log[0].detail
    assert "denies 'edema'" in log[2].detail
    assert any("'wombat' (1)" in note for note in log.notes)


def test_half_a_box_and_names_too_long_for_a_file(tmp_path):
    for name in "abcd":
        image_file(tmp_path / f"{name}.png")
    text = "path,x,y,width,height,part\na.png,,,,,train\nb.png,nan,2,3,4,train\n"
    name = table(tmp_path, f"{text}c.png,1,2,,4,train\nd.png,1,2,3,4,{'d' * 230}\n")
    config = CsvConfig(
        root=str(tmp_path), csv=name, boxes=BoxColumns(label_name="mass"), split="part"
    )
    records, rejects, _ = run(config)
    assert [r.id for r in records] == ["a.png"]
    assert rejects == [(f"t.csv row {n}", "bad row") for n in (3, 4, 5)]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "x" * 230, "64 at most"),
        ("split_fractions", {"x" * 230: 1.0}, "no split name"),
        ("texts", {"": "findings"}, r"config: texts names a column ''"),
        ("labels", {"columns": {"": "x"}}, r"labels\.columns names a column ''"),
        ("masks", {"columns": {"": "x"}}, r"masks\.columns names a column ''"),
        ("texts", {"a": "\udcff"}, "is not UTF-8 text"),
        ("keep", ["\udcff"], "is not UTF-8 text"),
    ],
)
def test_names_that_no_table_and_no_file_has(key, value, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(CsvConfig, {"root": "x", "csv": "y", key: value})
    assert len(str(caught.value)) < 300


def test_patients_that_nobody_named_are_said(tmp_path):
    """Films of one patient in two splits are a leak that no number shows."""
    for name in ("a", "b"):
        image_file(tmp_path / f"{name}.png")
    name = table(tmp_path, "path,Patient ID,part\na.png,p1,train\n./b.png,p1,test\nb.png,p1,test\n")
    common = {"root": str(tmp_path), "csv": name, "image": "path"}
    records, _, rejects = run(CsvConfig(**common))
    assert [r.id for r in records] == ["a.png", "b.png"]  # one file, however it is written
    (note,) = rejects.notes
    assert "config.patient is not set" in note
    assert "'Patient ID'" in note
    for known in ({"patient": "Patient ID"}, {"split": "part"}, {"split_fractions": {"test": 1.0}}):
        _, _, rejects = run(CsvConfig(**common, **known))
        assert not rejects.notes
