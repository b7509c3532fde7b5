"""Procedural radiographs per second, with one process per core as the data job has."""

import contextlib
import statistics
import time

from benchmarks.harness import Side, Tell, Worker, in_turn
from benchmarks.our_phantom import CALL
from benchmarks.report import Row, Target
from benchmarks.settings import Settings

TARGET = Target(60, at_most=False, unit=" images/s")
_SIZE = 224


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Pictures alone, which has the target, and whole records."""
    calls, rounds = (2, 2) if settings.quick else (6, 4)
    processes = settings.threads
    with contextlib.ExitStack() as stack:
        tell("compiling")
        workers = [
            stack.enter_context(
                Worker(
                    Side(
                        "phantom", "benchmarks.our_phantom:make", {"size": _SIZE, "first": n << 20}
                    ),
                    threads=1,
                    keep_memory=False,
                )
            )
            for n in range(processes)
        ]

        def rate(method: str) -> float:
            start = time.perf_counter()
            for worker in workers:
                worker.send(call=method, args={"calls": calls})
            for worker in workers:
                worker.receive()
            return processes * calls * CALL / (time.perf_counter() - start)

        pictures, records = in_turn(
            [lambda: rate("pictures"), lambda: rate("records")], rounds, tell
        )
    return [
        _row(f"phantom at {_SIZE} px, {processes} processes", pictures, TARGET),
        _row("the same as records with masks and report", records, None),
    ]


def _row(what: str, rates: tuple[float, ...], target: Target | None) -> Row:
    middle = statistics.median(rates)
    raw = {"unit": "images/s", "ours": rates}
    return Row(what, f"{middle:.0f} images/s", middle, target=target, raw=raw)
