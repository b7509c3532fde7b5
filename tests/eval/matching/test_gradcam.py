"""Grad-CAM: pieces of a phrase added up, the two signs, and the scores of grounding."""

import numpy as np
import pytest
from fake_model import batches, row_of

from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.heatmap import MapConfig
from medvlp_jax.eval.matching.gradcam import Both, GradCam, MatchMaps
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.zeroshot.promptbank import load_bank

GRID = 4
#: Quarters of the image by the words that name them.
PLACES = {"upper left": (0, 0), "upper right": (0, 2), "lower left": (2, 0), "lower right": (2, 2)}


class Letters:
    """[ENC], a token for each letter, [SEP]; words are apart at spaces."""

    def __call__(self, texts):
        longest = max(map(len, texts)) + 2
        ids, mask = np.zeros((len(texts), longest), np.int32), np.zeros((len(texts), longest), bool)
        for row, text in enumerate(texts):
            ids[row, : len(text) + 2] = [1, *map(ord, text), 2]
            mask[row, : len(text) + 2] = True
        return ids, mask

    def word_ids(self, texts):
        out = np.full((len(texts), max(map(len, texts)) + 2), -1, np.int32)
        for row, text in enumerate(texts):
            out[row, 0] = 0
            out[row, 1 : len(text) + 1] = np.cumsum([c == " " for c in text]) + 1
        return out


def predict(name, batch):
    """Letters look at their quarter by the second sign, all over by the first; [ENC] and [SEP] look
    at a corner, ten times as hard."""
    assert name == "match_map"
    b, t = batch["text"].shape
    maps = np.zeros((b, 2, t, GRID, GRID), np.float32)
    maps[:, 0] = 1.0
    for row, ids in enumerate(batch["text"]):
        text = "".join(chr(i) for i in ids if i > 2)
        y, x = PLACES[text.lower()]
        for at, i in enumerate(ids):
            if i > 2:
                maps[row, 1, at, y : y + 2, x : x + 2] = 1.0
            elif i:
                maps[row, 1, at, 0, 0] = 10.0
        assert row_of(batch)[row] == list(PLACES).index(text.lower())
    return maps


@pytest.fixture
def test_set():
    boxes, phrases = np.zeros((4, 2, 4), np.float32), np.full((4, 2), "", dtype=object)
    label = np.full((4, 2), -1, np.int32)
    for row, (name, (y, x)) in enumerate(PLACES.items()):
        corners = x / GRID, y / GRID, (x + 2) / GRID, (y + 2) / GRID
        boxes[row, 0], phrases[row, 0], label[row, 0] = corners, name.title(), 0
    labels = np.ones((4, 1), int)
    columns = {"boxes": boxes, "box_label": label, "box_phrase": phrases.astype(str)}
    return lambda: Embedded("set", lambda: batches(labels, **columns), ("nodule",))


def grounding(data, sign):
    tokenize = Letters()
    return GradCam(
        data,
        ("nodule",),
        load_bank("reports"),
        tokenize,
        query="phrases",
        maps=MapConfig(0.0, size=16),
        bootstrap=Bootstrap(20),
        pictures=1,
        column=MatchMaps(tokenize, sign),
    )


def test_the_maps_of_a_phrase_are_those_of_its_pieces_without_the_marks_around_it(test_set):
    data = test_set()
    column = data.want(MatchMaps(Letters(), "match"))
    maps = data.rows(predict)[column]
    for (name, (y, x)), found in zip(PLACES.items(), maps, strict=True):
        expected = np.zeros((1, GRID, GRID))
        expected[0, y : y + 2, x : x + 2] = len(name)
        np.testing.assert_array_equal(found, expected)


def test_both_signs_are_scored_and_the_published_one_leads(test_set):
    both = Both(grounding(test_set(), "loss"), grounding(test_set(), "match"))
    result = both(predict)
    assert result.details["kind"] == "gradcam"
    assert result.metrics["pairs"] == 4
    assert result.metrics["pointing"] == pytest.approx(0.25)  # a flat map points anywhere
    assert result.metrics["match_pointing"] == 1.0
    assert result.details["of_match"]["overall"]["pointing"]["value"] == 1.0
    assert result.arrays["shown_map"].shape == (1, 16, 16)
