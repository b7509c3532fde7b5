"""The directory lock: refuses a second process by name, and vanishes with its holder."""

import os
import signal
import subprocess
import sys

import pytest

from medvlp_jax.core.processes.lock import LockError, workdir_lock

HOLDER = """
import sys, time
from medvlp_jax.core.processes.lock import workdir_lock
with workdir_lock(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_second_process_is_refused_and_a_crash_releases(tmp_path, holder):
    with pytest.raises(LockError) as caught, workdir_lock(tmp_path):
        pytest.fail("entered a locked directory")
    message = str(caught.value)
    assert f"process {holder.pid} on {os.uname().nodename} (training)" in message
    assert str(tmp_path) in message
    assert "\n" not in message
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with workdir_lock(tmp_path) as directory:
        assert directory == tmp_path


def test_lock_is_released_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with workdir_lock(tmp_path / "new" / "dir"):
            pass


def test_lock_is_released_when_the_body_raises(tmp_path):
    with pytest.raises(KeyError), workdir_lock(tmp_path):
        raise KeyError
    with workdir_lock(tmp_path):
        pass


def test_a_holder_that_left_no_name_is_still_refused(tmp_path, holder):
    (tmp_path / ".lock").write_text("")
    with pytest.raises(LockError, match="another process"), workdir_lock(tmp_path):
        pytest.fail("entered a locked directory")
