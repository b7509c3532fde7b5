"""Screening by picture: what is kept, crops of panels, data to learn from, both back ends."""

import json

import cv2
import numpy as np
import pytest

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.drawings import draw
from data_gen.pipelines.pubmed.scores.screening import confusion_table, score_kept, score_pictures
from data_gen.pipelines.pubmed.screen.classes import CLASSES, GROUPS, MEDICAL, expand
from data_gen.pipelines.pubmed.screen.classifier import SHIPPED, Classifier
from data_gen.pipelines.pubmed.screen.images import (
    ImageScreen,
    ImageScreenConfig,
    PictureVerdict,
    crops,
)
from data_gen.pipelines.pubmed.screen.job import FigureClassesConfig, FigureClassesJob
from data_gen.pipelines.pubmed.screen.judged import judge_folder, score_judged, summary
from data_gen.pipelines.pubmed.screen.open import open_images
from data_gen.pipelines.pubmed.screen.pictures import phantom_of
from data_gen.pipelines.pubmed.screen.zero_shot import PROMPTS, read_prompts
from medvlp_jax.core.errors import UserError
from medvlp_jax.run.conversion.compact import CARD, WEIGHTS

GRAY = np.full((20, 30, 3), 128, np.uint8)


class ByBrightness:
    """White is a chart, black a CT."""

    classes = ("ct", "chart")

    def probabilities(self, pictures):
        light = np.array([p.mean() / 255 for p in pictures])
        return np.stack([1 - light, light], 1)


