"""Captions: the scores by hand, and the evaluator beside what needs no image."""

import json

import numpy as np
import pytest
from fake_model import batches

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.matching.captioning import Captioning
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.captions import bleu, bleu_counts, rouge_l


def test_rouge_by_hand():
    assert rouge_l("The cat sat", ["the cat, sat."]) == 1.0
    # Longest common subsequence "police the gunman" of 4 and 4 words.
    assert rouge_l("police end the gunman", ["police killed the gunman"]) == 0.75
    assert rouge_l("x y", ["a b", "x b c d"]) == pytest.approx(2 / 6)
    assert rouge_l("", ["a"]) == 0.0


def test_bleu_by_hand():
    said, truth = "a b c d e f", ["a b c d x f"]
    counts = bleu_counts(said, truth)
    assert counts.tolist() == [5, 3, 2, 1, 6, 5, 4, 3, 6, 6]
    expected = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert float(bleu(counts)) == pytest.approx(expected)
    brief = bleu_counts("a b c d", ["a b c d e f"])
    assert float(bleu(brief)) == pytest.approx(np.exp(1 - 6 / 4))
    assert float(bleu(bleu_counts("a a a", ["a b c d"]))) == 0.0
    assert bleu_counts("the the the", ["the cat", "the the"])[0] == 2  # clipped
    assert float(bleu(np.zeros(10))) == 0.0


class Words:
    """A tokenizer of one number a word."""

    name, end_id = "words", 0

    def decode(self, ids):
        return " ".join(f"w{i}" for i in ids)


def test_the_evaluator_beside_what_needs_no_image():
    texts = [["w1 w2 w3"], ["w1 w2 w3"], ["w4 w5", "w6"], []]
    said = np.array([json.dumps(t) for t in texts])
    written = np.array([[1, 2, 3, 0], [1, 2, 0, 0], [6, 0, 0, 0], [1, 0, 0, 0]])
    image = np.arange(4)[:, None, None, None] * np.ones((1, 2, 2, 1))
    test = Embedded(
        "set", lambda: batches(np.zeros((4, 3), int), texts=said, image=image), tuple("abc")
    )

    def predict(name, batch):
        assert name == "caption"
        assert (batch["end"] == 0).all()
        return written[batch["image"][:, 0, 0, 0].astype(int)]

    result = Captioning(test, Words(), Bootstrap(50))(predict)
    assert result.details["records"] == 3
    assert result.details["without_text"] == 1
    assert result.metrics["rouge_l"] == pytest.approx((1 + 0.8 + 1) / 3)
    assert result.metrics["rouge_l_commonest"] == pytest.approx(2 / 3)
    assert result.metrics["rouge_l_low"] <= result.metrics["rouge_l"]
    assert result.details["shown"][2] == {"id": "r2", "said": "w6", "text": "w4 w5"}


def test_a_tokenizer_without_an_end_is_refused():
    words = Words()
    words.end_id = None
    test = Embedded("set", list, ("a",))
    with pytest.raises(ConfigError, match="need a token that ends a text"):
        Captioning(test, words)
