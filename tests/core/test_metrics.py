"""metrics.jsonl, optional writers, rates, the progress line, the table of peaks."""

import io
import json
import logging
import math
import sys

import jax
import pytest

from medvlp_jax.core import progress
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.metrics import LogConfig, Mean, MetricWriter, read_metrics
from medvlp_jax.core.profiling import PEAK_BF16_FLOPS, memory_stats, peak_flops


def test_mean_weighs_by_count():
    mean = Mean()
    mean.add(1.0, count=3)
    mean.add(5.0)
    assert mean.take() == 2.0
    assert math.isnan(mean.take())


def test_lines(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": 2.5, "bad": math.nan, "worse": math.inf})
        writer.write(2, {"auc": 0.5}, kind="eval")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()

    def strict(name):
        raise ValueError(f"{name} is not JSON")

    first, second = (json.loads(line, parse_constant=strict) for line in lines)
    assert (first["step"], first["kind"], first["loss"]) == (1, "train", 2.5)
    assert first["bad"] is first["worse"] is None
    assert (second["kind"], second["auc"]) == ("eval", 0.5)


def test_restart_drops_what_comes_after_the_restored_step(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for step in range(1, 7):
            writer.write(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as f:
        f.write('{"step": 7, "lo')  # killed in the middle of a line
    with MetricWriter(tmp_path, start_step=4) as writer:
        writer.write(5, {"loss": 50.0})
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [(r["step"], r["loss"]) for r in records] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 50)]


@pytest.mark.parametrize(
    "damage",
    [b'{"step": 2, "kind": "train", "lo', b"\xff\xfe\x00", b"[2]", b'{"kind": "train"}', b"null"],
    ids=["cut", "not UTF-8", "list", "no step", "null"],
)
def test_a_damaged_line_costs_no_other_one(tmp_path, caplog, damage):
    path = tmp_path / "metrics.jsonl"
    with MetricWriter(tmp_path) as writer:
        for step in (1, 2, 3, 4):
            writer.write(step, {"loss": float(step), "note": "a\u2028b"})
    lines = path.read_bytes().split(b"\n")
    lines[1] = damage
    path.write_bytes(b"\n".join(lines))
    with caplog.at_level(logging.WARNING, logger="medvlp_jax"):
        MetricWriter(tmp_path, start_step=3).close()
    assert [r["step"] for r in read_metrics(path)] == [1, 3]
    assert len([r for r in caplog.records if str(path) in r.getMessage()]) == 1
    assert read_metrics(path)[0]["note"] == "a\u2028b"


def test_fresh_start_begins_a_fresh_log(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": 1.0})
    MetricWriter(tmp_path).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_full_disk_does_not_stop_training(tmp_path, caplog):
    writer = MetricWriter(tmp_path)

    class Full(io.StringIO):
        name = "metrics.jsonl"
        full = True

        def flush(self):
            if self.full:
                raise OSError(28, "No space left on device")

    real, writer._file = writer._file, Full()
    with caplog.at_level(logging.WARNING, logger="medvlp_jax"):
        writer.write(1, {"loss": 1.0})
        writer.write(2, {"loss": 1.0})
    assert [r.getMessage() for r in caplog.records] == [
        "cannot write metrics.jsonl now ([Errno 28] No space left on device); training goes on"
    ]
    writer._file.full = False
    writer.close()
    real.close()


def test_tensorboard(tmp_path):
    with MetricWriter(tmp_path, LogConfig(tensorboard=True)) as writer:
        writer.write(1, {"loss": 2.5, "note": "text stays out"})
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in file.read_bytes()


def test_wandb_is_asked_for_but_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'medvlp_jax\[wandb\]'"):
        MetricWriter(tmp_path, LogConfig(wandb_project="p"))


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch):
    calls = []

    class Wandb:
        class util:
            generate_id = staticmethod(lambda: "id123")

        @staticmethod
        def init(**options):
            calls.append(options)
            return Wandb

        log = staticmethod(lambda values, step: calls.append((step, values)))
        finish = staticmethod(lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    for _ in range(2):
        with MetricWriter(tmp_path, LogConfig(wandb_project="p"), run_config={"a": 1}) as writer:
            writer.write(3, {"loss": 1.0})
    assert [c["id"] for c in calls[::2]] == ["id123", "id123"]
    assert calls[0]["resume"] == "allow"
    assert calls[1] == (3, {"train/loss": 1.0})


def test_rates(monkeypatch):
    clock = progress.Clock()
    rates = progress.Rates(clock, peak_flops=1000.0)
    clock.add("compile", 100.0)  # not the fault of the step
    assert rates.take() == {}
    clock.add("data", 1.0)
    clock.add("step", 3.0)
    rates.add(40, 400.0)
    rates.add(40, 400.0)
    assert rates.take() == {"pairs_per_second": 20.0, "data_wait": 0.25, "mfu": 0.2}
    clock.add("step", 1.0)
    rates.add(8, 0.0)
    assert rates.take() == {"pairs_per_second": 8.0, "data_wait": 0.0}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_line_is_redrawn_on_a_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    stream = Terminal()
    line = progress.ProgressLine(100, stream)
    for step, at in ((1, 0.0), (2, 0.01), (50, 49.0)):
        now[0] = at
        line.show(step, {"loss": 1.5, "pairs_per_second": 20.0, "data_wait": 0.25, "mfu": 0.5})
    line.note("saved")
    line.close()
    shown = stream.getvalue()
    assert "step 2/100" not in shown, "not more often than ten times a second"
    assert (
        "step 50/100  loss 1.5000  20.0 pairs/s  data wait 25 %  mfu 50.0 %  eta 0:00:50" in shown
    )
    assert shown.count("\n") == 1  # only the note ends a line


def test_progress_is_quiet_in_a_file(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    stream = io.StringIO()
    line = progress.ProgressLine(100, stream, every=10.0)
    for step in range(1, 101):
        now[0] = step / 4
        line.show(step, {"loss": 1.0})
    lines = stream.getvalue().splitlines()
    assert [text.split()[1] for text in lines] == ["1/100", "41/100", "81/100", "100/100"]
    assert "\r" not in stream.getvalue()


def test_duration():
    assert progress.duration(3725.4) == "1:02:05"
    assert progress.duration(100 * 3600) == "100:00:00"


def test_peaks():
    assert peak_flops("TPU v5 lite") == 197e12
    assert peak_flops("TPU v5p") == 459e12
    assert peak_flops("TPU v6 lite") == 918e12
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("cpu") is None
    assert all(1e14 < p < 1e16 for p in PEAK_BF16_FLOPS.values())


def test_memory_stats_are_optional():
    stats = memory_stats()
    if jax.default_backend() == "cpu":
        assert stats == {}
    assert all(v >= 0 for v in stats.values())
