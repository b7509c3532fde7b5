"""Generation that is killed at random moments and started again makes the same bytes."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

PHANTOM = (
    "configs/data_gen/phantom.py",
    "size=64",
    "splits.train=48",
    "splits.validation=8",
    "splits.test=8",
    "studies_per_shard=8",
)
SYNCXR = (
    "configs/data_gen/syncxr.py",
    "size=64",
    "splits.train=24",
    "splits.validation=8",
    "splits.test=8",
    "studies_per_shard=8",
)


def start(root, config, out):
    name, *settings = config
    return subprocess.Popen(
        [
            sys.executable,
            "launch/generate.py",
            f"--config={name}",
            f"--out={out}",
            *(f"--config.{s}" for s in (*settings, "processes=2")),
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


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


def shards(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*.array_record-*"))
        if not p.name.startswith(".")
    }


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("config", [PHANTOM, SYNCXR], ids=["phantom", "syncxr"])
def test_six_kills_of_parents_and_workers(config, tmp_path, repo_root):
    began = time.monotonic()
    whole = start(repo_root, config, tmp_path / "whole")
    said = whole.communicate()[0]
    assert whole.returncode == 0, said
    seconds = time.monotonic() - began
    expected = shards(tmp_path / "whole")
    assert expected
    chance, out = random.Random(0), tmp_path / "killed"
    kills = {"parent": 0, "worker": 0}
    while sum(kills.values()) < 6:
        child = start(repo_root, config, out)
        time.sleep(chance.uniform(0.2, 1.0) * seconds)
        who = chance.choice(["parent", "worker"])
        workers = [pid for pid in members(child.pid) if pid != child.pid]
        victim = child.pid if who == "parent" or not workers else chance.choice(workers)
        if child.poll() is not None:  # it was finished: from the start
            for path in sorted(out.rglob("*.array_record-*"))[::2]:
                path.unlink()
            continue
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:  # a worker that had made its last shard
            child.communicate()
            continue
        kills["parent" if victim == child.pid else "worker"] += 1
        if victim == child.pid:
            child.wait()
            for _ in range(200):
                if not members(child.pid):
                    break
                time.sleep(0.1)
            assert not members(child.pid)  # nobody goes on writing
        else:
            said = child.communicate()[0]
            assert child.returncode == 0, said
    last = start(repo_root, config, out)
    said = last.communicate()[0]
    assert last.returncode == 0, said
    assert shards(out) == expected
    assert not list(out.rglob(".*.tmp-*"))
    print(kills)
