"""Scores of pairs, by hand and against plain counting."""

import dataclasses

import numpy as np
import pytest
from matched_figures import PANELS, matched

from data_gen.pipelines.pubmed import base
from data_gen.pipelines.pubmed.scores.alignment import (
    alignment_f1,
    cut_out,
    score_alignment,
    tokens,
)
from data_gen.pipelines.pubmed.scores.pairs import FigureCounts, count_pairs, score_pairs
from data_gen.pipelines.pubmed.scores.ratios import clusters_of, f1_interval, ratio_intervals
from data_gen.pipelines.pubmed.scores.rules import first_hit, in_order
from data_gen.pipelines.pubmed.scores.truth import (
    TrueFigure,
    TruePanel,
    found_panels,
    true_figure,
)
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

NONE = Bootstrap(resamples=0)


def truth_of(figure, exchanged=()):
    return true_figure(figure.separated.panels, figure.split, figure.pairs, "PMC1", exchanged)


def counts(figure, truth, **more):
    changed = dataclasses.replace(figure, **more)
    return count_pairs(truth, changed.separated, changed.split, changed.pairs)


def test_what_is_right_is_counted_right():
    figure = matched()
    got = counts(figure, truth_of(figure))
    assert got == FigureCounts(claims=3, right_claims=3, true=3, found=3)


def test_every_way_to_be_wrong_has_its_own_class():
    figure = matched()
    truth = truth_of(figure, exchanged=(0, 1))
    pairs = (
        base.Pair((0,), 1, "label_match"),  # the part of another panel
        base.Pair((), 0, "rejected", "why"),
        base.Pair((1,), -1, "rejected", "why"),
        base.Pair((2,), 2, "order_match"),
    )
    got = counts(figure, truth, pairs=pairs)
    assert (got.claims, got.right_claims, got.true, got.found) == (2, 1, 3, 1)
    assert (got.wrong, got.rejected, got.missed, got.fallen_back) == (1, 1, 0, 0)
    assert (got.exchanged, got.exchanged_right, got.exchanged_said) == (2, 0, 1)
    far = base.Region(0.9, 0.9, 1.0, 1.0)
    lost = dataclasses.replace(figure.separated, panels=(PANELS[0], far, PANELS[2]))
    got = counts(figure, truth, separated=lost)
    assert (got.claims, got.right_claims, got.found, got.missed) == (3, 2, 2, 1)
    whole = (base.Pair((), -1, "whole_figure", "why"),)
    got = counts(figure, truth, pairs=whole)
    assert (got.claims, got.found, got.fallen_back, got.whole) == (0, 0, 3, 0)
    assert got.exchanged_said == 2


def test_a_claim_by_a_part_of_several_letters_is_right_if_one_is_the_panels():
    truth = TrueFigure((TruePanel(PANELS[0], (("A",),)), TruePanel(PANELS[1], (("C",),))))
    figure = matched(1, "a.", [("AB", "Both."), ("C", "Three.")])
    two = dataclasses.replace(figure.separated, panels=PANELS[:2])
    pairs = (base.Pair((0, 1), 0, "label_match"),)
    got = counts(figure, truth, separated=two, pairs=pairs)
    assert (got.claims, got.right_claims, got.found, got.wrong) == (2, 1, 1, 1)


def test_a_part_with_one_label_may_be_given_as_the_label():
    assert TruePanel(PANELS[0], ("A1", ("B", "C"))).parts == (("A1",), ("B", "C"))


def test_figures_without_pairs_are_measured_apart():
    single = TrueFigure((TruePanel(PANELS[0]),))
    figure = matched()
    whole = (base.Pair((), -1, "whole_figure", "why"),)
    assert counts(figure, single, pairs=whole) == FigureCounts(whole=1, right_whole=1)
    assert counts(figure, single) == FigureCounts(whole=1)


def test_scores_are_ratios_of_sums():
    one = FigureCounts(claims=4, right_claims=3, true=5, found=3, wrong=1, rejected=1)
    two = FigureCounts(claims=1, right_claims=1, true=3, found=1, missed=1, fallen_back=1)
    told = score_pairs([one, two, FigureCounts(whole=1, right_whole=1)], NONE)
    assert told["precision"]["value"] == pytest.approx(4 / 5)
    assert told["recall"]["value"] == pytest.approx(4 / 8)
    assert told["f1"]["value"] == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert told["wrong"]["value"] == pytest.approx(1 / 8)
    assert told["whole"]["value"] == 1
    assert told["exchanged_caught"]["value"] is None
    assert (told["figures"], told["pairs"]) == (3, 8)


