"""Pair F1 as the reader and the separator get worse; ``pytest -s`` prints the table."""

import pytest
from noisy_figures import Noise, figure

from data_gen.pipelines.pubmed.match.match import match, uncovered
from data_gen.pipelines.pubmed.scores.pairs import count_pairs, score_pairs
from data_gen.pipelines.pubmed.scores.rules import RULES
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

#: Level of noise -> least lower end of the interval of F1.
LEVELS = {0.0: 1.0, 0.02: 0.98, 0.05: 0.95, 0.1: 0.92, 0.2: 0.84, 0.3: 0.74, 0.5: 0.5}


def run(noise, count, seed=0, rule=match):
    counts = []
    for i in range(count):
        truth, separated, split = figure(noise, seed + i)
        pairs = rule(separated, split)
        if rule is match:
            assert uncovered(separated, split, pairs) == ([], [])
        counts.append(count_pairs(truth, separated, split, pairs))
    return score_pairs(counts, Bootstrap(resamples=500))


def line(level, told):
    def shown(key):
        part = told[key]
        if part["value"] is None:
            return f"{'–':>20}"
        return f"{part['value']:.3f} ({part['low']:.3f}, {part['high']:.3f})"

    cells = " ".join(shown(k) for k in ("precision", "recall", "f1", "wrong", "rejected",
                                        "fallen_back"))  # fmt: skip
    return f"{level:5} {cells} {shown('exchanged_caught')} {told['pairs']}"


@pytest.mark.parametrize("level", LEVELS)
def test_f1_falls_slowly(level):
    told = run(Noise.at(level, exchange=0.15, by_columns=0.15), 120, seed=1000)
    print(line(level, told))
    assert told["f1"]["low"] >= LEVELS[level]
    assert told["precision"]["value"] >= told["recall"]["value"]  # it rejects rather than guesses
    fates = ("recall", "wrong", "fallen_back", "rejected", "missed")
    assert sum(told[key]["value"] for key in fates) == pytest.approx(1)


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_exchanged_labels_are_caught(level):
    """At what the label reader has to reach: 98 % read."""
    told = run(Noise.at(level, exchange=1.0), 250, seed=5000)
    print(line(level, told))
    assert told["exchanged"] > 400
    assert told["exchanged_caught"]["low"] >= 0.95
    assert told["exchanged_right"]["value"] >= 0.93


@pytest.mark.parametrize("level", [0.02, 0.2])
def test_rules_of_others_are_wrong_more_often(level):
    """On the same figures: the order alone, and the first panel that reads a label."""
    told = {
        name: run(Noise.at(level, exchange=0.15, by_columns=0.15), 60, 1000, rule)
        for name, rule in RULES.items()
    }
    for name, one in told.items():
        print(f"{name:15}", line(level, one))
        if name != "ours":
            assert one["f1"]["value"] < told["ours"]["f1"]["value"]
            assert one["wrong"]["value"] >= told["ours"]["wrong"]["value"]
    assert told["reading order"]["exchanged_right"]["value"] == 0
    assert told["ours"]["exchanged_right"]["value"] > 0.6


def test_equal_seeds_give_equal_figures():
    assert figure(Noise.at(0.3), 7) == figure(Noise.at(0.3), 7)
    assert figure(Noise.at(0.3), 7) != figure(Noise.at(0.3), 8)
