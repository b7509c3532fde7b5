"""Which code ran."""

import subprocess

import pytest

from medvlp_jax.core.checkpoints import provenance


def test_the_commit_of_a_checkout_is_known(repo_root):
    command = ["git", "-C", str(repo_root), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    assert provenance.commit().removesuffix("-dirty") == done.stdout.strip()
