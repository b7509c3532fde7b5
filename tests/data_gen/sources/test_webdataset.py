"""WebDataset tars: the way back, general layouts, UniMed's texts, and damaged members."""

import dataclasses
import io
import json
import tarfile
from collections import Counter

import pytest
from every_field import encoded, folder

from data_gen.sources import run_import
from data_gen.sources.containers import captions
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.labels import LabelColumns
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.shards import ImportJob
from data_gen.sources.importing.source import listed
from data_gen.sources.webdataset import SOURCE
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Text, Turn
from medvlp_jax.data.store.webdataset import export_webdataset

from .layouts import run

_BLOCK = 512


def tar_file(path, members):
    """A tar of ``{name: bytes}``; returns ``{name: place of its header}``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            places[name] = tar.offset
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return places


def pairs(count=4):
    """``{name: bytes}`` of image-text pairs."""
    found = {}
    for i in range(count):
        found[f"{i:06d}.jpg"] = encoded(i, 64, 48, ".jpg")
        found[f"{i:06d}.txt"] = f"Caption {i}.".encode()
    return found


def checked(root, **settings):
    """Records by id, and rejects; every row is in one of them."""
    records, places, rejects = run(SOURCE, root=root, **settings)
    check_rows(rejects, len(records))
    return records, places, rejects


def test_the_way_back_keeps_every_field(tmp_path):
    wanted = folder(tmp_path / "records")
    export_webdataset(tmp_path / "records", tmp_path / "tars")
    config = SOURCE.config(root=str(tmp_path / "tars"), name="toy")
    report = run_import("webdataset", config, tmp_path / "back", progress=False)
    assert report.records == {"train": 4, "validation": 1}
    found = {r.id: r for s in report.records for r in open_dataset(tmp_path / "back", s)}
    assert found.keys() == wanted.keys()
    for id, record in wanted.items():
        said = found[id].provenance["split_name"]
        told = dataclasses.replace(record, provenance=record.provenance | {"split_name": said})
        assert found[id] == told  # the content hash is among the provenance
    again = run_import("webdataset", config, tmp_path / "back", progress=False)
    assert again.shards_written == 0


def test_a_changed_conversation_is_another_job(tmp_path):
    folder(tmp_path / "records")
    export_webdataset(tmp_path / "records", tmp_path / "tars")
    config = SOURCE.config(root=str(tmp_path / "tars"))
    items = listed(SOURCE, config, Rejects())
    turned = [dataclasses.replace(i, turns=(Turn("user", "Why?"),)) for i in items]
    jobs = [ImportJob("webdataset", config, some, 10, {}) for some in (items, turned)]
    assert jobs[0].fingerprint != jobs[1].fingerprint


def test_general_layout(tmp_path):
    members = {
        "a/1.png": encoded(1),
        "a/1.txt": b"One  caption.\n",
        "a/1.json": json.dumps({"who": "p1", "Effusion": 1, "says": "In JSON.", "n": 3}).encode(),
        "a/1.cls": b"1",
        "2.jpg": encoded(2, suffix=".jpg"),
        "2.cls": b"7",
        "3.txt": b"No image.",
        "4.png": encoded(4),
        "4.json": b"[1]",
    }
    tar_file(tmp_path / "set-val-000000.tar", members)
    records, rejects, _ = checked(
        tmp_path,
        patient="who",
        texts={"says": "impression"},
        labels=LabelColumns(columns={"Effusion": "pleural effusion"}),
        classes=("Benign", "Malignant"),
        keep=("n",),
        modality="ultrasound",
    )
    one = records["set-val-000000/a/1"]
    assert one.texts == (Text("One caption.", "caption"), Text("In JSON.", "impression"))
    assert one.labels == {"pleural effusion": 1, "benign": 0, "malignant": 1}
    assert (one.patient_id, one.split, one.images[0].modality) == ("p1", "validation", "ultrasound")
    assert one.provenance["n"] == 3
    assert one.provenance["split_name"] == "names of the tars"
    assert rejects == [
        ("set-val-000000.tar/2", "bad sample"),  # class 7 of 2
        ("set-val-000000.tar/3", "no image"),
        ("set-val-000000.tar/4", "bad sample"),
    ]


def test_class_numbers_without_names_are_kept(tmp_path):
    tar_file(tmp_path / "x.tar", {"1.png": encoded(1), "1.cls": b"4"})
    records, _, _ = checked(tmp_path)
    assert records["x/1"].provenance["class"] == 4
    assert records["x/1"].labels == {}


def joined(word, parts):
    return "".join(f"{part}_{word}_" for part in parts)


TEN = [f"Caption {i} of ten." for i in range(10)]
SENTENCES = {
    "radimagenet": (joined("radimagenet", TEN), [("caption", "llm", TEN)]),
    "chexpert": (joined("chexpert", TEN), [("caption", "llm", TEN)]),
    "report": (
        joined("mimiccxr", TEN) + "_mimiccxr_Small effusion.. Unchanged.",
        [("report", "radiologist", ["Small effusion.. Unchanged."]), ("caption", "llm", TEN)],
    ),
    "no report": (
        joined("mimiccxr", TEN) + "_mimiccxr_noreportpresent",
        [("caption", "llm", TEN)],
    ),
    "openi": (
        joined("openi", ["Clear lungs.", *TEN[:3]]),
        [("report", "radiologist", ["Clear lungs."]), ("caption", "llm", TEN[:3])],
    ),
    "retina": (
        joined("all_retina_merged", [*TEN, "A fundus photograph."]),
        [("caption", "llm", TEN), ("caption", "labels", ["A fundus photograph."])],
    ),
    "one": ("A file name img_dr_001.png stays.", [("caption", "", None)]),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_joined_captions_become_lists(name):
    raw, wanted = SENTENCES[name]
    counts = Counter()
    texts = captions.caption_texts(raw, "caption", "", (), counts)
    flat = [
        Text(text, section, source)
        for section, source, found in wanted
        for text in (found or [raw])
    ]
    assert list(texts) == flat
    assert not any("_" in text.text for text in texts if name != "one")
    assert not +counts


def test_double_stops_are_mended_and_counted(tmp_path):
    parts = [*TEN[:8], "Two stops..", "Blank between. ."]
    tar_file(
        tmp_path / "x.tar",
        {
            "1.png": encoded(1),
            "1.txt": joined("radimagenet", parts).encode(),
            "2.png": encoded(2),
            "2.txt": joined("radimagenet", TEN[:9]).encode(),
            "3.png": encoded(3),
            "3.txt": b"One._myset_Two._myset_",
            "4.png": encoded(4),
            "4.txt": b"One._chexpert_Two._radimagenet_",
        },
    )
    records, places, rejects = checked(tmp_path)
    assert [t.text for t in records["x/1"].texts[8:]] == ["Two stops.", "Blank between."]
    assert len(records["x/2"].texts) == 9
    assert len(records["x/3"].texts) == 1
    assert places == [("x.tar/4", "bad sample")]
    said = "\n".join(rejects.notes)
    assert f"2 {captions.MENDED}" in said
    assert f"1 {captions.OTHER_COUNT}" in said
    assert "_myset_" in said
    named, _, _ = checked(tmp_path, separators=("myset",))
    assert [t.text for t in named["x/3"].texts] == ["One.", "Two."]


def lost(root, places, rejects, **settings):
    records, found, _ = checked(root, **settings)
    assert found == rejects
    return {id.rpartition("/")[2] for id in records}


@pytest.mark.parametrize("damage", ["checksum", "zeros", "noise"])
def test_a_broken_header_costs_its_member(tmp_path, damage):
    places = tar_file(tmp_path / "x.tar", pairs())
    data = bytearray((tmp_path / "x.tar").read_bytes())
    at = places["000001.jpg"]
    if damage == "checksum":
        data[at + 148 : at + 154] = b"777777"
    elif damage == "zeros":
        data[at : at + _BLOCK] = bytes(_BLOCK)
    else:
        data[at : at + _BLOCK] = b"\xa7" * _BLOCK
    (tmp_path / "x.tar").write_bytes(data)
    name = "000001.jpg" if damage == "checksum" else "(name not readable)"
    rejects = sorted([(f"x.tar/{name}", "damaged member"), ("x.tar/000001", "no image")])
    assert lost(tmp_path, places, rejects) == {"000000", "000002", "000003"}


def test_a_cut_file_costs_its_last_member(tmp_path):
    places = tar_file(tmp_path / "x.tar", pairs())
    data = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(data[: places["000002.jpg"] + _BLOCK + 100])
    rejects = [
        ("x.tar/(end)", "damaged member"),
        ("x.tar/000002", "damaged sample"),
        ("x.tar/000002.jpg", "damaged member"),
    ]
    assert lost(tmp_path, places, rejects) == {"000000", "000001"}


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("000002.jpg", ["000000", "000001"]),  # whole samples alone
        ("000002.txt", ["000000", "000001"]),
        ("000000.txt", []),  # nothing tells what a sample has
        ("000000.jpg", []),
    ],
)
def test_a_file_that_stops_between_two_members_is_told(tmp_path, before, kept):
    places = tar_file(tmp_path / "x.tar", pairs())
    tar_file(tmp_path / "y.tar", {f"9{name}": data for name, data in pairs(1).items()})
    data = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(data[: places[before]])
    records, rejects, _ = checked(tmp_path)
    assert {id for id in records if id.startswith("x/")} == {f"x/{name}" for name in kept}
    assert ("x.tar/(end)", "damaged member") in rejects
    refused = [where for where, kind in rejects if kind == "damaged sample"]
    stem = before.partition(".")[0]
    assert refused == ([f"x.tar/{stem}"] if before.endswith("txt") else [])


def test_bytes_missing_in_the_middle_cost_one_member(tmp_path):
    """All that follows is no longer at a multiple of 512."""
    places = tar_file(tmp_path / "x.tar", pairs())
    data = (tmp_path / "x.tar").read_bytes()
    at = places["000001.jpg"] + _BLOCK + 50
    (tmp_path / "x.tar").write_bytes(data[:at] + data[at + 300 :])
    rejects = [("x.tar/000001", "no image"), ("x.tar/000001.jpg", "damaged member")]
    assert lost(tmp_path, places, rejects) == {"000000", "000002", "000003"}


def test_a_bad_image_costs_itself(tmp_path):
    places = tar_file(tmp_path / "x.tar", pairs() | {"000002.jpg": encoded(2, suffix=".jpg")[:60]})
    records, rejects, whole = checked(tmp_path)
    assert {id[2:] for id in records} == {"000000", "000001", "000003"}
    assert rejects == [("x.tar/000002", "unreadable image")]
    assert "x.tar/000002.jpg" in whole[0].detail
    assert places


def test_a_lost_text_leaves_the_image_and_a_lost_json_does_not(tmp_path):
    members = pairs(2) | {"000001.json": b'{"who": "p"}'}
    places = tar_file(tmp_path / "x.tar", members)
    data = bytearray((tmp_path / "x.tar").read_bytes())
    for name in ("000000.txt", "000001.json"):
        data[places[name] + 148] ^= 1
    (tmp_path / "x.tar").write_bytes(data)
    records, rejects, _ = checked(tmp_path)
    assert [(id, r.texts) for id, r in records.items()] == [("x/000000", ())]
    assert rejects == [
        ("x.tar/000000.txt", "damaged member"),
        ("x.tar/000001", "damaged sample"),
        ("x.tar/000001.json", "damaged member"),
    ]


def test_rejects_are_in_the_folder_by_name(tmp_path):
    places = tar_file(tmp_path / "in/x.tar", pairs())
    data = bytearray((tmp_path / "in/x.tar").read_bytes())
    data[places["000003.jpg"] + 148] ^= 1
    (tmp_path / "in/x.tar").write_bytes(data)
    config = SOURCE.config(root=str(tmp_path / "in"), license="CC0-1.0")
    report = run_import("webdataset", config, tmp_path / "out", progress=False)
    lines = [
        jsonl.parse(line) for line in (tmp_path / "out/rejects.jsonl").read_bytes().splitlines()
    ]
    assert {line["where"] for line in lines} == {"x.tar/000003.jpg", "x.tar/000003"}
    assert report.rows == {"read": 4, "in records": 3, "refused": 1}
    assert json.loads((tmp_path / "out/croissant.json").read_text())["license"] == "CC0-1.0"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path, form):
    key = "folder/" + "k" * 180
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as tar:
        for name, data in ((f"{key}.png", encoded(1)), (f"{key}.txt", b"Long.")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    records, rejects, _ = checked(tmp_path)
    assert rejects == []
    assert [t.text for t in records[f"x/{key}"].texts] == ["Long."]


def test_packed_tars_and_empty_folders_are_said(tmp_path):
    with pytest.raises(SourceError, match=r"check config\.root"):
        checked(tmp_path)
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with pytest.raises(SourceError, match="gunzip"):
        checked(tmp_path)