def test_a_picture_is_kept_by_the_share_of_the_kept_classes():
    screen = ImageScreen(ImageScreenConfig(least=0.4), ByBrightness())
    dark, light, middle = screen.screen([GRAY // 4, GRAY + 100, GRAY])
    assert (dark.keep, dark.kind, dark.reason) == (True, "ct", "ct")
    assert (light.keep, light.kind, light.reason) == (False, "chart", "shows a chart")
    assert (middle.keep, middle.kind) == (True, "ct")  # enough, though it is rather a chart
    assert middle.score == pytest.approx(1 - 128 / 255, abs=1e-6)
    assert screen.screen([]) == []


def test_the_rule_knows_drawings_by_their_paper():
    screen = open_images(ImageScreenConfig(backend="rule"))
    white = [draw(kind, 1, 128) for kind in ("bar_chart", "table", "flow_diagram", "forest_plot")]
    dark = [draw(kind, 1, 128) for kind in ("fluorescence", "electron_micrograph", "photograph")]
    assert [v.kind for v in screen.screen(white)] == ["drawing"] * 4
    assert [v.keep for v in screen.screen(dark)] == [True] * 3


def test_without_a_back_end_everything_stays():
    screen = open_images(ImageScreenConfig(backend="none"))
    assert [v.reason for v in screen.screen([GRAY, GRAY])] == ["pictures not screened"] * 2


def test_groups_and_classes():
    assert expand(("radiology", "ct", "fundus")) == ("xray", "ct", "mri", "ultrasound", "fundus")
    assert set(MEDICAL) == {name for names in GROUPS.values() for name in names} < set(CLASSES)
    assert all(phantom_of(name).modality == name for name, k in CLASSES.items() if not k)
    for wrong in ({"keep": ("radiologie",)}, {"keep": ()}, {"backend": "clip"}):
        with pytest.raises(ValueError, match=r"radiology|empty|model"):
            ImageScreenConfig(**wrong)


def test_crops_of_panels_are_never_empty():
    figure = np.arange(100 * 50 * 3).reshape(100, 50, 3).astype(np.uint8)
    panels = [Region(0, 0, 0.5, 0.5), Region(0.999, 0.999, 1, 1), Region(-0.2, 0.5, 1.3, 1.0)]
    assert [c.shape for c in crops(figure, panels)] == [(50, 25, 3), (1, 1, 3), (50, 50, 3)]
    assert crops(figure, [])[0] is figure


def test_scores_name_what_was_missed_and_what_was_mistaken():
    kept = score_kept([True, True, False, False], [True, False, True, False])
    assert (kept.precision.value, kept.recall.value, kept.accuracy.value) == (0.5, 0.5, 0.5)
    assert (kept.missed, kept.mistaken) == ((2,), (1,))
    verdicts = [
        PictureVerdict(True, "ct", 1.0, "", {"ct": 0.9}),
        PictureVerdict(True, "ct", 0.6, "", {"ct": 0.5, "chart": 0.4}),
        PictureVerdict(False, "chart", 0.1, "", {"chart": 0.9}),
    ]
    scores = score_pictures(verdicts, ["ct", "chart", "chart"])
    assert scores.confusion == {("ct", "ct"): 1, ("chart", "ct"): 1, ("chart", "chart"): 1}
    assert scores.medical.mistaken == (1,)
    assert scores.kinds.value == pytest.approx(2 / 3)
    assert "chart" in confusion_table(scores)
    with pytest.raises(ValueError, match="2 verdicts on 1"):
        score_kept([True, True], [True])


def test_records_of_drawn_classes_are_functions_of_their_place():
    config = FigureClassesConfig(size=64, per_shard=2, splits=FigureClassesConfig().splits)
    job = FigureClassesJob(config)
    each = config.splits.test
    first = list(CLASSES).index("gel") * each
    shard = next(s for s in job.shards() if s.name.split == "test" and s.start == first)
    records = list(job.records(shard))
    assert [r.provenance["class"] for r in records] == ["gel", "gel"]
    assert [r.images[0].data for r in job.records(shard)] == [r.images[0].data for r in records]
    assert records[0].labels["gel"] == 1
    assert sum(records[0].labels.values()) == 1
    assert records[0].images[0].data != records[1].images[0].data
    ids = {s.name.filename for s in job.shards()}
    assert len(ids) == len(job.shards())


def test_prompts_are_for_known_classes(tmp_path):
    assert tuple(read_prompts(PROMPTS)) == tuple(CLASSES)
    own = tmp_path / "own.json"
    for tree in ({"brain": ["x"], "ct": ["y"]}, {"ct": ["x"]}, {"ct": [], "mri": ["x"]}, [1]):
        own.write_text(json.dumps(tree))
        with pytest.raises(UserError, match=r"own\.json"):
            read_prompts(own)


def test_a_folder_is_judged_and_what_cannot_be_read_is_named(tmp_path):

    cv2.imwrite(str(tmp_path / "a.png"), GRAY // 4)
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "sub" / "b.png"), GRAY + 120)
    (tmp_path / "c.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("not looked at")
    screen = ImageScreen(ImageScreenConfig(), ByBrightness())
    judged = judge_folder(screen, tmp_path)
    assert {j.name: j.verdict and j.verdict.kind for j in judged} == {
        "a.png": "ct",
        "sub/b.png": "chart",
        "c.jpg": None,
    }
    assert "not read: 1" in summary(judged)
    assert score_judged(judged) is None
    (tmp_path / "manifest.csv").write_text("path,modality\na.png,ct\nsub/b.png,mri\n")
    scores = score_judged(judge_folder(screen, tmp_path, drawn=1))
    assert scores is not None
    assert ("sub/b.png", "mri", "chart") in scores.failures
    assert "sub/b.png" in str(scores)
    (tmp_path / "manifest.csv").write_text("path,modality\na.png,brain\n")
    with pytest.raises(UserError, match="modality='brain'"):
        judge_folder(screen, tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        judge_folder(screen, tmp_path / "none")


@pytest.fixture(scope="module")
def shipped():
    return open_images(ImageScreenConfig())


def test_the_shipped_weights_are_small_and_say_how_they_were_made():
    assert (SHIPPED / WEIGHTS).stat().st_size < 1_500_000
    card = json.loads((SHIPPED / CARD).read_text())
    assert "configs/brain/screen.py" in card["about"]["command"]
    assert card["about"]["results"]
    assert tuple(card["config"]["data"]["labels"]) == tuple(CLASSES)


def test_the_number_of_pictures_at_once_changes_no_verdict(shipped):
    pictures = [draw(kind, 9, (70 + 5 * i, 90)) for i, kind in enumerate(("gel", "scatter") * 3)]
    one_by_one = np.concatenate([Classifier(batch=4).probabilities([p]) for p in pictures])
    together = shipped.backend.probabilities(pictures)
    np.testing.assert_allclose(one_by_one, together, atol=1e-4)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-9)


def test_charts_and_other_drawings_are_told_from_medical_pictures(shipped, tmp_path):
    scores = score_judged(judge_folder(shipped, tmp_path, drawn=12))
    assert scores is not None
    assert scores.scores.medical.accuracy.value >= 0.95, scores.failures


def test_real_pictures_are_taken_for_medical(shipped, sample_dir):
    scores = score_judged(judge_folder(shipped, sample_dir))
    assert scores is not None
    assert scores.scores.medical.count == 394
    assert scores.scores.medical.recall.value >= 0.95, str(scores)
