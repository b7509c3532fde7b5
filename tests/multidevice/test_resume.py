"""Runs that are killed, asked to stop, moved to other devices, split over processes."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys

import core_run
import numpy as np
import pytest
from quick_flags import QUICK

from medvlp_jax.core.loop import LoopConfig
from medvlp_jax.core.metrics import read_metrics
from medvlp_jax.core.processes import preemption
from medvlp_jax.core.sharding import MeshConfig

STEPS = 12


def start(workdirs, *args, devices=1, **env):
    """Starts ``core_run.py`` in a process of its own."""
    root = pathlib.Path(__file__).parents[2]
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    return subprocess.Popen(
        [sys.executable, pathlib.Path(core_run.__file__), *map(str, workdirs), *args],
        env=os.environ
        | {"XLA_FLAGS": flags, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
        | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, expected):
    try:
        output, _ = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints where every thread waits
        output, _ = process.communicate()
    assert process.returncode == expected, output
    return output


def losses(workdir):
    """{step: loss} of every logged step; none may occur twice."""
    records = [r for r in read_metrics(workdir / "metrics.jsonl") if r["kind"] == "train"]
    found = {r["step"]: r["loss"] for r in records}
    assert len(found) == len(records)
    return found


def evaluation(workdir):
    """The number of the evaluation at the end, made from the rows of all processes."""
    (record,) = [r for r in read_metrics(workdir / "metrics.jsonl") if r["kind"] == "eval"]
    assert record["step"] == STEPS
    return record["toy/sum"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that is killed, one that gets SIGTERM, and one that is left alone, all finished."""
    folder = tmp_path_factory.mktemp("runs")
    killed, asked, alone = folder / "killed", folder / "asked", folder / "alone"
    at = random.SystemRandom().randrange(5, STEPS)
    print(f"killed before the step of batch {at}")
    first = start([killed], "--signal", "SIGKILL", "--at", str(at))
    second = start([asked], "--signal", "SIGTERM", "--at", "6")
    finish(first, -signal.SIGKILL)
    notice = finish(second, preemption.EXIT_CODE)
    shutil.copytree(asked, folder / "for 8 devices")
    shutil.copytree(asked, folder / "for 2 processes")
    rest = finish(start([killed, asked, alone]), 0)
    return folder, notice, rest


@pytest.mark.multiprocess
def test_killed_and_restarted_is_bitwise_the_uninterrupted_run(runs):
    folder, _, rest = runs
    alone = losses(folder / "alone")
    assert list(alone) == list(range(1, STEPS + 1))
    assert losses(folder / "killed") == alone
    restored = [int(line.split()[-1]) for line in rest.splitlines() if "restored step" in line]
    assert restored[0] in (4, 8)  # saved every 4 steps; a save that was under way is lost
    assert len(restored) == 2
    a, b = (folder / name / "checkpoints" / str(STEPS) for name in ("killed", "alone"))
    assert (a / "data" / "metadata").read_text() == (b / "data" / "metadata").read_text()


@pytest.mark.multiprocess
def test_asked_to_stop_and_restarted_is_bitwise_the_uninterrupted_run(runs):
    folder, notice, rest = runs
    assert "asked to stop: saved step 7; the same command goes on from there" in notice
    assert "restored step 7" in rest
    assert losses(folder / "asked") == losses(folder / "alone")


@pytest.mark.multiprocess
@pytest.mark.multidevice
def test_goes_on_with_eight_devices(runs, devices):
    folder, _, _ = runs
    workdir = folder / "for 8 devices"
    loop = LoopConfig(steps=STEPS, log_every=1)
    core_run.train(workdir, loop, mesh_config=MeshConfig(2, 2, 2), devices=devices)
    got, expected = losses(workdir), losses(folder / "alone")
    np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=1e-5)
    assert list(got) == list(expected)


@pytest.mark.multiprocess
def test_two_processes(runs, devices):
    """Two processes, each with half of the parameters, go on from what one saved, then start a run
    of their own; SIGTERM to one of them stops both at one step; a single process ends that run."""
    folder, _, _ = runs
    taken, begun = folder / "for 2 processes", folder / "by 2 processes"
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    pair = [
        start(
            [taken, begun],
            *("--mesh", "1,2,1", "--signal", "SIGTERM", "--at", "4"),
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(i),
        )
        for i in range(2)
    ]
    outputs = [finish(p, preemption.EXIT_CODE) for p in pair]
    assert all(o.count("restored step 7") == 1 for o in outputs)
    assert "asked to stop: saved step" in outputs[0]
    assert 5 <= max(losses(begun)) < STEPS, "stopped early, after the signal"
    loop = LoopConfig(steps=STEPS, log_every=1)
    core_run.train(begun, loop, mesh_config=MeshConfig(1), devices=devices[:1])
    expected = losses(folder / "alone")
    for workdir in (taken, begun):
        got = losses(workdir)
        assert list(got) == list(expected)
        np.testing.assert_allclose(list(got.values()), list(expected.values()), atol=1e-5)
        assert evaluation(workdir) == pytest.approx(evaluation(folder / "alone"), abs=1e-4)


@pytest.mark.multiprocess
def test_second_process_on_a_workdir_is_refused(tmp_path):
    from medvlp_jax.core.processes.lock import workdir_lock

    with workdir_lock(tmp_path, "training"):
        output = finish(start([tmp_path]), 2)
    assert output.count("\n") == 1
    assert f"{tmp_path} is in use by process {os.getpid()}" in output


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.multiprocess
def test_twenty_kills_at_random_moments_are_bitwise_the_uninterrupted_run(tmp_path):
    script = pathlib.Path(core_run.__file__).with_name("core_kills.py")
    process = subprocess.run(
        [sys.executable, script, tmp_path / "kills", "20", "1"],
        env=os.environ
        | {"XLA_FLAGS": QUICK, "PYTHONPATH": str(script.parents[2]), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(process.stdout)
    assert process.returncode == 0, process.stdout + process.stderr