def test_intervals_draw_figures_and_whole_articles():
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 5, 60).astype(float), np.full(60, 5.0)
    plain = ratio_intervals({"x": above}, {"x": below}, Bootstrap(resamples=800))["x"]
    assert plain.low < plain.value < plain.high
    ids = clusters_of([f"PMC{i // 20}" for i in range(60)])
    few = ratio_intervals({"x": np.repeat([0.0, 2.0, 5.0], 20)}, {"x": below},
                          Bootstrap(resamples=800), ids)["x"]  # fmt: skip
    assert few.high - few.low > plain.high - plain.low
    same = f1_interval((above, below), (above, below), Bootstrap(resamples=800))
    assert same.value == pytest.approx(plain.value)
    assert (same.low, same.high) == pytest.approx((plain.low, plain.high))


def test_f1_of_nothing_right_is_zero_and_of_nothing_asked_unknown():
    zero, five, none = np.zeros(3), np.full(3, 5.0), np.zeros(3)
    assert f1_interval((zero, five), (zero, five), NONE).value == 0
    assert np.isnan(f1_interval((none, none), (none, none), NONE).value)


def test_panels_are_found_one_to_one():
    truth = [TruePanel(box) for box in PANELS]
    twice = [PANELS[0], PANELS[0], base.Region(0.5, 0.0, 1.0, 0.5)]
    assert found_panels(twice, truth) == {0: 0, 2: 1}
    assert found_panels([], truth) == {}


def test_medicat_alignment_by_hand():
    truth = TrueFigure(
        (
            TruePanel(PANELS[0], text="Axial MRI of the tumour"),
            TruePanel(PANELS[1], text="Coronal MRI of the ventricle"),
            TruePanel(PANELS[2], text="MRI of the"),  # nothing but common words
        )
    )
    # "MRI of the" is common; panel 1 has no prediction near it
    got = alignment_f1(truth, [PANELS[0], PANELS[2]], ["axial MRI, tumour and edge", "x"])
    assert got == pytest.approx([2 * 2 / (2 + 4), 0.0])
    assert alignment_f1(truth, PANELS, [p.text for p in truth.panels]) == pytest.approx([1, 1])
    assert alignment_f1(truth, [], []) == pytest.approx([0, 0])
    assert tokens("T2-weighted (5 mm), α") == {"t2", "weighted", "5", "mm", "α"}


def test_what_records_show_is_aligned():
    figure = matched()
    truth = truth_of(figure)
    panels, said = cut_out(figure.separated, figure.split, figure.pairs)
    assert said == ["Axial view.", "Coronal view.", "The lesion."]
    right = alignment_f1(truth, panels, said)
    assert right == pytest.approx([1, 1, 1])
    whole = (base.Pair((), -1, "whole_figure", "why"),)
    fell = alignment_f1(truth, *cut_out(figure.separated, figure.split, whole))
    assert fell == pytest.approx([0, 0, 0])
    got = score_alignment([right, fell[:1]], Bootstrap(resamples=100), ["PMC1", "PMC2"])
    assert got.value == pytest.approx(3 / 4)
    assert (got.low, got.high) == (0, 1)


def test_the_rules_of_others():
    figure = matched(1, "cab", [("A", "One."), ("B", "Two."), ("CD", "Three.")])
    pairs = first_hit(figure.separated, figure.split)
    assert [(p.panels, p.status) for p in pairs] == [
        ((1,), "label_match"), ((2,), "label_match"), ((), "whole_figure"),
    ]  # fmt: skip
    assert [p.panels for p in in_order(figure.separated, figure.split)] == [(0,), (1,), (2,)]
    fewer = matched(1, "...", [("A", "One."), ("B", "Two.")])
    assert [p.status for p in in_order(fewer.separated, fewer.split)] == ["rejected"]
    got = count_pairs(truth_of(matched()), figure.separated, figure.split, pairs)
    assert (got.wrong, got.rejected, got.found) == (2, 1, 0)
    alone = count_pairs(truth_of(matched()), figure.separated, figure.split, pairs[2:])
    assert (alone.fallen_back, alone.rejected) == (1, 2)  # of the part of C and D, C alone is true
