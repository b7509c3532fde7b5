"""Two-stage retrieval: galleries of several texts, ranks, chance, and the second stage."""

import json

import numpy as np
import pytest
from fake_model import batches, read, tokenize

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.matching.reranked import Reranked, chance, gallery_of, ranks
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

WORDS = "abcdefghijkl"


def test_equal_texts_are_one_that_several_images_have():
    found = gallery_of([["A cyst.", "Left."], ["a  CYST"], ["Other"]])
    assert found.texts == ["A cyst.", "Left.", "Other"]
    np.testing.assert_array_equal(found.right, np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool))


def test_ranks_and_chance_equal_a_loop_with_several_right_answers():
    rng = np.random.default_rng(0)
    right = rng.random((30, 20)) < 0.2
    right[np.arange(30), rng.integers(0, 20, 30)] = True
    scores = np.round(rng.normal(size=(30, 20)), 1)  # with ties
    expected = [
        1 + sum(1 for j in range(20) if not r[j] and s[j] >= max(s[r])) for s, r in
        zip(scores, right, strict=True)
    ]  # fmt: skip
    assert ranks(scores, right).tolist() == expected
    hits = [(ranks(rng.normal(size=(30, 20)), right) <= 3).mean() for _ in range(500)]
    assert chance(right, 3) == pytest.approx(np.mean(hits), abs=0.02)
    assert chance(right, 20) == 1.0


class Pairs:
    """Vectors that know half of each text, and a second stage that knows all of it."""

    def __init__(self, count, extra=()):
        self.texts = [[f"{WORDS[i // 2]} {i % 2}", *extra] for i in range(count)]
        labels = np.zeros((count, 3), int)
        said = np.array([json.dumps(t) for t in self.texts])
        number = np.arange(count, dtype=np.float32)
        image = np.tile(number[:, None, None, None], (1, 2, 2, 1))
        self.set = Embedded(
            "pairs", lambda: batches(labels, texts=said, image=image), ("a", "b", "c")
        )

    def predict(self, name, batch):
        half = np.eye(len(WORDS) + 1)
        if name == "image_embed":
            return half[batch["image"][:, 0, 0, 0].astype(int) // 2]
        if name == "image_tokens":
            return batch["image"][:, :1, 0]
        texts = read(batch)
        if name == "text_embed":
            return np.stack([half[WORDS.find(t[0])] for t in texts])
        assert name == "match_logit"
        images = batch["image_tokens"][:, 0, 0].astype(int)
        return np.array(
            [5.0 if t in self.texts[i] else -5.0 for i, t in zip(images, texts, strict=True)]
        )


def evaluate(pairs, **options):
    bootstrap = Bootstrap(50)
    return Reranked(pairs.set, tokenize, bootstrap=bootstrap, **options)(pairs.predict)


def test_the_second_stage_puts_right_what_the_vectors_cannot_tell():
    result = evaluate(Pairs(10), top=4)
    for direction in ("image_to_text", "text_to_image"):
        part = result.details[direction]
        # Of two texts with the same vector the wrong one counts as before the right one.
        assert part["first_r@1"]["value"] == 0.0
        assert part["r@1"]["value"] == 1.0
        assert part["gain_r@1"]["low"] == 1.0
        assert part["chance"]["r@1"] == pytest.approx(0.1)
    assert result.metrics["mean_recall"] == 1.0
    assert result.details["top"] == 4


def test_a_second_stage_of_one_changes_nothing():
    result = evaluate(Pairs(10), top=1)
    # The first of the two is looked at; the other one stays behind it.
    assert result.metrics["image_to_text/r@1"] == 0.5
    assert result.metrics["image_to_text/r@5"] == 1.0


def test_several_texts_of_an_image():
    pairs = Pairs(8, extra=("z z",))
    result = evaluate(pairs, texts="all")
    assert result.details["distinct_texts"] == 9
    assert result.details["texts_per_image"] == 2.0
    assert result.metrics["image_to_text/chance_r@1"] == pytest.approx(2 / 9)
    assert result.metrics["image_to_text/r@1"] == 1.0
    one = evaluate(pairs)
    assert one.details["distinct_texts"] == 8


def test_a_set_without_different_texts_is_refused():
    pairs = Pairs(4)
    labels = np.zeros((3, 3), int)
    said = np.array(['["same"]', '["Same."]', "[]"])
    image = np.zeros((3, 2, 2, 1), np.float32)
    pairs.set = Embedded("pairs", lambda: batches(labels, texts=said, image=image), tuple("abc"))
    with pytest.raises(EvalError, match="2 of 3 records have a text, and no two differ"):
        evaluate(pairs)
