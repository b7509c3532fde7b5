"""What the stages hand on survives JSON, and anything else is refused."""

import json

import pytest

from data_gen.pipelines.pubmed import base


def test_a_whole_article_comes_back():
    figure = base.Figure(
        "f1",
        "Figure 1",
        "(A) One. (B) Two.",
        (base.Mark(0, 3, "bold"),),
        ("f1.jpg",),
        (base.Mention("See Figure 1A.", 4, 13, ("A",), "Results"),),
    )
    article = base.Article("PMC1", 2, figures=(figure,), licence=base.Licence("CC0", "commercial"))
    again = base.from_json(base.Article, json.loads(json.dumps(base.as_json(article))))
    assert again == article


def test_separated_and_pairs_come_back():
    region = base.Region(0.0, 0.0, 0.5, 1.0)
    separated = base.Separated(20, 10, (region,), ((0, base.ReadLabel("a", region, 0.5)),))
    again = base.from_json(base.Separated, json.loads(json.dumps(base.as_json(separated))))
    assert again == separated
    pair = base.Pair((0, 1), 2, "label_match")
    assert base.from_json(base.Pair, json.loads(json.dumps(base.as_json(pair)))) == pair


@pytest.mark.parametrize(
    "value",
    [
        {"panels": [0], "part": 0, "status": "guessed"},
        {"panels": [0], "part": "0", "status": "rejected"},
        {"panels": [0], "part": True, "status": "rejected"},
        {"panels": [0], "status": "rejected"},
        {"panels": [0], "part": 0, "status": "rejected", "more": 1},
        [],
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises((TypeError, ValueError, KeyError)):
        base.from_json(base.Pair, value)
