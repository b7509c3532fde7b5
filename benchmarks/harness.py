"""Two sides, each in a process of its own, timed in turn: A B A B …

Interleaving is what makes a ratio worth printing: whatever else the machine does, and however its
clock moves, hits both sides alike. Both get the same number of threads, the same environment and
the same data; building and compiling come before the clock starts.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from medvlp_jax.core.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: glibc gives large blocks back to the kernel at once, and both frameworks ask for the same ones
#: again in every step: most of the page faults of a CPU training step. Both sides keep theirs.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "MALLOC_ARENA_MAX": "1",
}

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Side:
    """What a worker makes.

    Attributes:
      name: for messages.
      make: ``package.module:function``.
      args: keyword arguments of the function, JSON values.
      env: environment variables of this side only; they win over the common ones.
    """

    name: str
    make: str
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)


def environment(threads: int, keep_memory: bool) -> dict[str, str]:
    """The variables that both sides run under, besides the caller's own."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NPROC": count,  # read by XLA
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **(KEEP_MEMORY if keep_memory else {}),
    }


class Worker:
    """A side in its own process; leave the ``with`` block to end it."""

    def __init__(self, side: Side, threads: int, keep_memory: bool = True):
        self.side = side
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment(threads, keep_memory), **side.env},
        )
        self.send(make=side.make, args=dict(side.args))
        self.receive()

    def call(self, method: str, **args: Any) -> Any:
        """Calls a method of what the side made and waits for its value.

        Raises:
          UserError: raised in the worker, or it was killed.
          RuntimeError: the worker met a defect or died; with what it wrote last.
        """
        self.send(call=method, args=args)
        return self.receive()

    def send(self, **request: Any) -> None:
        """Hands a request over without waiting; each needs its :meth:`receive`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer = json.loads(line)
        if "user_error" in answer:
            raise UserError(answer["user_error"])
        if "defect" in answer:
            raise RuntimeError(f"{self.side.name} failed:\n{answer['defect']}")
        return answer["value"]

    def _died(self) -> Exception:
        status = self._process.wait()
        if status == -signal.SIGKILL:
            return UserError(
                f"{self.side.name} was killed, as the system does where memory ends; close other "
                "programs, or measure with --quick"
            )
        self._log.seek(0)
        lines = self._log.read().splitlines()[-15:]
        said = "\n".join([f"{self.side.name} died with status {status}:", *lines])
        return RuntimeError(said)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def check_same_size(ours: Worker, peer: Worker) -> None:
    """Whether both sides compute with as many parameters.

    Raises:
      UserError: they do not.
    """
    counts = [worker.call("parameters") for worker in (ours, peer)]
    if counts[0] != counts[1]:
        raise UserError(
            f"the networks differ: {ours.side.name} has {counts[0]:,} parameters, "
            f"{peer.side.name} {counts[1]:,}; install the versions of requirements.lock"
        )


class Crew:
    """Workers that do the same at the same time, one thread each; leave the block to end them."""

    def __init__(self, sides: Sequence[Side]):
        self._stack = contextlib.ExitStack()
        with self._stack:
            self._workers = [
                self._stack.enter_context(Worker(side, threads=1, keep_memory=False))
                for side in sides
            ]
            self._stack = self._stack.pop_all()

    def seconds(self, method: str, **args: Any) -> float:
        """From the first request to the last answer."""
        start = time.perf_counter()
        for worker in self._workers:
            worker.send(call=method, args=args)
        for worker in self._workers:
            worker.receive()
        return time.perf_counter() - start

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()


@dataclasses.dataclass(frozen=True)
class Paired:
    """One number per round and side; round by round they were taken one after the other."""

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.ours) != len(self.peer) or not self.ours:
            raise ValueError(f"{len(self.ours)} and {len(self.peer)} rounds cannot be paired")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours over the peer's, of every round."""
        return tuple(a / b for a, b in zip(self.ours, self.peer, strict=True))

    @property
    def ratio(self) -> float:
        """The median of :attr:`ratios`."""
        return statistics.median(self.ratios)

    @property
    def medians(self) -> tuple[float, float]:
        """The middle value of each side."""
        return statistics.median(self.ours), statistics.median(self.peer)


def in_turn(
    sides: Sequence[Callable[[], float]], rounds: int, tell: Tell
) -> list[tuple[float, ...]]:
    """Measures every side once per round, always in the same order.

    Args:
      sides: each call gives one number.
      rounds: how often.
      tell: hears of the progress.

    Returns:
      Per side, its numbers in the order of the rounds.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for measure, values in zip(sides, taken, strict=True):
            values.append(measure())
    return [tuple(values) for values in taken]
