"""Edit similarity of sub-captions."""

import random

import pytest

from data_gen.pipelines.pubmed.captions import split
from data_gen.pipelines.pubmed.scores.captions import (
    caption_scores,
    caption_similarity,
    edit_distance,
    similarity,
)


def by_table(a: str, b: str) -> int:
    """The textbook's table, cell by cell."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def test_distance_equals_the_table():
    chance = random.Random(0)
    for _ in range(200):
        a, b = ("".join(chance.choices("abc é𝔸", k=chance.randrange(12))) for _ in range(2))
        assert edit_distance(a, b) == edit_distance(b, a) == by_table(a, b)


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [("", "", 1.0), ("abc", "", 0.0), ("abcd", "abed", 0.75), ("x", "x", 1.0), ("ab", "cd", 0.0)],
)
def test_similarity(a, b, value):
    assert similarity(a, b) == value


def test_absent_labels_count_nothing_and_further_ones_are_not_asked():
    assert caption_similarity({"A": "ab", "B": "cd"}, {"A": "ab", "C": "cd"}) == 0.5
    assert caption_similarity({}, {"A": "x"}) is None


def test_means_over_captions():
    splits = [split("(A) One. (B) Two."), split("Nothing."), split("Nothing.")]
    scores = caption_scores([{"A": "One.", "B": "Two."}, {}, {"A": "x"}], splits)
    assert scores == {"captions": 3, "labelled": 2, "labels_exact": 2 / 3, "similarity": 0.5}
    assert caption_scores([], []) == {"captions": 0, "labelled": 0}
