"""Procedural studies as the data job makes them, in one of several processes."""

import time

from data_gen.phantom.chest_xray.picture.render import render_batch
from data_gen.phantom.chest_xray.sample import sample_study
from data_gen.phantom.job import PhantomConfig, PhantomJob

#: Studies per call, as in the data job.
CALL = 16


class OurPhantom:
    """Studies from ``first`` on: their pictures alone, or whole records."""

    def __init__(self, size: int, first: int):
        self._size, self._next = size, first
        self._job = PhantomJob(PhantomConfig(size=size))
        self.records(1)  # compiles
        self.pictures(1)

    def pictures(self, calls: int) -> float:
        """Seconds for ``calls`` times :data:`CALL` pictures with their truth, studies included."""
        start = time.perf_counter()
        for _ in range(calls):
            studies = [sample_study(0, index) for index in self._take()]
            render_batch(studies, self._size, masks=False)
        return time.perf_counter() - start

    def records(self, calls: int) -> float:
        """Seconds for as many records: JPEG, report, boxes and masks too."""
        start = time.perf_counter()
        for _ in range(calls):
            self._job.make(self._take(), "train")
        return time.perf_counter() - start

    def _take(self) -> range:
        self._next += CALL
        return range(self._next - CALL, self._next)


def make(size: int, first: int) -> OurPhantom:
    return OurPhantom(size, first)
