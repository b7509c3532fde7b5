"""Kills the toy run at random moments and starts it again, until it has ended.

``python core_kills.py FOLDER KILLS SEED``: exit status 0 if every run that was killed ended bitwise
as the one that nobody touched. Children are forks of one process that has imported everything but
has touched no device, so that a start costs a compile and not an import.
"""

import contextlib
import os
import pathlib
import random
import signal
import sys
import time
import traceback

import core_run
import jax
import numpy as np
import orbax.checkpoint as ocp

from medvlp_jax.core.loop import LoopConfig
from medvlp_jax.core.metrics import read_metrics
from medvlp_jax.core.processes.lock import workdir_lock

STEPS = 12


def child(workdir: pathlib.Path, cache: pathlib.Path | None) -> int:
    """Starts (or goes on with) the run in a process of its own; its id.

    Args:
      cache: of compiled programs; None to compile them anew.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if cache is not None:
            jax.config.update("jax_compilation_cache_dir", str(cache))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        loop = LoopConfig(steps=STEPS, log_every=1, save_every=2, eval_every=3)
        with open(workdir.with_suffix(".log"), "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            with workdir_lock(workdir, "training"):
                # A step takes a while, as it does in life: there is more to hit than compiling.
                core_run.train(workdir, loop, host_hook=lambda step: time.sleep(0.2))
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def wait(pid: int, seconds: float = 900.0) -> int | None:
    """The exit status of a child (negative: the signal), or None if it is still alive."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def result(workdir: pathlib.Path):
    """Bytes of every leaf of the last checkpoint, its place in the data, and the logged numbers."""
    folder = (workdir / "checkpoints" / str(STEPS)).absolute()
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as reader:
        leaves = jax.tree.leaves(reader.restore(folder / "state"))
    lines = read_metrics(workdir / "metrics.jsonl")
    numbers = {
        (r["kind"], r["step"], k): v
        for r in lines
        if r["kind"] != "event"
        for k, v in r.items()
        if k not in ("time", "pairs_per_second", "data_wait")
    }
    place = (folder / "data" / "metadata").read_bytes()
    return [np.asarray(x).tobytes() for x in leaves], place, numbers


def phase(workdir: pathlib.Path) -> str:
    """Where a run stood when it was killed, for the report."""
    folder = workdir / "checkpoints"
    there = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if any(name.endswith("tmp") for name in there):
        return "writing a checkpoint"
    if not there:
        return "before the first checkpoint"
    log = workdir.with_suffix(".log").read_text()
    return "between checkpoints" if "step" in log else "compiling"


def main() -> int:
    """See the module."""
    root, kills, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw, seen, took = random.Random(seed), {}, {}
    for name, cache in (("alone", None), ("fill", root / "cache"), ("again", root / "cache")):
        (root / name).mkdir(parents=True)
        began = time.monotonic()
        status = wait(child(root / name, cache))
        assert status == 0, (root / f"{name}.log").read_text()
        took[cache is not None] = time.monotonic() - began
    done, runs = 0, [root / "fill", root / "again"]
    while done < kills:
        workdir = root / f"run{len(runs)}"
        workdir.mkdir()
        runs.append(workdir)
        more = True
        while more:
            more = done < kills and draw.random() < 0.75
            cached = draw.random() < 0.75
            pid = child(workdir, root / "cache" if cached else None)
            if more:
                more = killed(pid, took[cached] * draw.random() ** 0.5)
                done += more
                seen[phase(workdir)] = seen.get(phase(workdir), 0) + more
            else:
                assert wait(pid) == 0, workdir.with_suffix(".log").read_text()
    # A device is touched only now: children must not inherit one.
    want = result(root / "alone")
    for workdir in runs:
        assert result(workdir) == want, f"{workdir} differs"
    print(f"{done} kills in {len(runs)} runs, bitwise equal: {seen}")
    return 0


def killed(pid: int, patience: float) -> bool:
    """Kills a child after so many seconds; False if it had ended well before."""
    status = wait(pid, patience)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        assert wait(pid) == -signal.SIGKILL
        return True
    assert status == 0
    return False


if __name__ == "__main__":
    sys.exit(main())
