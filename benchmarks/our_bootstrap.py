"""The two sides of the bootstrap benchmark, on the same random scores."""

import time

import numpy as np

from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap


def scores(records: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one in eight, and scores of an AUC of about 0.76."""
    rng = np.random.default_rng(0)
    labels = (rng.random((records, classes)) < 0.125).astype(np.int8)
    labels[0], labels[1] = 0, 1
    return labels, (labels + rng.normal(size=labels.shape)).astype(np.float32)


class Ours:
    """Multiplicities, one sort per class."""

    def __init__(self, records: int, classes: int):
        self.labels, self.scores = scores(records, classes)

    def aucs(self, resamples: int) -> np.ndarray:
        """AUCs [classes, resamples], from the sort on."""
        of_class = [AucCounts(y, s) for y, s in zip(self.labels.T, self.scores.T, strict=True)]
        chunks = Bootstrap(resamples).counts(len(self.labels))
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
        counts = np.concatenate(list(Bootstrap(resamples).counts(len(self.labels))), 1)
        drawn = [np.repeat(np.arange(len(column)), column) for column in counts.T]
        return [
            float(self._auc(self.labels[rows, c], self.scores[rows, c]))
            for c in range(self.labels.shape[1])
            for rows in drawn
        ]


def ours(records: int, classes: int) -> Ours:
    return Ours(records, classes)


def loop(records: int, classes: int) -> Loop:
    return Loop(records, classes)
