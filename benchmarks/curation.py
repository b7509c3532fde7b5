"""Reviewed images per second, with one process per core as the data job has."""

import time

import numpy as np

from benchmarks.harness import Crew, Side, Tell, in_turn
from benchmarks.report import Row, Target, rate_row
from benchmarks.settings import Settings

#: 20,000 studies in less than two minutes: no part of the time that their making takes.
TARGET = Target(200, at_most=False, unit=" images/s")
_SIZE = 224
#: Films per call.
_CALL = 64


def run(settings: Settings, tell: Tell) -> list[Row]:
    """The default gate, which has the target, and its two parts."""
    calls, rounds = (2, 2) if settings.quick else (8, 4)
    processes = settings.threads
    tell("rendering films")
    with Crew([_side(n) for n in range(processes)]) as crew:

        def rate(method: str) -> float:
            return processes * calls * _CALL / crew.seconds(method, calls=calls)

        methods = ("gate", "statistics", "encoder")
        gate, statistics, encoder = in_turn([lambda m=m: rate(m) for m in methods], rounds, tell)
    whole = f"curation at {_SIZE} px, {processes} processes"
    return [
        rate_row(whole, gate, "images/s", TARGET),
        rate_row("its statistics alone", statistics, "images/s"),
        rate_row("its encoder (pixels) alone", encoder, "images/s"),
    ]


def _side(number: int) -> Side:
    return Side("curation", f"{__name__}:OurCuration", {"size": _SIZE, "first": number << 20})


class OurCuration:
    """Films from the study ``first`` on, rendered once."""

    def __init__(self, size: int, first: int):
        from data_gen.curation import Candidate, Gate
        from data_gen.curation.encoders.pixels import PixelEncoder
        from data_gen.curation.statistics import Limits, measure, objections
        from data_gen.phantom.chest_xray.picture.render import render_batch
        from data_gen.phantom.chest_xray.sample import sample_study

        studies = [sample_study(0, first + i) for i in range(_CALL)]
        self._films = [np.array(x) for x in render_batch(studies, size, masks=False).images]
        self._gate, self._encoder = Gate(), PixelEncoder()
        self._candidate = Candidate
        limits = Limits()
        self._reasons = lambda film: list(objections(measure(film), limits))
        self.gate(1)

    def statistics(self, calls: int) -> float:
        """Seconds for ``calls`` times :data:`_CALL` films' statistics and their reasons."""
        start = time.perf_counter()
        for _ in range(calls):
            for film in self._films:
                self._reasons(film)
        return time.perf_counter() - start

    def encoder(self, calls: int) -> float:
        """Seconds for as many embeddings by the encoder ``pixels``."""
        start = time.perf_counter()
        for _ in range(calls):
            self._encoder.encode(self._films)
        return time.perf_counter() - start

    def gate(self, calls: int) -> float:
        """Seconds for as many verdicts of the default gate, which does both."""
        start = time.perf_counter()
        for _ in range(calls):
            self._gate.review([self._candidate(str(i), x) for i, x in enumerate(self._films)])
        return time.perf_counter() - start
