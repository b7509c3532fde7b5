"""Retrieval against a loop, with equal texts and with ties."""

import numpy as np
import pytest
from fake_model import CLASSES, batches, row_of, tokenize

from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.retrieval import Retrieval, chance_recall, ranks


def _loop(queries, gallery, keys):
    queries, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
    out = []
    for q, key in zip(queries, keys, strict=True):
        s = np.round(gallery @ q, 9)
        best = max(s[keys == key])
        out.append(1 + sum(1 for j in range(len(s)) if keys[j] != key and s[j] >= best))
    return out


@pytest.mark.parametrize("texts", [40, 7, 1])
def test_ranks_equal_a_loop(texts):
    rng = np.random.default_rng(texts)
    keys = rng.integers(0, texts, 40)
    a, b = rng.normal(size=(2, 40, 5))
    assert ranks(a, b, keys).tolist() == _loop(a, b, keys)


def test_more_queries_than_a_block():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600, 4))
    assert ranks(a, b, np.arange(600)).tolist() == _loop(a, b, np.arange(600))


def test_a_constant_model_earns_nothing():
    ones = np.ones((10, 3))
    assert (ranks(ones, ones, np.arange(10)) == 10).all()


@pytest.mark.parametrize("k", [1, 3, 10])
def test_chance_is_what_random_embeddings_get(k):
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 8, 30)
    hits = [(ranks(*rng.normal(size=(2, 30, 6)), keys) <= k).mean() for _ in range(400)]
    assert chance_recall(keys, k) == pytest.approx(np.mean(hits), abs=0.02)
    assert chance_recall(np.arange(30), k) == pytest.approx(k / 30)
    assert chance_recall(keys, 30) == 1.0


def test_evaluator_counts_equal_texts_as_correct():
    n = 12
    key = np.arange(1, n + 1, dtype=np.uint32)
    key[1] = key[0]
    labels = np.zeros((n, 3), int)
    ids, mask = tokenize([chr(ord("a") + i) for i in range(n)])

    def factory():
        return batches(labels, text_key=key, text=ids, text_mask=mask)

    def swapped(name, batch):
        """Images 0 and 1 carry each other's text, and so do 2 and 3."""
        if name == "text_embed":
            return np.eye(n)[batch["text"][:, 0] - ord("a")]
        return np.eye(n)[[{0: 1, 1: 0, 2: 3, 3: 2}.get(r, r) for r in row_of(batch)]]

    got = Retrieval(Embedded("toy", factory, CLASSES), bootstrap=Bootstrap(200))(swapped)
    for direction in ("image_to_text", "text_to_image"):
        assert got.metrics[f"{direction}/r@1"] == pytest.approx((n - 2) / n)
        assert got.metrics[f"{direction}/median_rank"] == 1
        value = got.details[direction]["r@1"]
        assert value["low"] < value["value"] <= value["high"]
    assert got.details["distinct_texts"] == n - 1


def test_a_nan_embedding_names_the_record():
    ids, mask = tokenize(["x"] * 4)

    def factory():
        return batches(np.zeros((4, 3), int), text_key=np.arange(4), text=ids, text_mask=mask)

    def broken(name, batch):
        x = np.ones((4, 3))
        if name == "text_embed":
            x[2] = np.nan
        return x

    with pytest.raises(ValueError, match="text embedding of record 'r2'"):
        Retrieval(Embedded("toy", factory, CLASSES))(broken)
