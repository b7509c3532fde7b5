"""Procedural radiographs per second, with one process per core as the data job has."""

import time

from benchmarks.harness import Crew, Side, Tell, in_turn
from benchmarks.report import Row, Target, rate_row
from benchmarks.settings import Settings

TARGET = Target(60, at_most=False, unit=" images/s")
_SIZE = 224
#: Studies per call, as in the data job.
_CALL = 16


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Pictures alone, which has the target, and whole records."""
    calls, rounds = (2, 2) if settings.quick else (6, 4)
    processes = settings.threads
    tell("compiling")
    with Crew([_side(n) for n in range(processes)]) as crew:

        def rate(method: str) -> float:
            return processes * calls * _CALL / crew.seconds(method, calls=calls)

        methods = ("pictures", "records")
        pictures, records = in_turn([lambda m=m: rate(m) for m in methods], rounds, tell)
    return [
        rate_row(f"phantom at {_SIZE} px, {processes} processes", pictures, "images/s", TARGET),
        rate_row("the same as records with masks and report", records, "images/s"),
    ]


def _side(number: int) -> Side:
    return Side("phantom", f"{__name__}:OurPhantom", {"size": _SIZE, "first": number << 20})


class OurPhantom:
    """Studies from ``first`` on: their pictures alone, or whole records."""

    def __init__(self, size: int, first: int):
        from data_gen.phantom.chest_xray.picture.render import render_batch
        from data_gen.phantom.chest_xray.sample import sample_study
        from data_gen.phantom.job import PhantomConfig, PhantomJob

        self._size, self._next = size, first
        self._job = PhantomJob(PhantomConfig(size=size))
        self._study, self._render = sample_study, render_batch
        self.records(1)  # compiles
        self.pictures(1)

    def pictures(self, calls: int) -> float:
        """Seconds for ``calls`` times :data:`_CALL` pictures with their truth, studies included."""
        start = time.perf_counter()
        for _ in range(calls):
            studies = [self._study(0, index) for index in self._take()]
            self._render(studies, self._size, masks=False)
        return time.perf_counter() - start

    def records(self, calls: int) -> float:
        """Seconds for as many records: JPEG, report, boxes and masks too."""
        start = time.perf_counter()
        for _ in range(calls):
            self._job.make(self._take(), "train")
        return time.perf_counter() - start

    def _take(self) -> range:
        self._next += _CALL
        return range(self._next - _CALL, self._next)
