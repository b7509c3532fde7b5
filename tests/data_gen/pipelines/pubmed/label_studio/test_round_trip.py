"""Tasks of Label Studio: what goes out comes back, corrections count, wrong files say so."""

import copy
import json
import re
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest
from matched_figures import matched, on_disk

from data_gen.pipelines.pubmed.label_studio.files import (
    export_tasks,
    read_corrections,
    write_corrections,
)
from data_gen.pipelines.pubmed.label_studio.interface import INTERFACE
from data_gen.pipelines.pubmed.label_studio.reading import corrected
from data_gen.pipelines.pubmed.label_studio.scores import as_lines, score_corrections
from data_gen.pipelines.pubmed.label_studio.tasks import task
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.matched import read_matched
from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.metrics.bootstrap import Bootstrap


def figures():
    return [
        matched(1), matched(2, "a.c"), matched(3, "acb"),
        matched(4, "...", [("A", "One."), ("B", "Two.")]),
        matched(5, "abc", [("AB", "Both."), ("BC", "The rest.")]), matched(6, "...", []),
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    on_disk(tmp_path, figures())
    export_tasks(tmp_path / "matched.jsonl", tmp_path / "articles", tmp_path / "out")
    return tmp_path


def annotated(folder, change=lambda number, result: result, **more):
    """Writes an export in which the predictions were submitted, changed by ``change``."""
    tasks = json.loads((folder / "out/tasks.json").read_text())
    for number, one in enumerate(tasks):
        result = copy.deepcopy(one["predictions"][0]["result"])
        for item in result:  # as Label Studio writes it
            item.update({"origin": "manual"} if item.get("id") else {})
        one |= {"id": 100 + number, "project": 1, "created_at": "2026-12-01T00:00:00Z"}
        one["annotations"] = [
            {"id": number, "was_cancelled": False, "result": change(number, result),
             "updated_at": "2026-12-01T00:00:00Z", **more}
        ]  # fmt: skip
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def text_of(result, name):
    return next(r for r in result if r.get("id") == name and r["type"] == "textarea")


def test_what_nobody_changes_comes_back_as_it_was(folder):
    done = read_corrections(folder / "matched.jsonl", annotated(folder))
    assert list(done.after) == figures()
    assert done.counts == {
        "annotated": 6, "changed": 0, "confirmed": 6, "skipped": 0, "not annotated": 0,
    }  # fmt: skip
    told = score_corrections(done, Bootstrap(resamples=50))
    assert told["pairs"]["f1"]["value"] == told["labels"]["value"] == 1
    path = write_corrections(done, folder / "out")
    assert read_matched(path) == figures()


def test_a_corrected_pair_counts_against_what_was_found(folder):
    def swap(number, result):
        if number == 0:
            a, b = text_of(result, "panel0"), text_of(result, "panel1")
            a["value"]["text"], b["value"]["text"] = b["value"]["text"], a["value"]["text"]
        return result

    done = read_corrections(folder / "matched.jsonl", annotated(folder, swap))
    assert done.counts["changed"] == 1
    new = done.after[0]
    assert {(p.panels, p.part): (p.status, p.reason) for p in new.pairs} == {
        ((1,), 0): ("label_match", reasons.BY_HAND),
        ((0,), 1): ("label_match", reasons.BY_HAND),
        ((2,), 2): ("label_match", reasons.LABEL),
    }
    told = score_corrections(done, Bootstrap(resamples=200))
    assert told["pairs"]["precision"]["value"] == pytest.approx((told["pairs"]["pairs"] - 2) /
                                                               told["pairs"]["pairs"])  # fmt: skip
    assert "pairs, F1: 0." in as_lines(told)


def test_a_panel_drawn_and_one_deleted(folder):
    def redraw(number, result):
        if number != 1:
            return result
        kept = [r for r in result if r.get("id") not in ("panel1", "label1")
                and "label1" not in (r.get("from_id"), r.get("to_id"))]  # fmt: skip
        place = {"x": 60, "y": 5, "width": 35, "height": 40, "rotation": 0}
        common = {"id": "Xy_1", "to_name": "image", "original_width": 200, "original_height": 160}
        rect = {**common, "type": "rectanglelabels", "from_name": "kind",
                "value": {**place, "rectanglelabels": ["panel"]}}  # fmt: skip
        text = {**common, "type": "textarea", "from_name": "text",
                "value": {**place, "text": ["b"]}}  # fmt: skip
        return [*kept, rect, text]

    done = read_corrections(folder / "matched.jsonl", annotated(folder, redraw))
    new = done.after[1]
    assert [round(p.x0, 2) for p in new.separated.panels] == [0.0, 0.6, 0.0]  # reading order
    assert [(p.panels, p.part, p.reason) for p in new.pairs] == [
        ((0,), 0, reasons.LABEL), ((1,), 1, reasons.BY_HAND), ((2,), 2, reasons.LABEL),
    ]  # fmt: skip
    assert [(i, label.text) for i, label in new.separated.labels] == [(0, "a")]
    told = score_corrections(done, Bootstrap(resamples=50))
    assert told["panels"]["recall"]["value"] == 1  # the old box overlaps by more than half


def test_a_whole_figure_and_one_that_is_left_out(folder):
    def choose(number, result):
        for item in result:
            if item["type"] == "choices" and number < 2:
                item["value"]["choices"] = ["whole figure" if number else "leave out"]
        return result

    done = read_corrections(folder / "matched.jsonl", annotated(folder, choose))
    assert [[(p.panels, p.part, p.status) for p in one.pairs] for one in done.after[:2]] == [
        [((), -1, "rejected")], [((), -1, "whole_figure")],
    ]  # fmt: skip


def test_a_panel_without_words_and_words_without_a_panel_are_rejected(folder):
    def empty(number, result):
        return [r for r in result if number or r != text_of(result, "panel1")]

    new = read_corrections(folder / "matched.jsonl", annotated(folder, empty)).after[0]
    rejected = [(p.panels, p.part) for p in new.pairs if p.status == "rejected"]
    assert rejected == [((), 1), ((1,), -1)]


def test_skipped_and_open_tasks_are_counted(folder):
    path = annotated(folder, was_cancelled=True)
    tasks = json.loads(path.read_text())
    tasks[0]["annotations"] = []
    path.write_text(json.dumps(tasks))
    done = read_corrections(folder / "matched.jsonl", path)
    assert (done.counts["skipped"], done.counts["not annotated"]) == (5, 1)
    assert done.after == ()
    assert "5 skipped" in as_lines(score_corrections(done))


def test_the_last_annotation_counts(folder):
    path = annotated(folder)
    tasks = json.loads(path.read_text())
    old = copy.deepcopy(tasks[0]["annotations"][0])
    old |= {"updated_at": "2025-01-01T00:00:00Z", "result": [{"type": "broken"}]}
    tasks[0]["annotations"].append(old)
    path.write_text(json.dumps(tasks))
    assert read_corrections(folder / "matched.jsonl", path).after[0] == figures()[0]


def test_images_are_found_by_their_address(folder):
    tasks = json.loads((folder / "out/tasks.json").read_text())
    address = tasks[0]["data"]["image"]
    assert address == "/data/local-files/?d=PMC1.1/f1.png"
    export_tasks(folder / "matched.jsonl", folder / "articles", folder / "b", root=str(folder))
    address = json.loads((folder / "b/tasks.json").read_text())[1]["data"]["image"]
    below = urllib.parse.unquote(address.partition("?d=")[2])
    assert (folder / below).is_file()
    with pytest.raises(UserError, match="does not lie below --root"):
        export_tasks(folder / "matched.jsonl", folder / "articles", folder / "c", root="/usr")
    export_tasks(folder / "matched.jsonl", folder / "articles", folder / "d", images="inline")
    inline = json.loads((folder / "d/tasks.json").read_text())[0]["data"]["image"]
    assert inline.startswith("data:image/png;base64,")
    (folder / "articles/PMC1.1/f1.png").unlink()
    with pytest.raises(UserError, match=r"f1\.png.* does not exist"):
        export_tasks(folder / "matched.jsonl", folder / "articles", folder / "e")


def test_a_draw_is_the_same_for_the_same_seed(folder):
    for out in ("x", "y"):
        assert (
            export_tasks(folder / "matched.jsonl", folder / "articles", folder / out, count=3) == 3
        )
    assert (folder / "x/tasks.json").read_bytes() == (folder / "y/tasks.json").read_bytes()


def test_the_interface_has_every_control_that_results_name():
    tree = ElementTree.fromstring(INTERFACE)
    names = {e.get("name"): e.tag.lower() for e in tree.iter() if e.get("name")}
    data = {value[1:] for e in tree.iter() if (value := e.get("value", "")).startswith("$")}
    for one in figures():
        made = task(one, "x")
        assert data <= set(made["data"])
        for item in made["predictions"][0]["result"]:
            if item["type"] == "relation":
                continue
            assert names[item["from_name"]] == item["type"]
            assert names[item["to_name"]] == "image"
            assert re.fullmatch(r"[A-Za-z0-9_-]+", item["id"])


def _value(key, value, name="panel0", kind="rectanglelabels"):
    def change(number, result):
        for item in result:
            if number == 1 and item.get("id") == name and item["type"] == kind:
                item["value"][key] = value
        return result

    return change


WRONG = {
    "text": (_value("text", ["Q"], kind="textarea"), "'Q', which is no label of the caption"),
    "rotated": (_value("rotation", 12), "rotated"),
    "kind": (_value("rectanglelabels", ["arrow"]), "make it a panel or a label"),
    "far out": (_value("x", 150), "a rectangle from"),
    "no width": (_value("width", 0), "a rectangle from"),
    "no number": (_value("x", "left"), "cannot be read"),
    "no value": (lambda n, r: [{"type": "rectanglelabels", "id": "a"}], "cannot be read"),
    "no choice": (lambda n, r: [i for i in r if i["type"] != "choices"], "choose one"),
    "no object": (lambda n, r: ["x"], "no object"),
    "other type": (lambda n, r: [{"type": "brushlabels"}], "brushlabels"),
    "no panel": (
        lambda n, r: [i for i in r if not str(i.get("id")).startswith("panel")], "but no panel",
    ),
    "no text": (
        lambda n, r: [i for i in r if i["type"] != "textarea"], "a label without its text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_annotation_that_cannot_be_used_is_one_line(folder, name):
    change, words = WRONG[name]
    path = annotated(folder, change)
    with pytest.raises(UserError, match=words) as caught:
        read_corrections(folder / "matched.jsonl", path)
    line = str(caught.value)
    assert "\n" not in line
    assert re.search(r"export\.json, task \d \(PMC\d\.1/f1/f1\.png\)", line)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("[", "cannot be read"),
        ('{"tasks": []}', "no list of tasks"),
        ('[{"image": "a.png", "kind": []}]', "task 1 is no task with its data"),
        ('[{"data": {"image": "a.png"}}]', "names no figure"),
        ('[{"data": {"key": "PMC99.1/f1/f1.png"}}]', "is no figure of"),
        ('[{"data": {"key": "PMC1.1/f1/f1.png"}, "annotations": "x"}]', "no list of annotations"),
        ('[{"data": {"key": "PMC1.1/f1/f1.png"}}, {"data": {"key": "PMC1.1/f1/f1.png"}}]',
         "task 2"),
        ('[{"data": {"key": "PMC1.1/f1/f1.png"}, "annotations": [{"result": 5}]}]',
         "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_export_is_one_line(folder, content, words):
    path = folder / "export.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as caught:
        read_corrections(folder / "matched.jsonl", path)
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_refused():
    result = task(matched(), "x")["predictions"][0]["result"]
    for item in result:
        if "original_width" in item:
            item["original_width"] = 512
    with pytest.raises(UserError, match="512 x 160"):
        corrected(matched(), result)


def test_the_command_both_ways(folder, repo_root):
    def launch(*arguments):
        script = str(repo_root / "launch/label_studio.py")
        return subprocess.run(
            [sys.executable, script, f"--matched={folder}/matched.jsonl", *arguments],
            capture_output=True, text=True, check=False, cwd=repo_root,
        )  # fmt: skip

    done = launch(f"--articles={folder}/articles", f"--out={folder}/review", "--count=4")
    assert done.returncode == 0, done.stderr
    assert "4 tasks" in done.stdout
    done = launch(f"--corrected={annotated(folder)}", f"--out={folder}/review", "--resamples=50")
    assert done.returncode == 0, done.stderr
    assert "6 confirmed" in done.stdout
    assert "pairs, F1: 1.000 (1.000 to 1.000)" in done.stdout
    assert json.loads((folder / "review/scores.json").read_text())["tasks"]["annotated"] == 6
    done = launch(f"--out={folder}/review")
    assert done.returncode == 2
    assert done.stderr == "error: give --articles to make tasks, or --corrected to read them back\n"
