"""Worker processes that load data: replaced when they die, gone when their parent is."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.unreadable import DataError
from medvlp_jax.data.workers import Batches

CONFIG = DataConfig((SourceConfig("unused"),), batch_size=2, workers=1, prefetch=1)


class Load:
    """A batch that costs nothing; dies where it is told to, as often as ``fuse`` has files."""

    def __init__(self, at=(), fuse=""):
        self.at, self.fuse = at, fuse

    def __call__(self, step):
        if step in self.at:
            for path in sorted(pathlib.Path(self.fuse).glob("*")):
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return {"image": np.full((2, 64, 64), step, np.int32)}


def fuse(folder, count):
    folder.mkdir()
    for i in range(count):
        (folder / str(i)).touch()
    return str(folder)


def steps(batches):
    try:
        return [int(b["image"][0, 0, 0]) for b in batches]
    finally:
        batches.close()


@pytest.mark.multiprocess
def test_a_worker_that_dies_is_replaced_and_no_batch_lost_or_doubled(tmp_path, caplog):
    load = Load((6,), fuse(tmp_path / "f", 1))
    assert steps(Batches(load, 2, 10, CONFIG)) == list(range(2, 10))
    assert caplog.text.count("a worker that loads data died") == 1


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.multiprocess
def test_workers_that_never_get_there_end_the_run_in_one_line(tmp_path):
    load = Load((0,), fuse(tmp_path / "f", 9))
    with pytest.raises(DataError, match="died 3 times before batch 0 was there") as e:
        steps(Batches(load, 0, 4, CONFIG))
    assert "\n" not in str(e.value)


_PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_workers import CONFIG, Load
from medvlp_jax.data.workers import Batches
if __name__ == "__main__":
    batches = Batches(Load(), 0, 10**6, CONFIG)
    next(batches), next(batches)
    print("ready", flush=True)
    time.sleep(600)
"""


def shared():
    return {p.name for p in pathlib.Path("/dev/shm").glob("psm_*")}


@pytest.mark.multiprocess
@pytest.mark.skipif(not pathlib.Path("/dev/shm").is_dir(), reason="no /dev/shm to look into")
def test_a_killed_parent_leaves_neither_workers_nor_shared_memory(tmp_path, repo_root):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    before = shared()
    parent = subprocess.Popen(
        [sys.executable, script, pathlib.Path(__file__).parent],
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout.readline() == "ready\n"
    family = members(parent.pid)
    assert len(family) >= 2  # itself and the worker
    assert shared() - before
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(300):
        if not members(parent.pid) and not shared() - before:
            break
        time.sleep(0.1)
    assert members(parent.pid) == []
    assert not shared() - before


def members(session):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found
