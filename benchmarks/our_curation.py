"""Reviews of procedural films by the gate, in one of several processes."""

import time

import numpy as np

from data_gen.curation import Candidate, Gate
from data_gen.curation.encoders.pixels import PixelEncoder
from data_gen.curation.statistics import Limits, measure, objections
from data_gen.phantom.chest_xray.picture.render import render_batch
from data_gen.phantom.chest_xray.sample import sample_study

#: Films per call.
CALL = 64


class OurCuration:
    """Films from the study ``first`` on, rendered once."""

    def __init__(self, size: int, first: int):
        studies = [sample_study(0, first + i) for i in range(CALL)]
        self._films = [np.array(x) for x in render_batch(studies, size, masks=False).images]
        self._gate, self._encoder, self._limits = Gate(), PixelEncoder(), Limits()
        self.gate(1)

    def statistics(self, calls: int) -> float:
        """Seconds for ``calls`` times :data:`CALL` films' statistics and their reasons."""
        start = time.perf_counter()
        for _ in range(calls):
            for film in self._films:
                list(objections(measure(film), self._limits))
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
            self._gate.review([Candidate(str(i), film) for i, film in enumerate(self._films)])
        return time.perf_counter() - start


def make(size: int, first: int) -> OurCuration:
    return OurCuration(size, first)
