"""Reviewed images per second, with one process per core as the data job has."""

import contextlib
import statistics
import time

from benchmarks.harness import Side, Tell, Worker, in_turn
from benchmarks.our_curation import CALL
from benchmarks.report import Row, Target
from benchmarks.settings import Settings

#: 20,000 studies in less than two minutes: no part of the time that their making takes.
TARGET = Target(200, at_most=False, unit=" images/s")
_SIZE = 224


def run(settings: Settings, tell: Tell) -> list[Row]:
    """The default gate, which has the target, and its two parts."""
    calls, rounds = (2, 2) if settings.quick else (8, 4)
    processes = settings.threads
    with contextlib.ExitStack() as stack:
        tell("rendering films")
        workers = [
            stack.enter_context(
                Worker(
                    Side(
                        "curation",
                        "benchmarks.our_curation:make",
                        {"size": _SIZE, "first": n << 20},
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

        methods = ("gate", "statistics", "encoder")
        rates = in_turn([lambda m=m: rate(m) for m in methods], rounds, tell)
    names = (
        f"curation at {_SIZE} px, {processes} processes",
        "its statistics alone",
        "its encoder (pixels) alone",
    )
    targets = (TARGET, None, None)
    return [_row(*row) for row in zip(names, rates, targets, strict=True)]


def _row(what: str, rates: tuple[float, ...], target: Target | None) -> Row:
    middle = statistics.median(rates)
    raw = {"unit": "images/s", "ours": rates}
    return Row(what, f"{middle:.0f} images/s", middle, target=target, raw=raw)
