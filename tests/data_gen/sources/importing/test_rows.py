"""Where the rows of an import go, what it says, and that old rows and new ones never meet."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from data_gen.sources import SourceError, run_import
from data_gen.sources.importing import shards
from medvlp_jax.data.store.dataset import open_dataset, splits
from medvlp_jax.data.store.manifest import ShardError, read_manifest

HEAD = "path,who,part,text,edema"


def lay_out(root, count=12, text="Old text"):
    lines = [HEAD]
    for i in range(count):
        cv2.imwrite(str(root / f"{i}.png"), np.full((4, 6), i, np.uint8))
        lines.append(f"{i}.png,p{i},{'train' if i < 8 else 'test'},{text} {i}.,{i % 2}")
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    return {
        "root": str(root),
        "name": "toy",
        "csv": "t.csv",
        "patient": "who",
        "split": "part",
        "texts": {"text": "findings"},
        "labels": {"columns": {"edema": "Pulmonary  EDEMA"}},
    }


def go(config, out, **more):
    return run_import("csv", config | more, out, records_per_shard=3, progress=False)


def texts(out):
    return [r.texts[0].text for s in splits(out) for r in open_dataset(out, s)]


def rejected(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


CHANGES = {
    "a text": lambda root: change(root / "t.csv", "Old text 3", "New text 3"),
    "a label": lambda root: change(root / "t.csv", "Old text 3.,1", "Old text 3.,0"),
    "a patient": lambda root: change(root / "t.csv", "p5", "p99"),
    "a row less": lambda root: change(root / "t.csv", "7.png,p7,train,Old text 7.,1\n", ""),
    "a split": lambda root: change(root / "t.csv", ",test,", ",other,"),
    "an image": lambda root: cv2.imwrite(str(root / "3.png"), np.zeros((5, 6), np.uint8)),
    "an image less": lambda root: (root / "3.png").unlink(),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("finished", [True, False])
def test_what_was_changed_is_never_mixed_with_old_records(tmp_path, what, finished):
    config, out = lay_out(tmp_path), tmp_path / "out"
    go(config, out)
    before = texts(out)
    shard = next(iter(out.glob("toy-train*00000-of*")))
    kept = shard.read_bytes()
    if not finished:
        shard.unlink()
    CHANGES[what](tmp_path)
    with pytest.raises(ShardError, match=r"choose another directory, or delete this one") as caught:
        go(config, out)
    assert ("another t.csv: the table has changed" in str(caught.value)) == ("image" not in what)
    assert ("images, masks or reports were changed" in str(caught.value)) == ("image" in what)
    shard.write_bytes(kept)
    assert texts(out) == before


def test_the_same_command_again_makes_nothing(tmp_path):
    config, out = lay_out(tmp_path), tmp_path / "out"
    first = go(config, out)
    assert (first.shards_written, go(config, out).shards_written) == (5, 0)
    made_from = next(iter(read_manifest(out).values())).extra["made_from"]
    assert list(made_from["tables"]) == ["t.csv"]


def test_every_row_is_in_a_record_or_refused_or_left_out(tmp_path):
    config, out = lay_out(tmp_path), tmp_path / "out"
    rows = [
        "0.png,p0,train,More of the first.,1",  # the same image: one record of two rows
        "1.png,p1,odd split!,x,1",
        "gone.png,pg,train,No film.,1",
        ",pn,train,No path.,1",
        "2.png,p2,train,No label.,maybe",
        "../secret.png,ps,train,Outside.,1",
        "/etc/hostname,ps,train,Outside.,1",
        "sub/../3.png,pd,train,Inside.,1",
        "4.png,p4,train,A comma, too many.,1",
        "5.png,p5",
        '6.png,p6,train,"Open,1',
        "skip.png,p7,never,x,1",
    ]
    (tmp_path / "sub").mkdir()
    with open(tmp_path / "t.csv", "a") as f:
        f.write("\n".join(rows) + "\n")
    report = go(config, out, where={"part": ["train", "test", "odd split!"]})
    assert report.rows == {
        "read": 24,
        "in records": 14,
        "refused": 9,
        "left out by config.where": 1,
    }
    assert "rows: 24 read = 14 in records + 9 refused + 1 left out by config.where" in str(report)
    found = {(r["where"], r["kind"]): r for r in rejected(out)}
    assert set(found) == {
        ("t.csv row 15", "bad row"),
        ("t.csv row 16", "missing image"),
        ("t.csv row 17", "no image"),
        ("t.csv row 18", "bad row"),
        ("t.csv row 19", "path outside of the data set"),
        ("t.csv row 20", "path outside of the data set"),
        ("t.csv row 22", "long row"),
        ("t.csv row 23", "short row"),
        ("t.csv row 24", "unclosed quote"),
    }
    assert all(r["rows"] == 1 and r["mend"] for r in found.values())
    assert sum(report.records.values()) == 13


def test_a_study_of_several_rows_is_lost_with_all_of_them(tmp_path):
    config, out = lay_out(tmp_path), tmp_path / "out"
    change(tmp_path / "t.csv", HEAD, HEAD + ",study")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines[1:] = [f"{line},s{min(i // 2, 3)}" for i, line in enumerate(lines[1:9])]
    (tmp_path / "t.csv").write_text("\n".join(lines).replace("train", "test"))
    for i in range(2, 5):  # all of study 1, half of study 2
        (tmp_path / f"{i}.png").unlink()
    config["patient"] = ""
    report = go(config, out, study="study")
    assert report.rows == {"read": 8, "in records": 6, "refused": 2}
    assert report.rejected == {"missing image": 3}
    assert [r["rows"] for r in rejected(out)] == [0, 2, 0]


def test_classes_without_positives_and_missing_texts_are_said(tmp_path):
    config = lay_out(tmp_path)
    change(tmp_path / "t.csv", "Old text 9.,1", "nan,0")
    change(tmp_path / "t.csv", "Old text 11.,1", "NULL,0")
    report = go(config, tmp_path / "out")
    assert "split test has no positive of 1 labels: pulmonary edema" in report.warnings
    assert "2 of 12 records have no text" in report.warnings
    assert not any("split train" in line for line in report.warnings)
    assert set(open_dataset(tmp_path / "out", "train").label_names) == {"pulmonary edema"}
    none = go(config, tmp_path / "none", texts={})
    assert any("no record has a text" in line for line in none.warnings)
    assert "warning: no record has a text" in str(none)
    made = go(config, tmp_path / "made", texts={}, texts_from_labels=True)
    assert not any("text" in line for line in made.warnings)


def test_an_import_of_nothing_is_an_error(tmp_path):
    config = lay_out(tmp_path)
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"no row is left .*12 were rejected.*then delete"):
        go(config, tmp_path / "out")
    assert len(rejected(tmp_path / "out")) == 12


def test_files_that_vanish_while_they_are_imported_stop_it(tmp_path, monkeypatch):
    config = lay_out(tmp_path)
    real, calls = shards.load, []

    def load(source, item, *rest):
        calls.append(item.id)
        for path in tmp_path.glob("*.png"):
            path.unlink()
        return real(source, item, *rest)

    monkeypatch.setattr(shards, "load", load)
    with pytest.raises(SourceError, match=r"1 files of .* that were there are gone"):
        go(config, tmp_path / "out")
    assert len(calls) == 3  # of the first shard


IMPORT = """
import json, sys
from data_gen.sources import run_import
if __name__ == "__main__":
    config = json.loads(sys.argv[1])
    run_import("csv", config, sys.argv[2], records_per_shard=3, processes=2, progress=False)
"""


def test_a_killed_import_leaves_no_workers_and_goes_on(tmp_path, repo_root):
    config = lay_out(tmp_path, count=60)
    out, script = tmp_path / "out", tmp_path / "go.py"
    script.write_text(IMPORT)
    path = os.pathsep.join([str(repo_root), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, str(script), json.dumps(config), str(out)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    while not (out / "manifest.jsonl").exists():
        assert parent.poll() is None
        time.sleep(0.01)
    task = f"/proc/{parent.pid}/task/{parent.pid}/children"
    with open(task) as f:
        workers = [int(pid) for pid in f.read().split()]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert workers
    limit = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < limit, "a worker outlives its parent"
        time.sleep(0.05)
    written = len(read_manifest(out))
    report = go(config, out)
    assert report.shards_written == 21 - written
    go(config, tmp_path / "whole")
    for file in (tmp_path / "whole").glob("toy-*"):
        assert file.read_bytes() == (out / file.name).read_bytes()
