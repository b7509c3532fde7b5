"""results.json and the report page, made from a made-up run without a model."""

import base64
import html.parser
import io
import json
import math
import re

import numpy as np
import pytest
from fake_model import tokenize
from made_up import COMMAND, DATA, Studies, history, rejects, results_of, run, samples
from PIL import Image as Pillow

from medvlp_jax.data.store.record import Box, Image, Record, Text
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.page.inputs import Heatmap, heatmaps_of, sample_of
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import EVALUATORS
from medvlp_jax.eval.results import config_hash, to_json, write_results
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.pages.boxes import Colours, LabelledBox
from medvlp_jax.pages.charts import Series, line_chart, ticks
from medvlp_jax.pages.curves import points, smooth
from medvlp_jax.pages.html import esc, interval, plain, signed, tag
from medvlp_jax.pages.pictures import heat_layer, to_pil
from medvlp_jax.pages.studies import mark_phrases
from medvlp_jax.pages.tables import verdict
from medvlp_jax.pages.whiskers import whisker

VOID = {"img", "br", "hr", "meta", "input"}


class Page(html.parser.HTMLParser):
    """Checks nesting, and collects what a test asks about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.errors, self.text = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attrs):
        attributes = dict(attrs)
        if name not in VOID:
            self.open.append(name)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [v for k, v in attrs if k in ("href", "src", "srcset", "action", "data")]

    def handle_startendtag(self, name, attrs):
        self.handle_starttag(name, attrs)
        if name not in VOID:
            self.open.pop()

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.errors.append(f"</{name}> at {self.getpos()}")

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def made_up():
    studies, validation = Studies(), Studies(n=24, seed=1)
    evaluations, boot = run(studies, validation)
    return studies, evaluations, boot


@pytest.fixture(scope="module")
def page(made_up, tmp_path_factory):
    studies, evaluations, boot = made_up
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        results=results_of(evaluations, boot, data=DATA, facts={"step": 400}),
        history=history(),
        samples=samples(studies),
        heatmaps=heatmaps_of(evaluations["made-up-grounding"]),
        rejects=rejects(studies),
    )
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed(page):
    parsed = Page(page)
    assert parsed.errors == []
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_page_needs_nothing_from_outside(page):
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "<link" not in page
    for link in Page(page).links:
        assert link.startswith(("#", "data:image/")), link[:60]
    inside = {f"#{i}" for i in Page(page).ids}
    assert {a for a in Page(page).links if a.startswith("#")} <= inside


def test_pictures_are_inlined_and_decode(page):
    found = re.findall(r"data:image/(webp|png);base64,([A-Za-z0-9+/=]+)", page)
    assert len(found) >= 12
    sizes = [Pillow.open(io.BytesIO(base64.b64decode(data))).size for _, data in found]
    assert all(max(size) <= 288 for size in sizes)


def test_the_page_shows_what_was_found(page, made_up):
    text = " ".join(Page(page).text)
    auc = made_up[1]["made-up-zeroshot"].metrics["auc_macro"]
    assert f"{auc:.3f}" in text
    for words in (
        "made-up run", COMMAND, "lung field cut off", "mean brightness", "training loss",
        "peak inside", "F1 oracle", "chance", "view AP", "<b>not markup</b>",
    ):  # fmt: skip
        assert words in text, words
    assert "<b>not markup</b>" not in page  # escaped in the source


def test_results_are_strict_json_and_hold_everything(made_up, tmp_path):
    _, evaluations, boot = made_up
    results = results_of(evaluations, boot, data=DATA)
    path = write_results(tmp_path / "results.json", results)
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
    back = json.loads(path.read_text(), parse_constant=lambda x: pytest.fail(f"{x} in JSON"))
    assert back == results
    assert set(back["evaluations"]) == set(evaluations)
    entry = back["evaluations"]["made-up-zeroshot"]
    assert (entry["set"], entry["split"]) == ("made-up", "test")
    assert entry["validation"] == "made-up, split val"
    assert len(entry["roc"]["value"]["nodule"]) == len(entry["roc"]["false_positive_rate"])
    assert {c["other"] for c in back["comparisons"]} == {
        "made-up-mean brightness",
        "made-up-lung-to-body contrast",
    }
    assert back["command"] == COMMAND
    assert back["seed"] == 7
    assert back["environment"]["versions"]["jax"]


def test_the_report_can_be_made_again_from_results_json(made_up, tmp_path):
    _, evaluations, boot = made_up
    results = results_of(evaluations, boot)
    path = write_results(tmp_path / "results.json", results)
    a = write_report(tmp_path / "a.html", results=results).read_text()
    b = write_report(tmp_path / "b.html", results=json.loads(path.read_text())).read_text()
    assert a == b


def test_config_hash_does_not_depend_on_the_order_of_keys():
    assert config_hash({"a": 1, "b": (2, 3)}) == config_hash({"b": [2, 3], "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_to_json():
    got = to_json({"a": np.float32(1.5), "b": [math.nan, math.inf], 3: np.arange(2), "c": (None,)})
    assert got == {"a": 1.5, "b": [None, None], "3": [0, 1], "c": [None]}


def test_a_page_with_next_to_nothing(tmp_path):
    results = results_of({}, Bootstrap(0))
    page = write_report(tmp_path / "r.html", results=results).read_text()
    assert Page(page).errors == []
    for sentence in ("Nothing was evaluated", "No sample studies", "without a training log"):
        assert sentence in page


def test_undefined_classes_and_no_intervals(tmp_path):
    studies = Studies(n=16)
    studies.labels[:, 3] = 0  # no nodule at all
    studies.box_label[studies.box_label == 3] = -1
    evaluations, _ = run(studies, Studies(n=16, seed=1), resamples=0)
    results = results_of(evaluations, Bootstrap(0))
    page = write_report(tmp_path / "r.html", results=results).read_text()
    assert Page(page).errors == []
    assert "undefined: no positive" in page
    assert "Fewer than 10 positives or negatives" in page
    assert "without a positive or a negative: nodule" in page
    assert "no region in this set" in page
    markup = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    assert "nan" not in re.sub('base64,[^"]*', "", markup).lower()


def test_a_blind_model_is_not_called_better(tmp_path):
    evaluations, boot = run(Studies(), Studies(n=24, seed=1), noise=60.0)
    results = results_of(evaluations, boot)
    page = write_report(tmp_path / "r.html", results=results).read_text()
    card = page[page.index("Zero-shot macro AUC") :][:2500]
    assert "not shown to differ from the best rule" in card
    assert "above the best rule" not in card


@pytest.mark.parametrize(
    ("part", "word"),
    [((0.1, 0.2), "good"), ((-0.2, -0.1), "bad"), ((-0.1, 0.1), "open"), ((None, None), "open")],
)
def test_verdict(part, word):
    assert verdict({"value": 0.0, "low": part[0], "high": part[1]}) == word


def test_pictures_of_positives_without_boxes():
    studies = Studies(n=16)

    def unboxed():
        return ({k: v for k, v in b.items() if not k.startswith("box")} for b in studies.batches())

    data = Embedded("real", unboxed, studies.classes)
    calls = []
    predict = studies.predict_of(0.1)

    def counted(name, batch):
        calls.append(name)
        return predict(name, batch)

    evaluator = EVALUATORS["pictures"](
        data, ["nodule", "fracture"], load_bank("brief"), tokenize, per_class=1
    )
    got = evaluator(counted)
    assert calls.count("patch_embed") <= 2  # only batches with a chosen record
    shown = heatmaps_of(got)
    assert [h.label for h in shown] == ["nodule", "fracture"]
    first = int(np.flatnonzero(studies.labels[:, studies.classes.index("nodule")])[0])
    assert shown[0].id == f"study-{first:05d}"
    np.testing.assert_array_equal(shown[0].image, studies.image[first])
    assert math.isnan(shown[0].hit)
    assert shown[0].boxes.shape == (0, 4)


def test_pictures_of_a_set_without_positives():
    studies = Studies(n=8)
    studies.labels[:] = 0
    data = Embedded("healthy", studies.batches, studies.classes)
    got = EVALUATORS["pictures"](data, ["nodule"], load_bank("brief"), tokenize)(
        studies.predict_of(0.1)
    )
    assert heatmaps_of(got) == []
    assert got.details["pictures"] == 0


def test_heatmaps_without_boxes_get_no_verdict(tmp_path):
    heatmap = Heatmap(
        image=np.zeros((20, 30), np.uint8), heat=np.eye(8), phrase='a "quoted" <phrase>',
        label="mass", boxes=np.zeros((0, 4)), hit=math.nan, set="real",
    )  # fmt: skip
    results = results_of({}, Bootstrap(0))
    page = write_report(tmp_path / "r.html", results=results, heatmaps=[heatmap]).read_text()
    assert Page(page).errors == []
    assert "peak inside" not in page
    assert "peak outside" not in page
    assert "has no boxes" in page
    assert "<phrase>" not in page


# ------------------------------------------------------------------------------------- the parts


def test_long_histories_are_thinned_to_means():
    lines = [{"step": i, "loss": float(i)} for i in range(1, 2001)] + [{"step": 5, "loss": None}]
    x, y = points(lines, "loss")
    assert len(x) == 400
    assert x[0] == y[0] == 3.0  # of 1 to 5
    assert points(lines, "accuracy") == ([], [])


def test_smooth():
    assert smooth([1.0, 2.0, math.nan, 4.0], 3).tolist() == [1.5, 1.5, 3.0, 4.0]
    assert smooth([5.0], 9).tolist() == [5.0]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 1.0), (-3, 7), (0, 13000), (1e-6, 3e-6)])
def test_ticks_are_round_and_inside(low, high):
    got = ticks(low, high, 4)
    assert 2 <= len(got) <= 6
    assert got[0] >= low - 1e-12
    assert got[-1] <= high + 1e-12
    steps = np.diff(got)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_chart_of_broken_and_constant_lines():
    assert line_chart([Series([1, 2], [math.nan, math.nan])], title="t") == ""
    broken = line_chart([Series([1, 2, 3, 4], [1, math.nan, 1, 1])], title="<t>")
    assert "nan" not in broken
    assert broken.count("M") == 2
    assert "&lt;t&gt;" in broken


def test_whisker_places_values_on_its_scale():
    drawn = whisker(0.75, 0.5, 1.0, (0.5, 1.0), width=112)
    assert 'cx="56.0"' in drawn
    assert 'x1="6.0"' in drawn
    assert 'x2="106.0"' in drawn
    outside = whisker(0.1, None, None, (0.5, 1.0), width=112)
    assert 'cx="6.0"' in outside


def test_markup_is_escaped():
    assert tag("p", esc("<&\"'>"), title='"x"', hidden=True, id=None) == (
        '<p title="&quot;x&quot;" hidden>&lt;&amp;&quot;&#x27;&gt;</p>'
    )
    assert [plain(v) for v in (5_400_000, 71.23456, 2024, True)] == [
        "5,400,000", "71.23", "2024", "True",
    ]  # fmt: skip
    assert signed(-0.5) == "−0.500"
    assert "–" in interval({"value": None, "low": None, "high": None})


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("5 \u00b5m nodule", "A 5 \u03bcm Nodule."), ("5 \u03bcm nodule", "A 5 \u00b5m nodule."),
        ("ma\u017fs", "A mass."), ("mass", "A ma\u017fS."), ("l\u0131ne", "A LINE."),
        ("line (left)", "A line (left)."), ("\u212a-wire", "A k-wire."),
    ],
)  # fmt: skip
def test_a_phrase_in_letters_that_only_look_alike_is_marked(phrase, text):
    got = mark_phrases(text, [LabelledBox(0, 0, 1, 1, label="a", phrase=phrase)], Colours())
    assert got == f'A <mark class="k0">{text[2:-1]}</mark>.'


def test_phrases_are_marked_in_the_text():
    boxes = [
        LabelledBox(0, 0, 1, 1, "nodule", "Small nodule"),
        LabelledBox(0, 0, 1, 1, "mass", "nodule"),
        LabelledBox(0, 0, 1, 1, "edema"),
    ]
    got = mark_phrases("A small nodule & a Nodule.", boxes, Colours())
    assert got == ('A <mark class="k0">small nodule</mark> &amp; a <mark class="k1">Nodule</mark>.')


def test_cold_is_transparent_and_hot_is_not():
    layer = heat_layer(np.array([[0.0, 1.0]]))
    assert layer.dtype == np.uint8
    assert layer[0, 0, 3] == 0
    assert layer[0, 1, 3] > 120


def test_large_pictures_are_made_smaller():
    assert to_pil(np.zeros((1000, 500, 1), np.uint8)).size == (144, 288)
    assert to_pil(np.zeros((10, 12, 3), np.uint8)).mode == "RGB"


def test_sample_of_a_record():
    buffer = io.BytesIO()
    Pillow.fromarray(np.full((6, 8), 7, np.uint8)).save(buffer, "png")
    record = Record(
        id="r", images=(Image(buffer.getvalue(), "png", "PA"), Image(b"", "png", "LATERAL")),
        texts=(Text("Clear.", "findings"),), labels={"edema": 0},
        boxes=(Box(0.125, 0.25, 0.5, 0.75, "mass", "a mass"), Box(0, 0, 1, 1, "mass", image=1)),
    )  # fmt: skip
    sample = sample_of(record, note="test")
    assert sample.image.shape == (6, 8)
    assert sample.boxes == (LabelledBox(0.125, 0.25, 0.5, 0.75, "mass", "a mass"),)
    assert (sample.texts, sample.view, sample.note) == ((("findings", "Clear."),), "PA", "test")


def test_an_evaluation_without_a_section_of_its_own_shows_its_numbers(tmp_path):
    boot = {"resamples": 40, "level": 0.95, "by_patient": False, "patients": None}
    entry = {
        "kind": "own_measure", "set": "films", "split": "test", "records": 24,
        "bootstrap": boot, "metrics": {"map": 0.4321, "map_low": 0.4, "map_high": 0.5, "n": None},
    }  # fmt: skip
    results = results_of({}, Bootstrap(0)) | {"evaluations": {"films-boxes": entry}}
    page = write_report(tmp_path / "r.html", results=results).read_text()
    assert Page(page).errors == []
    assert '<section id="own_measure"><h2>Own measure</h2><h3>films, test</h3>' in page
    assert "0.432</span>" in page
    assert "0.400 to 0.500" in page
    assert "map low" not in page
