"""Two models on the same images: paired differences from their files of scores."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval, interval
from medvlp_jax.eval.metrics.scores import mean_defined
from medvlp_jax.eval.suites.scores import FOLDER, Scores, read_scores
from medvlp_jax.eval.suites.statistics import MEASURES, Statistics, drawn, of_set

#: Set -> measure -> value of the first model less that of the second, with its interval.
Differences = dict[str, dict[str, Interval]]


@dataclasses.dataclass(frozen=True)
class ScoreComparison:
    """The first model less the second, on the same images and resamples.

    Attributes:
      sets: set -> measure (``accuracy``, ``balanced_accuracy``, ``auc``) -> difference.
      mean: measure -> mean over the sets in which it is defined.
      left_out: set -> why it is not compared.
    """

    sets: Differences
    mean: dict[str, Interval]
    left_out: dict[str, str]

    def __str__(self) -> str:
        lines = []
        for name, found in [*self.sets.items(), (f"mean of {len(self.sets)} sets", self.mean)]:
            parts = [
                f"{measure} {i.value:+.3f} [{i.low:+.3f}, {i.high:+.3f}]"
                for measure, i in found.items()
                if np.isfinite(i.value)
            ]
            lines.append(f"{name}: {', '.join(parts)}")
        return "\n".join([*lines, *(f"{k}: left out, {why}" for k, why in self.left_out.items())])


def compare_scores(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    by_patient: bool = True,
) -> ScoreComparison:
    """Compares two models on the images that both scored.

    Args:
      first: a file of scores; or a folder of them (``OUT/scores``, or the ``OUT`` of
        ``launch/evaluate.py``).
      second: the same of the other model; of two folders, the sets of one name are compared.
      resamples: of the intervals; 0 gives none.
      level: of the intervals.
      seed: of the resamples.
      by_patient: draw whole patients where a set names them.

    Raises:
      EvalError: a file cannot be read, the two are not of the same records, labels or classes, or
        the folders share no set.
    """
    bootstrap = Bootstrap(resamples, level, by_patient=by_patient, seed=seed)
    pairs, left_out = _pairs(pathlib.Path(first), pathlib.Path(second))
    sets: Differences = {}
    draws: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for name, (a, b) in pairs.items():
        b = _aligned(name, a, b)
        both = [Statistics(s.labels, s.scores, a.exclusive and b.exclusive) for s in (a, b)]
        found = drawn(both, len(a.ids), of_set(bootstrap, name), a.patients)
        gain, resampled = both[0].values - both[1].values, found[0] - found[1]
        sets[name] = _intervals(gain, resampled, level)
        values.append(gain)
        draws.append(resampled)
    stacked, known = np.stack(values), np.isfinite(np.stack(values))
    mean_drawn = mean_defined(np.where(known[:, :, None], np.stack(draws), np.nan))
    return ScoreComparison(sets, _intervals(mean_defined(stacked), mean_drawn, level), left_out)


def _intervals(values: np.ndarray, draws: np.ndarray, level: float) -> dict[str, Interval]:
    return {
        measure: interval(float(value), row, level)
        for measure, value, row in zip(MEASURES, values, draws, strict=True)
    }


def _pairs(
    first: pathlib.Path, second: pathlib.Path
) -> tuple[dict[str, tuple[Scores, Scores]], dict[str, str]]:
    if first.is_dir() != second.is_dir():
        raise EvalError(f"{first} and {second} must be two files of scores, or two folders of them")
    if not first.is_dir():
        pair = read_scores(first), read_scores(second)
        return {pair[0].name: pair}, {}
    a, b = _files(first), _files(second)
    shared = [name for name in a if name in b]
    if not shared:
        raise EvalError(
            f"{first} and {second} share no set: {_listed(a)} against {_listed(b)}; evaluate both "
            "on the same sets"
        )
    left = {n: f"only in {first if n in a else second}" for n in sorted(a.keys() ^ b.keys())}
    return {name: (read_scores(a[name]), read_scores(b[name])) for name in shared}, left


def _files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    inner = folder / FOLDER
    found = sorted((inner if inner.is_dir() else folder).glob("*.npz"))
    if not found:
        raise EvalError(f"{folder} holds no file of scores; launch/evaluate.py --out writes them")
    return {path.stem: path for path in found}


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _aligned(name: str, a: Scores, b: Scores) -> Scores:
    """``b`` in the order of the records of ``a``."""
    if a.classes != b.classes:
        raise EvalError(
            f"set {name!r}: the classes differ: {_listed(a.classes)} against {_listed(b.classes)}"
        )
    place = {str(record): i for i, record in enumerate(b.ids)}
    missing = [str(record) for record in a.ids if str(record) not in place]
    extra = place.keys() - set(map(str, a.ids))
    if missing or extra:
        some = missing[0] if missing else min(extra)
        raise EvalError(
            f"set {name!r}: {len(missing) + len(extra)} records were scored by one model alone, "
            f"first {some!r}; evaluate both on the same records"
        )
    order = np.array([place[str(record)] for record in a.ids], int)
    if not np.array_equal(a.labels, b.labels[order]):
        rows = np.flatnonzero((a.labels != b.labels[order]).any(1))
        raise EvalError(
            f"set {name!r}: the labels of {len(rows)} records differ, first "
            f"{str(a.ids[rows[0]])!r}; evaluate both on the same data"
        )
    return dataclasses.replace(b, ids=a.ids, scores=b.scores[order], labels=a.labels)
