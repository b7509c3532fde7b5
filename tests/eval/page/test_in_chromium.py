"""The parts of a report page in a real browser: nothing leaves its picture, nothing is hidden."""

import math

import numpy as np
import pytest
from chromium import Chromium
from made_up import seen_lines

from medvlp_jax.eval.page.classes.reliability import reliability_grid
from medvlp_jax.eval.page.classes.scores import multiway_block
from medvlp_jax.eval.page.curves import curves_section
from medvlp_jax.eval.page.entry import where
from medvlp_jax.eval.page.example_cards import answered_figures, detected_figures, wrong_figures
from medvlp_jax.eval.page.examples import Answer, Answered, Detected, WrongCall
from medvlp_jax.eval.page.heatmaps import heatmaps_section
from medvlp_jax.eval.page.inputs import Heatmap
from medvlp_jax.pages.boxes import (
    Colours,
    LabelledBox,
    Place,
    boxes_svg,
    fitted,
    free_place,
    text_width,
)
from medvlp_jax.pages.charts import Series, line_chart, spread
from medvlp_jax.pages.page import write_page
from medvlp_jax.pages.seen import seen_section
from medvlp_jax.pages.studies import Sample, mark_phrases, samples_section
from medvlp_jax.pages.tables import nth, table, td, th

NAMES = (
    "pleural effusion", "enlarged cardiomediastinum of uncertain significance", "edema",
    "胸腔积液和肺不张", "WWWWWWWWWWWWWWWWWWWW", "pneumothorax", "Пневмоторакс справа", "mass",
)  # fmt: skip


def crowded(count, seed=0):
    """Boxes on each other, at the edges and beyond them, with short and long names."""
    rng = np.random.default_rng(seed)
    boxes = [LabelledBox(0, 0, 0.02, 0.02, NAMES[1]), LabelledBox(0.98, 0.98, 1, 1, NAMES[4]),
             LabelledBox(-0.2, 0.9, 1.3, 1.2, NAMES[0]),
             LabelledBox(0.4, 0.4, 0.4, 0.4, NAMES[3])]  # fmt: skip
    for i in range(count):
        x, y = rng.uniform(-0.05, 0.95, 2)
        w, h = rng.uniform(0, 0.5, 2)
        boxes.append(LabelledBox(x, y, x + w, y + h, NAMES[i % len(NAMES)]))
    return tuple(boxes)


def sections():
    film = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    sizes = ((64, 64), (900, 300), (20, 400), (512, 640), (1, 1))
    samples = [
        Sample(np.full(size, 90, np.uint8), (("findings", "Clear."),), crowded(12, i), id=f"s{i}",
               note="x" * 60, labels=dict.fromkeys(NAMES, 1))
        for i, size in enumerate(sizes)
    ]  # fmt: skip
    history = [
        {"step": i, "loss": 5 - i / 300, "pair_loss": 4.1 - i / 500, "lr": 1.234e-5 * (1 - i / 1e3),
         "logit_scale": 14.2857 + i / 100, "pairs_per_second": 123456.0 + i,
         "a/auc_macro": 0.9, "b/auc_macro": 0.9001, "c/auc_macro": 0.899}
        for i in range(1, 1000, 50)
    ]  # fmt: skip
    config = {"task": {"name": "contrastive", "loss": "infonce"}, "data": {"batch_size": 4096}}
    n = len(NAMES)
    part = {"value": 0.5, "low": 0.4, "high": 0.6}
    top1 = {
        "records": 900, "balanced_accuracy": part, "accuracy": part, "chance": 1 / n,
        "confusion": {"classes": NAMES, "counts": np.arange(n * n).reshape(n, n).tolist()},
        "recall": dict.fromkeys(NAMES, part),
    }  # fmt: skip
    bins = {"count": [5] * 10, "said": np.linspace(0.05, 0.95, 10), "true": np.linspace(0, 1, 10)}
    entry = {"reliability": dict.fromkeys(NAMES, bins),
             "classes": [{"name": k, "ece": {"value": 0.1}} for k in NAMES]}  # fmt: skip
    head = [th("class"), *(nth(f"a column with a long name {i}") for i in range(14))]
    wide = table(head, [[th("row"), *(td("0.123 [0.1, 0.2]", class_="n") for _ in range(14))]])
    answers = tuple(Answer("A long report. " * 20, 0.5, i == 1) for i in range(5))
    heat = Heatmap(np.full((30, 90), 80, np.uint8), np.eye(9), "a phrase", "mass",
                   np.array([[0.1, 0.1, 0.5, 0.5]]), math.nan, id="x" * 50)  # fmt: skip
    return [
        ("samples", "Sample studies", samples_section(samples)),
        ("training", "Training of the model", curves_section(history, config)),
        ("seen", "What was seen", seen_section(list(seen_lines((10, 20000), ["b", *NAMES])))),
        ("alone", "One chart", line_chart([Series([1], [1e-9])], title="alone")),
        ("several", "One of several classes", multiway_block({"top1": top1})),
        ("reliable", "Reliability", reliability_grid(entry)),
        ("wide", "A wide table", wide),
        ("answers", "Answers", answered_figures([Answered(film, "i" * 40, "Own.", answers)])),
        ("wrong", "Errors", wrong_figures([WrongCall(film, "w" * 40, NAMES[1], 0.9, False)])),
        ("boxes", "Boxes", detected_figures([Detected(film, "d", crowded(6), crowded(5, 9))])),
        ("heat", "Phrases on images", heatmaps_section({0: heat})),
        *((f"more{i}", f"A further section, number {i}", "") for i in range(6)),
    ]


