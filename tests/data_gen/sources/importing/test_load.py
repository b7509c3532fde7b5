"""What an import does with odd files and odd boxes: one reject each, and the others survive."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_gen.jobs.preview import tile, write_preview
from data_gen.jobs.summary import finish, table
from data_gen.jobs.tally import Tally
from data_gen.sources.csv import SOURCE, CsvConfig, MaskColumns
from data_gen.sources.importing.base import ImageFile, Item, PixelBox, Rejects, SourceConfig
from data_gen.sources.importing.load import load_item
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Record
from medvlp_jax.data.store.shards import write_shard

PNG = cv2.imencode(".png", np.full((100, 200), 90, np.uint8))[1].tobytes()


def odd_files(root):
    for name in ("ok0.png", "ok1.png"):
        (root / name).write_bytes(PNG)
    os.mkfifo(root / "pipe.png")
    (root / "device.png").symlink_to("/dev/zero")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "folder.png").mkdir()
    (root / "empty.png").write_bytes(b"")
    with (root / "sparse.png").open("wb") as f:
        f.write(PNG)
        f.truncate(50 << 30)
    names = ["pipe", "device", "loop", "folder", "empty", "sparse", "x" * 300, "a\0b", "ok1.png/x"]
    return [f"{name}.png" for name in names]


@pytest.mark.parametrize("what", ["image", "report"])
def test_special_files_are_rejects(tmp_path, what):
    """Of a pipe or a device this would never end."""
    for name in odd_files(tmp_path):
        if (what, name) == ("report", "empty.png"):
            continue  # a report without text is one
        rejects, path = Rejects(), tmp_path / name
        images = (ImageFile(path if what == "image" else tmp_path / "ok0.png"),)
        report = path if what == "report" else None
        item = Item("a", "t.csv row 2", images, "train", report=report)
        record = load_item(item, SourceConfig(root=str(tmp_path)), rejects, lambda path: ())
        assert (record is None) == (what == "image")
        (reject,) = rejects
        assert reject.kind in (f"missing {what}", f"unreadable {what}")
        assert name.split(".")[0][:20].replace("\0", "?") in reject.detail
        assert reject.detail.isprintable()


def test_an_import_survives_special_files_as_images_and_masks(tmp_path):
    odd = [name for name in odd_files(tmp_path) if "\0" not in name]
    rows = ["path,mask", "ok0.png,", "ok1.png,"]
    rows += [f"{name}," for name in odd]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    rejects = Rejects()
    config = CsvConfig(root=str(tmp_path), csv="t.csv", masks=MaskColumns({"mask": "lesion"}))
    records = list(SOURCE.records(config, rejects))
    assert [r.id for r in records] == ["ok0.png", "ok1.png"]
    assert len(records) + len(rejects) == len(rows) - 1
    (tmp_path / "m.csv").write_text(
        "path,study,mask\n" + "".join(f"ok0.png,{i},{name}\n" for i, name in enumerate(odd))
    )
    rejects.clear()
    config = CsvConfig(
        root=str(tmp_path), csv="m.csv", study="study", masks=MaskColumns({"mask": "lesion"})
    )
    records = list(SOURCE.records(config, rejects))
    assert len(records) == len(rejects) == len(odd)
    assert all(r.kind in ("missing mask", "unreadable mask") for r in rejects)


def boxed(tmp_path, *boxes):
    (tmp_path / "a.png").write_bytes(PNG)
    rejects = Rejects()
    item = Item("a", "t.csv row 2", (ImageFile(tmp_path / "a.png"),), "train", boxes=boxes)
    return load_item(item, SourceConfig(root=str(tmp_path)), rejects), [r.kind for r in rejects]


@pytest.mark.parametrize(
    "box",
    [
        PixelBox(10, 10, 0, 5, "a"),
        PixelBox(10, 10, -4, 5, "a"),
        PixelBox(300, 10, 5, 5, "a"),
        PixelBox(10, 10, 1e-9, 5, "a"),  # less than float32 tells apart
        PixelBox(float("nan"), 10, 5, 5, "a"),
        PixelBox(float("inf"), 10, 5, 5, "a"),
        PixelBox(10, 10, 5, 5, "a", frame=(0, 100)),
        PixelBox(10, 10, 5, 5, "a", frame=(float("nan"), 100)),
    ],
)
def test_a_box_without_area_is_a_reject_and_costs_nothing_else(tmp_path, box):
    record, kinds = boxed(tmp_path, box, PixelBox(20, 10, 100, 50, "b"))
    assert kinds == ["box outside its image"]
    assert record.boxes == (Box(0.1, 0.1, 0.6, 0.6, "b"),)


def test_a_box_that_leaves_its_image_is_clipped_and_counted(tmp_path):
    record, kinds = boxed(
        tmp_path,
        PixelBox(-20, 10, 60, 50, "a"),
        PixelBox(150, 90, 100, 100, "a"),
        PixelBox(150, 50, 51, 50, "a"),  # by half a percent: rounding
    )
    assert kinds == []
    assert [(b.x0, b.x1) for b in record.boxes] == [
        (0.0, Box(0, 0, 0.2, 1, "").x1),
        (0.75, 1.0),
        (0.75, 1.0),
    ]
    assert record.provenance["notes"] == {"box clipped to its image": 2}
    tally = Tally()
    tally.add(record)
    merged = Tally()
    merged.merge(json.loads(json.dumps(tally.as_json())))
    assert merged.as_json()["notes"] == {"box clipped to its image": 2}
    whole = {"splits": {"train": {"records": 1, "labels": {}, "notes": merged.notes}}}
    assert "note: 2 x box clipped to its image" in table(whole)


# The preview


def record_with(*boxes, size=(100, 200), label="a"):
    data = cv2.imencode(".png", np.full(size, 90, np.uint8))[1].tobytes()
    return Record("r", (Image(data, "png"),), boxes=boxes, labels={label: 1})


THIN = [
    Box(0.5, 0.1, 0.5001, 0.9, "thin"),
    Box(0.1, 0.5, 0.9, 0.5001, "flat"),
    Box(0.0, 0.0, 0.001, 0.001, "a dot in the corner"),
    Box(0.999, 0.999, 1.0, 1.0, "the other corner"),
    Box(0.2, 0.2, 0.8, 0.8, "two\nlines"),
    Box(0.2, 0.2, 0.8, 0.8, "\ud800 lone"),
    Box(0.2, 0.2, 0.8, 0.8, "long " * 200),
    Box(0.2, 0.2, 0.8, 0.8, "\u0410\u5fc3\u0627\x1b[31m\x00"),
]


@pytest.mark.parametrize("box", THIN, ids=range(len(THIN)))
@pytest.mark.parametrize("size", [(100, 200), (1, 3000), (3000, 2)])
def test_every_box_is_drawn(box, size):
    plain, drawn = tile(record_with(size=size)), tile(record_with(box, size=size))
    assert drawn.shape == plain.shape
    assert (drawn != plain).any()


def test_a_record_that_cannot_be_shown_leaves_the_preview_whole(tmp_path, caplog):
    bad = Record("bad", (Image(b"no picture", "png"),))
    write_preview([record_with(), bad, record_with(THIN[0])], tmp_path / "p.png")
    assert cv2.imread(str(tmp_path / "p.png")).shape[1] > 3 * 256
    assert "preview: record 1 cannot be shown" in caplog.text


def test_a_preview_that_fails_costs_no_job(tmp_path, monkeypatch, caplog):
    write_shard(tmp_path, ShardName("toy", "train", 0, 1), [record_with()], "job")

    def fail(*args):
        raise ValueError("no font")

    monkeypatch.setattr("data_gen.jobs.summary.write_preview", fail)
    whole = finish(tmp_path, "a toy")
    assert whole["splits"]["train"]["records"] == 1
    assert (tmp_path / "summary.json").exists()
    assert not (tmp_path / "preview.png").exists()
    assert "preview.png is left out (ValueError: no font)" in caplog.text


def test_the_import_of_a_thin_box_ends_well(tmp_path, repo_root):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "t.csv").write_text("path,x,y,w,h\na.png,10,10,1,80\na.png,10,10,80,1\n")
    script = (
        "import sys\nfrom data_gen.sources.importing.job import run_import\n"
        "from data_gen.jobs import summary\n"
        "boxes = {'third': 'w', 'fourth': 'h', 'label_name': 'nodule'}\n"
        "config = {'root': sys.argv[1], 'csv': 't.csv', 'boxes': boxes}\n"
        "run_import('csv', config, sys.argv[1] + '/out', progress=False)\n"
        "summary.finish(sys.argv[1] + '/out', 'x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "preview.png").exists()
