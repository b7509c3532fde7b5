"""Killed with SIGKILL at random moments, and resumed: the same bytes."""

import os
import subprocess
import sys

import pytest


def kill(repo_root, folder, articles, kills, seed):
    path = os.pathsep.join([str(repo_root), str(repo_root / "tests" / "helpers")])
    command = [sys.executable, str(repo_root / "tests" / "helpers" / "collect_kills.py")]
    return subprocess.run(
        [*command, *map(str, (folder, articles, kills, seed))],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kills_at_random_moments_change_no_byte(repo_root, tmp_path):
    done = kill(repo_root, tmp_path, 30, 3, 1)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_kills(repo_root, tmp_path, seed):
    done = kill(repo_root, tmp_path, 120, 12, seed)
    assert done.returncode == 0, done.stdout + done.stderr