def test_nothing_leaves_its_picture_and_nothing_is_hidden(tmp_path):
    path = write_page(tmp_path / "page.html", "hard cases", "", sections())
    with Chromium() as browser:
        for width, dark in ((1300, False), (390, True)):
            browser.open(path.as_uri(), width=width, dark=dark)
            found = browser.measure()
            assert found["texts"] > 60
            assert found["outside"] == []
            assert found["overlapping"] == []
            assert found["wide"] == []
            background = browser.run("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(13, 18, 24)") == dark
            # At 1,300 px a table of fifteen wide columns scrolls, and shows that it does.
            hidden = [line for line in found["cut"] if "a column with a long name" not in line
                      and "0.123" not in line]  # fmt: skip
            assert (hidden if width > 1000 else found["cut"]) == []
        assert browser.asked()
        assert all(url.startswith(("file:", "data:")) for url in browser.asked())


def test_the_measure_finds_what_is_wrong(tmp_path):
    """It must not pass because it sees nothing."""
    bad = (
        '<svg viewBox="0 0 100 40" width="100" height="40" class="film">'
        '<text x="80" y="20">far outside</text><text x="5" y="20">one</text>'
        '<text x="9" y="22">other</text></svg><p style="white-space:nowrap">' + "wide " * 500
    )
    path = write_page(tmp_path / "bad.html", "bad", "", [("a", "A", bad)])
    with Chromium() as browser:
        browser.open(path.as_uri(), width=390)
        found = browser.measure()
    assert len(found["outside"]) == 1
    assert found["overlapping"] == ["other on one"]
    assert found["cut"]


@pytest.mark.parametrize("size", [(288, 288), (288, 60), (20, 288), (40, 40)])
def test_names_find_free_places(size):
    width, height = size
    taken = []
    for seed in range(6):
        taken = []
        for b in crowded(15, seed):
            name, wide = fitted(b.label, width - 4)
            box = Place(b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height)
            place = free_place(box, wide, width, height, taken)
            if not name or place is None:
                continue
            assert 0 <= place.x0 < place.x1 <= width
            assert 0 <= place.y0 < place.y1 <= height
            assert not any(place.meets(t) for t in taken)
            taken.append(place)
    assert taken or min(size) < 30


def test_long_names_are_shortened_and_told_by_the_pointer():
    name, wide = fitted(NAMES[1], 100)
    assert name.endswith("…")
    assert wide <= 100
    assert text_width("edema") < text_width("pleural effusion")
    drawn = boxes_svg([LabelledBox(0, 0, 1, 1, NAMES[1])], 80, 80, Colours())
    assert f"<title>{NAMES[1]}</title>" in drawn
    assert "textLength" in drawn


@pytest.mark.parametrize(
    ("phrase", "text"),
    [("5 µm nodule", "A 5 μm nodule."), ("ſmall maſs", "SMALL MASS"), ("K", "a \u212a sign"),
     ("İnfiltrate", "the İnfiltrate"), ("a|b (c", "A|B (C")],
)  # fmt: skip
def test_phrases_that_match_without_regard_to_case_are_marked(phrase, text):
    box = LabelledBox(0, 0, 1, 1, "nodule", phrase)
    got = mark_phrases(text, [box], Colours())
    assert '<mark class="k0">' in got


def test_labels_at_the_ends_of_lines_keep_apart():
    assert spread([5.0, 5.0, 5.0], 10, 0, 100) == [5.0, 15.0, 25.0]
    assert spread([99.0, 98.0], 12, 0, 100) == [100.0, 88.0]
    assert spread([3.0, 50.0], 12, 0, 100) == [3.0, 50.0]


def test_a_set_named_after_its_split_is_named_once():
    assert where({"set": "test", "split": "test"}) == "test"
    assert where({"set": "nih", "split": "test"}) == "nih, test"


def test_cells_know_their_column():
    head = [th("class"), nth("AUC<svg><text>1</text></svg>"), th("n <small>all</small>")]
    rows = [[th("a"), td("1"), td("2")], [td("none", colspan=2)], [td("3"), td("4")]]
    got = table(head, rows)
    assert got.count('data-label="AUC"') == 2
    assert got.count('data-label="n all"') == 2
    assert '<td colspan="2">none' in got
