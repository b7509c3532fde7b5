"""The page of a run: everything that was counted is there, and it can be read on any screen."""

import dataclasses

import pytest
from chromium import Chromium
from matched_figures import matched, picture, split_of

from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.match import match
from data_gen.pipelines.pubmed.page.cards import caption_html, figure_card
from data_gen.pipelines.pubmed.page.counts import Step, funnel
from data_gen.pipelines.pubmed.page.page import PageInputs, write_pubmed_page
from data_gen.pipelines.pubmed.page.shown import (
    PartColours,
    Shown,
    count_reasons,
    merged,
    pick,
    status_of,
)

LONG = "An extraordinarilylongwordwithoutanyblankinit " * 3 + "ends <here> & there."


def again(figure, config=None):
    return dataclasses.replace(figure, pairs=match(figure.separated, figure.split, config))


def figures():
    two = [("A", LONG), ("B", "Two.")]
    whole = MatchConfig(unmatched="whole_figure")
    many = again(matched(6, "...", [(c, f"Part {c}.") for c in "ABCDEFGHIJKLMNOP"]))
    return [
        matched(1), matched(2, "a.c"), matched(3, "acb"), matched(4, "...", two),
        again(matched(5, "...", two), whole), many,
        matched(7, "ABE", [("A", "x" * 300), ("B", "Two."), ("C", "Three.")]),
        again(dataclasses.replace(matched(8), split=split_of([]))),
    ]  # fmt: skip


def shown():
    return [Shown(one, picture(seed=i)) for i, one in enumerate(figures())]


def inputs(**more):
    steps = [
        Step("collect", "articles", 1000, 900, {"retracted": 60, "licence": 40}),
        Step("a stage that loses some", "figures", 20, 11, {"no caption": 4}),
    ]
    unknown = {"value": None, "low": None, "high": None}
    f1 = {"value": 0.93, "low": 0.9, "high": 0.95}
    scores = {"pairs": {"F1": f1, "exchanged labels caught": unknown}}
    counts = count_reasons(one.figure.pairs for one in shown())
    return PageInputs("brain, made up", "About it.", {"articles": 1000, "seed": 0}, steps, counts,
                      shown(), scores=scores, **more)  # fmt: skip


def test_the_page_can_be_read_on_any_screen(tmp_path):
    path = write_pubmed_page(tmp_path / "page.html", inputs())
    with Chromium() as browser:
        for width, dark in ((1300, False), (390, True), (390, False), (1300, True)):
            browser.open(path.as_uri(), width=width, dark=dark)
            got = browser.measure()
            assert got["texts"] > 20
            assert got["outside"] == got["overlapping"] == got["wide"] == got["cut"] == []
        assert all(url.startswith(("file:", "data:")) for url in browser.asked())


def test_what_is_on_the_page(tmp_path):
    text = write_pubmed_page(tmp_path / "page.html", inputs()).read_text()
    for one in figures():
        assert one.key in text
        assert all(pair.status in text for pair in one.pairs)
    assert "60 retracted" in text
    assert "5 not accounted for" in text
    assert "&lt;here&gt; &amp; there" in text
    assert "<here>" not in text
    assert "0.900 to 0.950" in text
    for section in ("funnel", "reasons", "scores", "label_match", "order_match", "whole_figure",
                    "rejected"):  # fmt: skip
        assert f'<section id="{section}">' in text


def test_a_page_of_nothing(tmp_path):
    text = write_pubmed_page(tmp_path / "page.html", PageInputs("empty")).read_text()
    assert "No figure was given" in text


def test_box_letter_and_words_of_a_part_have_one_colour():
    one = Shown(matched(1, "acb"), picture())  # panel 1 is C, panel 2 is B
    colours = PartColours(one.figure)
    assert [colours.name(i) for i in range(3)] == ["A", "C", "B"]
    assert [colours[name] for name in "ABC"] == ["k0", "k1", "k2"]
    text = caption_html(one.figure.split, colours)
    assert '<mark class="k1"><b>(B) </b></mark><mark class="k1">Coronal view. </mark>' in text
    assert '<span class="shared">Brain MRI. </span>' in text
    assert figure_card(one).count('class="box k1"') == 1


def test_what_belongs_to_no_part_is_grey():
    one = Shown(matched(4, "...", [("A", "One."), ("B", "Two.")]), picture())
    card = figure_card(one)
    assert card.count('class="box kx"') == 3
    assert card.count('class="chip kx"') == 5  # three panels and two parts


def test_funnel_says_what_is_not_accounted_for():
    assert "not accounted" not in funnel([Step("s", "u", 5, 3, {"why": 2})])
    assert Step("s", "u", 5, 3, {"why": 1}).unexplained == 1


def test_counts_of_shards_add_up():
    every = [one.pairs for one in figures()]
    assert merged([count_reasons(every[:3]), count_reasons(every[3:])]) == {
        k: dict(v) for k, v in count_reasons(every).items()
    }
    assert status_of(every[3]) == "rejected"
    assert status_of(every[1]) == "label_match"


@pytest.mark.parametrize("count", [1, 4, 8, 20])
def test_every_reason_is_shown_before_a_second_of_one(count):
    every = [one.pairs for one in figures()] * 3
    chosen = pick(every, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 24)
    if count >= 8:
        reasons = {p.reason.partition(": ")[0] for pairs in every for p in pairs}
        assert {p.reason.partition(": ")[0] for i in chosen for p in every[i]} == reasons
