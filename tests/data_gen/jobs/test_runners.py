"""Runners: the same bytes on Ray as here, and what becomes of workers that die."""

import importlib
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_job import ToyJob

from data_gen.jobs import on_ray
from data_gen.jobs.job import JobError, is_finished, make_shard
from data_gen.jobs.local import _Pool, _Worker
from data_gen.jobs.on_ray import Needs, OnRay
from data_gen.jobs.run import run_job
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.manifest import MANIFEST, read_manifest


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("toy-*"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_job(ToyJob(), folder, processes=1, progress=False)
    return folder


class Noted:
    """A watch that adds up."""

    def __init__(self):
        self.total = self.shards = 0

    def records(self, count):
        self.total += count

    def finished(self):
        self.shards += 1


def test_a_worker_that_dies_after_its_shard_is_not_repeated(tmp_path):
    """Between the line in the manifest and the word to the parent a worker may be killed."""
    job = ToyJob()
    first, second = job.shards()[:2]
    watch = Noted()
    pool = _Pool(job, tmp_path, 1, watch)
    make_shard(job, first, tmp_path)
    assert is_finished(job, first, tmp_path)
    assert not is_finished(job, second, tmp_path)
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    dead = SimpleNamespace(join=lambda: None, exitcode=-9, pid=1)
    pool.workers.append(_Worker(dead, ours, first, reported=3))
    pool._hear(pool.workers[0])
    assert (watch.total, watch.shards) == (2, 1)  # two of five records had not been reported
    assert pool.workers == []
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert len(lines) == 1


class Breaks:
    """A pipe to a worker that is gone."""

    def __init__(self, times, real):
        self.times, self.real = times, real

    def __call__(self, duplex=True):
        ours, theirs = self.real(duplex)
        if self.times:
            self.times -= 1
            theirs.close()
            theirs = multiprocessing.Pipe()[1]  # the worker's: nobody writes to it
        return ours, theirs


def test_a_worker_that_dies_between_two_shards_is_replaced(whole, tmp_path, monkeypatch):
    """The second shard cannot be given to the worker that made the first."""
    given = []

    def give(self, worker, shard):
        given.append(shard)
        if len(given) == 2:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()
            broken = SimpleNamespace(send=fail, close=worker.pipe.close, fileno=worker.pipe.fileno)
            worker.pipe = broken
        return real(self, worker, shard)

    def fail(_):
        raise ConnectionResetError("nobody is there")

    real = _Pool._give
    monkeypatch.setattr(_Pool, "_give", give)
    run_job(ToyJob(), tmp_path, processes=2, progress=False)
    assert given[1] == given[2]  # the same shard, to another worker
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_workers_that_die_at_once_end_the_job_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("data_gen.jobs.job.IDLE_DEATHS", 3)
    pool = _Pool(ToyJob(), tmp_path, 1, Noted())
    monkeypatch.setattr(pool.context, "Pipe", Breaks(99, pool.context.Pipe))
    with pytest.raises(JobError, match="3 workers died before they took a shard") as e:
        pool.run(ToyJob().shards())
    assert "\n" not in str(e.value)
    assert capfd.readouterr().err.count("another takes its place") == 2
    assert pool.workers == []


def test_a_few_deaths_at_the_start_cost_nothing(whole, tmp_path, monkeypatch):
    pool = _Pool(ToyJob(), tmp_path, 1, Noted())
    monkeypatch.setattr(pool.context, "Pipe", Breaks(2, pool.context.Pipe))
    pool.run(ToyJob().shards())
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_ray_that_is_not_installed(monkeypatch):
    def refuse(name, *args):
        raise ImportError(name)

    monkeypatch.setattr(on_ray.importlib, "import_module", refuse)
    with pytest.raises(UserError, match="--runner=ray needs Ray: EXTRAS=ray"):
        OnRay()


def test_needs_are_checked():
    with pytest.raises(ValueError, match="must not be negative"):
        Needs(gpus=-1)
    assert Needs(cpus=0, gpus=0.5, resources={"TPU": 4}).all() == {"GPU": 0.5, "TPU": 4.0}


@pytest.fixture(scope="module")
def ray():
    pytest.importorskip("ray")
    runner = OnRay()
    yield runner
    runner.close()
    assert not importlib.import_module("ray").is_initialized()


class TestRay:
    def test_the_same_bytes(self, ray, whole, tmp_path):
        result = run_job(ToyJob(), tmp_path, runner=ray, progress=False)
        assert result.made == len(ToyJob().shards())
        assert shard_bytes(tmp_path) == shard_bytes(whole)
        assert (tmp_path / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
        assert run_job(ToyJob(), tmp_path, runner=ray, progress=False).made == 0

    def test_a_killed_worker_costs_nothing(self, ray, whole, tmp_path, capfd):
        job = ToyJob(trouble="die once", once=str(tmp_path / "died"))
        run_job(job, tmp_path / "out", runner=ray, progress=False)
        assert (tmp_path / "died").exists()
        assert f"while making {job.at}; it is made again" in capfd.readouterr().err
        assert shard_bytes(tmp_path / "out") == shard_bytes(whole)
        lines = (tmp_path / "out" / MANIFEST).read_text().splitlines()
        assert len(lines) == len(job.shards())  # nothing was written twice

    def test_a_worker_that_dies_twice_ends_the_job_by_name(self, ray, whole, tmp_path):
        job = ToyJob(trouble="die")
        with pytest.raises(JobError, match=f"2 workers died while making {job.at}"):
            run_job(job, tmp_path, runner=ray, progress=False)
        assert read_manifest(tmp_path)
        run_job(ToyJob(), tmp_path, processes=1, progress=False)
        assert shard_bytes(tmp_path) == shard_bytes(whole)

    def test_a_defect_keeps_its_traceback(self, ray, tmp_path):
        with pytest.raises(RuntimeError, match=r"(?s)toy_job.py.*a defect of the toy"):
            run_job(ToyJob(trouble="raise"), tmp_path, runner=ray, progress=False)

    def test_a_user_error_is_one_line(self, ray, tmp_path):
        with pytest.raises(JobError, match=r"cannot write .*00002.*free space") as caught:
            run_job(ToyJob(trouble="full"), tmp_path, runner=ray, progress=False)
        assert "\n" not in str(caught.value)

    def test_what_the_cluster_has_not(self, ray, tmp_path):
        with pytest.raises(JobError, match="needs 4 TPU and the Ray cluster has 0"):
            run_job(ToyJob(), tmp_path, runner=ray.for_job(Needs(resources={"TPU": 4.0})))

    def test_another_machines_folder_is_refused(self, ray, tmp_path, monkeypatch):
        monkeypatch.setattr(on_ray, "_proof", lambda folder: "of another machine")
        with pytest.raises(JobError, match="is not the folder of the process"):
            run_job(ToyJob(), tmp_path, runner=ray, progress=False)
