"""Pair F1 as the reader and the separator get worse; ``pytest -s`` prints the table."""

import dataclasses

import pytest
from noisy_figures import Noise, figure

from data_gen.pipelines.pubmed.match.match import match, uncovered
from data_gen.pipelines.pubmed.scores.pairs import count_pairs, score_pairs
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

#: Level of noise -> least lower end of the interval of F1.
LEVELS = {0.0: 1.0, 0.02: 0.98, 0.05: 0.96, 0.1: 0.92, 0.2: 0.85, 0.3: 0.75, 0.5: 0.5}


def run(noise, count, seed=0):
    counts = []
    for i in range(count):
        truth, separated, split = figure(noise, seed + i)
        pairs = match(separated, split)
        assert uncovered(separated, split, pairs) == ([], [])
        counts.append(count_pairs(truth, separated, split, pairs))
    return score_pairs(counts, Bootstrap(resamples=500))


def line(level, told):
    def shown(key):
        part = told[key]
        if part["value"] is None:
            return f"{'–':>20}"
        return f"{part['value']:.3f} ({part['low']:.3f}, {part['high']:.3f})"

    cells = " ".join(shown(k) for k in ("precision", "recall", "f1", "wrong", "rejected"))
    return f"{level:5} {cells} {shown('exchanged_caught')} {told['pairs']}"


@pytest.mark.parametrize("level", LEVELS)
def test_f1_falls_slowly(level):
    told = run(Noise.at(level, exchange=0.15, by_columns=0.15), 150, seed=1000)
    print(line(level, told))
    assert told["f1"]["low"] >= LEVELS[level]
    assert told["precision"]["value"] >= told["recall"]["value"]  # it rejects rather than guesses
    fates = ("recall", "wrong", "fallen_back", "rejected", "missed")
    assert sum(told[key]["value"] for key in fates) == pytest.approx(1)


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_exchanged_labels_are_caught(level):
    """At what the label reader has to reach: 98 % read."""
    told = run(Noise.at(level, exchange=1.0), 300, seed=5000)
    print(line(level, told))
    assert told["exchanged"] > 400
    assert told["exchanged_caught"]["low"] >= 0.95
    assert told["exchanged_right"]["value"] >= 0.93


def test_the_order_alone_catches_no_exchange():
    """The measure sees what a rule without labels does wrong."""
    counts = []
    for seed in range(60):
        truth, separated, split = figure(Noise(exchange=1.0), seed)
        blind = dataclasses.replace(separated, labels=())
        counts.append(count_pairs(truth, blind, split, match(blind, split)))
    told = score_pairs(counts, Bootstrap(resamples=0))
    assert told["exchanged_caught"]["value"] == 0
    assert told["wrong"]["value"] > 0.1


def test_equal_seeds_give_equal_figures():
    assert figure(Noise.at(0.3), 7) == figure(Noise.at(0.3), 7)
    assert figure(Noise.at(0.3), 7) != figure(Noise.at(0.3), 8)
