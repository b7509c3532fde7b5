"""Bootstrap intervals of the AUC: counts of draws against a loop over scikit-learn's AUC."""

import time

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(20, at_most=False, unit="x")
RESAMPLES = 1000
#: (records, classes): the CheXpert test set with its 5 classes, and the test set of ChestX-ray14.
CASES = ((500, 5), (25_596, 14))
#: Resamples that the peer is timed on where all of them would take minutes; it is a plain loop.
_PEER_RESAMPLES = {500: 1000, 25_596: 10}
_NOTE = (
    f"resampled AUCs a second, {RESAMPLES:,} resamples; the peer draws indices and calls "
    "sklearn.metrics.roc_auc_score, on fewer resamples where the set is large (it is a loop, every "
    "resample costs the same). Both give the same AUC on the same resample."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """One row per case; the value is how many times faster ours is."""
    cases = CASES[:1] if settings.quick else CASES
    return [_row(records, classes, settings, tell) for records, classes in cases]


def _row(records: int, classes: int, settings: Settings, tell: Tell) -> Row:
    case = {"records": records, "classes": classes}
    with (
        Worker(Side("ours", f"{__name__}:Ours", case), settings.threads) as ours,
        Worker(Side("loop", f"{__name__}:Loop", case), settings.threads) as loop,
    ):
        aucs = [side.call("first", resamples=3) for side in (ours, loop)]
        if max(abs(a - b) for a, b in zip(*aucs, strict=True)) > 1e-12:
            raise RuntimeError(f"the two sides disagree on the same resamples: {aucs}")

        def rate(side: Worker, resamples: int) -> float:
            return resamples * classes / side.call("seconds", resamples=resamples)

        paired = Paired(
            *in_turn(
                [lambda: rate(ours, RESAMPLES), lambda: rate(loop, _PEER_RESAMPLES[records])],
                2 if settings.quick else 3,
                tell,
            )
        )
    what = f"bootstrap AUC, {records:,} records, {classes} classes"
    return paired_row(what, paired, "AUCs/s", TARGET, _NOTE, digits=0)


def scores(records: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one in eight, and scores of an AUC of about 0.76."""
    rng = np.random.default_rng(0)
    labels = (rng.random((records, classes)) < 0.125).astype(np.int8)
    labels[0], labels[1] = 0, 1
    return labels, (labels + rng.normal(size=labels.shape)).astype(np.float32)


class Ours:
    """Multiplicities, one sort per class."""

    def __init__(self, records: int, classes: int):
        from medvlp_jax.eval.metrics import bootstrap

        self.labels, self.scores = scores(records, classes)
        self._counts = bootstrap.AucCounts
        self._draws = bootstrap.Bootstrap

    def aucs(self, resamples: int) -> np.ndarray:
        """AUCs [classes, resamples], from the sort on."""
        of_class = [self._counts(y, s) for y, s in zip(self.labels.T, self.scores.T, strict=True)]
        chunks = self._draws(resamples).counts(len(self.labels))
        return np.concatenate([np.stack([f(c) for f in of_class]) for c in chunks], 1)

    def seconds(self, resamples: int) -> float:
        start = time.perf_counter()
        self.aucs(resamples)
        return time.perf_counter() - start

    def first(self, resamples: int) -> list[float]:
        return self.aucs(resamples).ravel().tolist()


class Loop:
    """Draws indices and calls scikit-learn, as evaluation scripts do."""

    def __init__(self, records: int, classes: int):
        from sklearn.metrics import roc_auc_score

        self.labels, self.scores = scores(records, classes)
        self._auc = roc_auc_score

    def seconds(self, resamples: int) -> float:
        rng = np.random.default_rng(1)
        n, k = self.labels.shape
        start = time.perf_counter()
        for _ in range(resamples):
            rows = rng.integers(0, n, n)
            for c in range(k):
                self._auc(self.labels[rows, c], self.scores[rows, c])
        return time.perf_counter() - start

    def first(self, resamples: int) -> list[float]:
        """The AUCs on the resamples that ours drew."""
        from medvlp_jax.eval.metrics.bootstrap import Bootstrap

        counts = np.concatenate(list(Bootstrap(resamples).counts(len(self.labels))), 1)
        drawn = [np.repeat(np.arange(len(column)), column) for column in counts.T]
        return [
            float(self._auc(self.labels[rows, c], self.scores[rows, c]))
            for c in range(self.labels.shape[1])
            for rows in drawn
        ]
