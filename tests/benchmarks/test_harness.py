"""The benchmarks' own arithmetic, processes and messages; nothing is timed, torch is not used."""

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import report, subjects
from benchmarks.data import LONGEST, report_lengths
from benchmarks.harness import Paired, Side, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.text_buckets import bucket_shares
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.texts.choice import TextConfig


def test_ratios_are_taken_round_by_round():
    # The machine slowed down ten-fold after the first round: the ratio does not see it.
    paired = Paired((1.0, 12.0, 11.0), (1.0, 10.0, 10.0))
    assert paired.ratios == (1.0, 1.2, 1.1)
    assert paired.ratio == 1.1
    assert paired.medians == (11.0, 10.0)
    with pytest.raises(ValueError, match="paired"):
        Paired((1.0, 2.0), (1.0,))


def test_sides_are_measured_in_turn():
    seen = []

    def side(name):
        def measure():
            seen.append(name)
            return float(len(seen))

        return measure

    told = []
    assert in_turn([side("a"), side("b")], 2, told.append) == [(1.0, 3.0), (2.0, 4.0)]
    assert seen == ["a", "b", "a", "b"]
    assert told == ["round 1 of 2", "round 2 of 2"]
    with pytest.raises(ValueError, match="rounds"):
        in_turn([side("a")], 0, told.append)


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(1.25, at_most=True), 1.25, True),
        (Target(1.25, at_most=True), 1.26, False),
        (Target(1.3, at_most=False), 1.3, True),
        (Target(1.3, at_most=False), 1.29, False),
    ],
)
def test_a_target_bounds_one_side(target, value, met):
    row = Row(what="x", ours="1", value=value, target=target)
    assert row.verdict == ("met" if met else "missed")
    assert Row(what="x", ours="1", value=value).verdict == ""


def test_table_lines_up_and_says_shared_notes_once():
    paired = Paired((2.0, 2.2, 2.1), (2.0, 2.0, 2.0))
    rows = [
        paired_row("a step", paired, "s", Target(1.25, at_most=True), note="same note"),
        paired_row("another", paired, "s", Target(1.01, at_most=True), note="same note"),
        Row("alone", "63 images/s", 63.0, target=Target(60, at_most=False, unit=" images/s")),
    ]
    lines = report.table(rows).splitlines()
    assert " ".join(lines[2].split()) == "a step 2.10 s 2.00 s 1.05 (1.00 to 1.10) ≤ 1.25 met"
    assert lines[3].endswith("missed")
    assert " ".join(lines[4].split()) == "alone 63 images/s - - ≥ 60 images/s met"
    columns = [line.index("≤") for line in lines[2:4]] + [lines[4].index("≥")]
    assert len(set(columns)) == 1
    assert "a step; another: same note" in lines


def test_json_keeps_every_round(tmp_path):
    paired = Paired((1.0, 3.0), (2.0, 2.0))
    path = tmp_path / "new" / "benchmark.json"
    report.save(path, [paired_row("x", paired, "s", Target(1, True))], report.machine(2))
    kept = json.loads(path.read_text())
    assert kept["rows"][0]["raw"] == {
        "unit": "s",
        "ours": [1.0, 3.0],
        "peer": [2.0, 2.0],
        "ratios": [0.5, 1.5],
    }
    assert kept["rows"][0]["verdict"] == "met"
    assert kept["machine"]["versions"]["jax"]
    assert kept["machine"]["environment"]["NPROC"] == "2"


def test_a_busy_machine_is_named():
    found = report.machine(1) | {"load_average": 5.0, "cores": 2}
    assert "load average is 5" in report.headline(found)
    assert "warning" not in report.headline(found | {"load_average": 0.1})


def test_shares_follow_the_lengths():
    text = TextConfig(buckets=(32, 64, 128, 256), window=16)
    assert bucket_shares(np.full(4096, 50), 64, text) == {64: 1.0}
    shares = bucket_shares(report_lengths(20_000), 64, text)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert sum(n * share for n, share in shares.items()) < 0.45 * LONGEST
    alone = bucket_shares(report_lengths(20_000), 64, TextConfig(window=1))
    assert alone[LONGEST] > 0.9  # without a window nearly every batch holds one long text


def test_lengths_are_those_of_reports():
    lengths = report_lengths(100_000)
    assert lengths.mean() == pytest.approx(60, rel=0.03)
    assert np.percentile(lengths, 95) == pytest.approx(147, rel=0.03)
    assert lengths.min() >= 4
    assert lengths.max() == LONGEST


def test_a_missing_extra_is_one_line(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "open_clip" else real(name)
    )
    with pytest.raises(UserError, match=r"open_clip.*EXTRAS=torch bash launch/setup.sh") as raised:
        subjects.chosen(["train_step_vit"])
    assert "\n" not in str(raised.value)
    assert list(subjects.chosen(["phantom", "loss_memory"])) == ["phantom", "loss_memory"]


def test_an_unknown_benchmark_is_refused(repo_root):
    done = subprocess.run(
        [sys.executable, "launch/benchmark.py", "--only=phantm"],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --only=phantm: there is no such benchmark")
    assert "Traceback" not in done.stderr


class Adder:
    """Made in a worker process by the tests below."""

    def add(self, a, b):
        print("noise that must not reach the answers")
        return a + b

    def thread_variables(self):
        return [os.environ[name] for name in ("OMP_NUM_THREADS", "NPROC")]

    def refuse(self):
        raise UserError("mend it so")

    def fail(self):
        raise KeyError("lost")

    def die(self):
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)

    def want_memory(self):
        os.kill(os.getpid(), signal.SIGKILL)


def make_adder():
    return Adder()


def adder(monkeypatch, repo_root):
    here = str(repo_root / "tests" / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", here)
    return Side("adder", f"{__file__.rpartition('/')[2].removesuffix('.py')}:make_adder")


def test_worker_answers_and_reports(monkeypatch, repo_root):
    with Worker(adder(monkeypatch, repo_root), threads=3) as worker:
        assert worker.call("add", a=2, b=3) == 5
        assert worker.call("thread_variables") == ["3", "3"]
        with pytest.raises(UserError, match="mend it so"):
            worker.call("refuse")
        with pytest.raises(RuntimeError, match="KeyError: 'lost'"):
            worker.call("fail")
        assert worker.call("add", a=1, b=1) == 2
        with pytest.raises(RuntimeError, match=r"status 7[\s\S]*last words"):
            worker.call("die")
    with (
        Worker(adder(monkeypatch, repo_root), threads=1) as worker,
        pytest.raises(UserError, match="adder was killed, as the system does where memory ends"),
    ):
        worker.call("want_memory")
