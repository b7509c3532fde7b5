"""Experiments of many runs: the grid, what a run leaves, the table, and one that really runs."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from configs.cxr import synthetic_vs_real
from data_gen.phantom.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.run.grid import run
from medvlp_jax.run.grid.grid import Budget, find, parse_grid, steps_of, training_config, trials
from medvlp_jax.run.grid.outcome import Measure, Outcome, OutcomeError
from medvlp_jax.run.grid.page import write_page
from medvlp_jax.run.grid.summary import summarise

METHOD = {
    "name": "tiny",
    "model": {
        "vision": {"name": "vit_s16", "patch": 16, "width": 16, "depth": 1, "heads": 2},
        "text": {"name": "bert_mini", "vocab": 300, "width": 16, "depth": 1, "heads": 2},
        "embed_dim": 8,
        "dtype": "float32",
    },
    "task": {"name": "contrastive"},
    "data": {
        "batch_size": 8,
        "image": {"size": 32, "channels": 1},
        "text": {"buckets": [32], "vocab": 300},
        "labels": ["edema", "nodule", "no finding"],
    },
    "optim": {"lr": 1e-3, "warmup_steps": 20},
    "loop": {"steps": 99, "save_every": 50},
    "eval": {"sets": {}},
}


def grid_of(tmp_path, **changes):
    return parse_grid(
        {
            "name": "toy",
            "methods": {"tiny": METHOD},
            "data": {"real": str(tmp_path / "a"), "synthetic": str(tmp_path / "b")},
            "conditions": {"synthetic": ["synthetic"], "mixed": ["real", "synthetic"],
                           "real": ["real"]},
            "sets": {"real": {"path": "real", "split": "test", "evaluators": ["zeroshot"]}},
            "budgets": {"steps": {"steps": 3, "epochs": 0.0}},
            "seeds": [0, 1],
            "bootstrap": {"resamples": 50},
        }
        | changes
    )  # fmt: skip


def test_the_grid_is_balanced_by_seed_and_begins_with_the_reference(tmp_path):
    names = [t.name for t in trials(grid_of(tmp_path))]
    assert names[:3] == ["tiny-real-steps-0", "tiny-synthetic-steps-0", "tiny-mixed-steps-0"]
    assert len(names) == 6
    assert find(grid_of(tmp_path), "tiny-mixed-steps-1").condition == "mixed"
    with pytest.raises(ConfigError, match="tiny-mixed-steps-1"):
        find(grid_of(tmp_path), "tiny-mixed-steps-7")


def test_the_config_of_a_run(tmp_path):
    grid = grid_of(tmp_path)
    config = training_config(grid, find(grid, "tiny-mixed-steps-1"))
    assert [s["path"] for s in config["data"]["sources"]] == [*grid.data.values()]
    assert (config["seed"], config["loop"]["steps"], config["loop"]["save_every"]) == (1, 3, 3)
    assert config["optim"]["warmup_steps"] == 0
    assert config["eval"]["sets"]["real"]["path"] == grid.data["real"]
    assert METHOD["loop"]["steps"] == 99


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": "rael"}, "did you mean"),
        ({"conditions": {"real": ["unreal"]}}, "did you mean conditions.real.real"),
        ({"compared": {"tiny": "tyni"}}, "did you mean compared.tiny.tiny"),
        ({"compared": {"tiny": "tiny"}}, "is the method itself"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"budgets": {"both": {"steps": 3, "epochs": 1.0}}}, "steps or epochs"),
    ],
)
def test_wrong_grids(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        grid_of(tmp_path, **changes)


def test_the_shipped_grid_is_valid():
    grid = parse_grid(synthetic_vs_real.get_config("small"))
    assert len(trials(grid)) == 2 * 4 * 2 * 3
    assert grid.sets["real"].validation == "real_validation"


def test_a_condition_trains_on_its_splits_and_is_compared_with_its_own(tmp_path):
    grid = grid_of(
        tmp_path,
        splits={"synthetic": ["train1", "train2"]},
        against={"synthetic": "mixed"},
    )
    config = training_config(grid, find(grid, "tiny-synthetic-steps-0"))
    assert config["data"]["sources"] == [
        {"path": grid.data["synthetic"], "split": split} for split in ("train1", "train2")
    ]
    found = {t: outcome(t.seed, shift=len(t.condition) / 10) for t in trials(grid)}
    rows = summarise(grid, found)["rows"]
    minus = {r["condition"]: r["minus"] for r in rows if r["evaluation"] == "real-zeroshot"}
    assert minus == {"real": "", "synthetic": "mixed", "mixed": "real"}
    with pytest.raises(ConfigError, match=r"did you mean against\.synthetic\.mixed"):
        grid_of(tmp_path, against={"synthetic": "mixd"})
    with pytest.raises(ConfigError, match=r"did you mean splits\.mixed"):
        grid_of(tmp_path, splits={"mixd": ["train1"]})


def test_retrieval_is_measured_by_the_mean_of_both_ways():
    arrays = {
        "ids": np.array(["a", "b", "c", "d"]),
        "rank_image_to_text": np.array([1, 5, 6, 9]),
        "rank_text_to_image": np.array([2, 7, 3, 8]),
    }
    measure = Measure(arrays)
    assert measure.value == pytest.approx(0.5)
    only_b = np.array([[0], [4], [0], [0]], np.int32)
    assert measure(only_b)[0] == pytest.approx(0.5)
    only_a = np.array([[4], [0], [0], [0]], np.int32)
    assert measure(only_a)[0] == pytest.approx(1.0)


def outcome(seed, shift=0.0, n=60):
    """A made-up run: AUC grows with ``shift``; the records are the same for every seed."""
    labels = np.random.default_rng(7).integers(0, 2, (n, 2))
    noise = np.random.default_rng([8, seed]).normal(size=(n, 2))
    arrays = {
        "ids": np.array([f"r{i}" for i in range(n)]),
        "labels": labels,
        "scores": noise + shift * labels,
    }
    pairs = {
        "pair_record": np.array([f"r{i // 2}" for i in range(n)]),
        "pair_values": np.random.default_rng([9, seed]).random((n, 3)),
    }
    found = {
        "real-zeroshot": EvalResult({"auc_macro": 0.5 + shift}, {}, arrays),
        "real-grounding": EvalResult({"pointing": 0.3}, {}, pairs),
        "real-retrieval": EvalResult({"r@1": float("nan")}, {}, {}),
    }
    facts = {"config_sha256": "x", "steps": 3, "records": 12, "batch_size": 8}
    return Outcome.of(facts, found)


def test_an_outcome_comes_back_whole(tmp_path):
    made = outcome(0)
    made.save(tmp_path)
    back = Outcome.load(tmp_path)
    assert back.facts == made.facts
    assert back.epochs == 2.0
    for name, arrays in made.arrays.items():
        assert arrays.keys() == back.arrays[name].keys()
        for key, value in arrays.items():
            np.testing.assert_array_equal(back.arrays[name][key], value)
    (tmp_path / "outcome.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(OutcomeError, match="delete it and run the trial again"):
        Outcome.load(tmp_path)


def test_measures_are_the_metrics():
    arrays = outcome(0, shift=1.0).arrays
    auc = Measure(arrays["real-zeroshot"])
    wanted = roc_auc_score(
        arrays["real-zeroshot"]["labels"], arrays["real-zeroshot"]["scores"], average="macro"
    )
    assert auc.value == pytest.approx(wanted)
    pointing = Measure(arrays["real-grounding"])
    assert pointing.value == pytest.approx(arrays["real-grounding"]["pair_values"][:, 0].mean())
    counts = np.zeros((30, 1), np.int32)
    counts[np.flatnonzero(pointing.records == "r4")] = 3
    assert pointing(counts)[0] == pytest.approx(
        arrays["real-grounding"]["pair_values"][8:10, 0].mean()
    )


def test_differences_are_in_pairs_over_records_and_seeds(tmp_path):
    grid = dataclasses.replace(grid_of(tmp_path), bootstrap=Bootstrap(400))
    shift = {"real": 0.0, "synthetic": 0.0, "mixed": 1.5}
    done = {t: outcome(t.seed, shift[t.condition]) for t in trials(grid)}
    summary = summarise(grid, done)
    rows = {(r["evaluation"], r["condition"]): r for r in summary["rows"]}
    same = rows["real-zeroshot", "synthetic"]["difference"]
    assert same["value"] == 0.0
    assert same["low"] < 0 < same["high"]  # the seeds differ
    better = rows["real-zeroshot", "mixed"]["difference"]
    assert better["low"] > 0
    assert rows["real-zeroshot", "real"]["difference"] is None
    row = rows["real-zeroshot", "mixed"]
    assert row["value"] == pytest.approx(np.mean(row["values"]))
    assert row["sd"] == pytest.approx(np.std(row["values"], ddof=1))
    assert rows["real-retrieval", "real"]["metrics"] == {"r@1": None}

    # The same by a loop: records drawn alike on both sides, seeds drawn on each.
    a = [Measure(outcome(s, 1.5).arrays["real-zeroshot"]) for s in grid.seeds]
    b = [Measure(outcome(s, 0.0).arrays["real-zeroshot"]) for s in grid.seeds]
    (counts,) = grid.bootstrap.counts(60)
    rng, drawn = np.random.default_rng(1), []
    for r in range(counts.shape[1]):
        means = [
            np.mean([float(side[s](counts[:, [r]])[0]) for s in rng.integers(0, 2, 2)])
            for side in (a, b)
        ]
        drawn.append(means[0] - means[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose([better["low"], better["high"]], [low, high], atol=0.02)


def test_the_page(tmp_path):
    grid = grid_of(tmp_path)
    done = {t: outcome(t.seed, 0.5) for t in trials(grid)[:4]}
    page = write_page(tmp_path, summarise(grid, done), name="toy <1>", command="python x", total=6)
    text = page.read_text()
    assert "4 of 6 trials" in text
    assert "toy &lt;1&gt;" in text
    assert len(list(tmp_path.glob("*_values.png"))) == 2
    assert len(list(tmp_path.glob("*_differences.png"))) == 2
    assert "single seeds" in text
    assert "minus real" in text
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert {r["condition"] for r in rows} == {"real", "synthetic", "mixed"}
    assert json.loads((tmp_path / "results.json").read_text())["finished"] == 4
    assert "reference" in (tmp_path / "table.md").read_text()


def test_methods_are_compared_on_the_reference(tmp_path):
    methods = {"plain": METHOD, "better": METHOD}
    grid = grid_of(tmp_path, methods=methods, compared={"better": "plain"})
    done = {t: outcome(t.seed, 1.5 * (t.method == "better")) for t in trials(grid)}
    summary = summarise(grid, done)
    rows = {
        (r["method"], r["condition"]): r
        for r in summary["rows"]
        if r["evaluation"] == "real-zeroshot"
    }
    better, plain = rows["better", "real"], rows["plain", "real"]
    assert (better["minus"], plain["minus"], plain["difference"]) == ("plain", "", None)
    assert better["difference"]["low"] > 0
    assert better["difference"]["value"] == pytest.approx(better["value"] - plain["value"])
    assert rows["better", "mixed"]["minus"] == "real"
    assert rows["better", "mixed"]["difference"]["value"] == 0
    write_page(tmp_path, summary, name="toy", command="python x", total=12)
    assert "minus plain: " in (tmp_path / "table.md").read_text()
    assert "minus plain: " in (tmp_path / "report.html").read_text()
    (row,) = (
        r
        for r in csv.DictReader((tmp_path / "table.csv").open())
        if (r["method"], r["condition"], r["evaluation"]) == ("better", "real", "real-zeroshot")
    )
    assert (row["minus"], float(row["difference_low"]) > 0) == ("plain", True)


def test_a_small_experiment(tmp_path):
    """Two conditions on phantoms: trained, measured, found again, refused with another config."""
    for seed, name in enumerate("ab"):
        splits = SplitCounts(train=24, validation=0, test=32)
        small = PhantomConfig(seed=seed, size=32, splits=splits, masks=False, processes=1)
        generate(small, tmp_path / name, progress=False)
    grid = grid_of(tmp_path, conditions={"real": ["real"], "synthetic": ["synthetic"]}, seeds=[0])
    out = tmp_path / "out"
    assert (
        steps_of(Budget(epochs=1.5), [(folder, "train") for folder in grid.data.values()], 8) == 9
    )
    done = {t: run.run_trial(grid, t, out) for t in trials(grid)}
    assert all(run.is_done(out, t) for t in done)
    summary = summarise(grid, done)
    assert {r["condition"]: r["steps"] for r in summary["rows"]} == {"real": 3, "synthetic": 3}
    assert all(0 <= r["value"] <= 1 for r in summary["rows"])
    one, other = (Tokenizer.load(run.folder_of(out, t) / "tokenizer") for t in trials(grid))
    assert one.hash == other.hash == Tokenizer.load(out / "tokenizer-300").hash
    assert not (tmp_path / "a" / "tokenizer").exists()
    out = out.rename(tmp_path / "moved")
    first = trials(grid)[0]
    again = run.run_trial(grid, first, out)
    assert json.dumps(again.metrics) == json.dumps(done[first].metrics)  # NaN equals NaN
    longer = grid_of(tmp_path, budgets={"steps": {"steps": 4, "epochs": 0.0}})
    with pytest.raises(OutcomeError, match="another config"):
        run.run_trial(longer, first, out)
