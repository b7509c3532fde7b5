"""What one run measured, as a file: metrics, and the values per record that pairs need."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files import npz
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.eval.metrics.bootstrap import AucCounts, Bootstrap, weighted_mean
from medvlp_jax.eval.metrics.scores import mean_defined

FILE = "outcome.npz"
#: Arrays of an evaluation that are kept.
_KEPT = (
    *("ids", "labels", "scores", "clusters", "pair_record", "pair_values"),
    *("rank_image_to_text", "rank_text_to_image"),
)
_AT = 5  # of the recall that is compared


class OutcomeError(UserError):
    """A stored outcome cannot be used; the message names its file."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One finished run.

    Attributes:
      facts: config hash, steps, seconds, training records.
      metrics: evaluation -> metric -> value.
      arrays: evaluation -> name -> values per record or per pair.
    """

    facts: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    arrays: dict[str, dict[str, np.ndarray]]

    @property
    def epochs(self) -> float:
        """How often training saw a record of its own data on average."""
        f = self.facts
        return round(f["steps"] * f["batch_size"] / f["records"], 2)

    @classmethod
    def of(cls, facts: Mapping[str, Any], found: Mapping[str, EvalResult]) -> "Outcome":
        return cls(
            dict(facts),
            {
                name: {k: float(v) for k, v in result.metrics.items()}
                for name, result in found.items()
            },
            {
                name: {k: result.arrays[k] for k in _KEPT if k in result.arrays}
                for name, result in found.items()
            },
        )

    def save(self, folder: pathlib.Path) -> pathlib.Path:
        """Writes :data:`FILE` atomically: it is there when the run is finished, and not before."""
        file = folder / FILE
        arrays: dict[str, Any] = {
            f"{e}/{k}": v for e, values in self.arrays.items() for k, v in values.items()
        }
        # The names, too: a zip file has no checksum of them.
        said = json.dumps({"facts": self.facts, "metrics": self.metrics, "names": sorted(arrays)})
        npz.write(file, {"said": np.array(said), **arrays}, compressed=True)
        return file

    @classmethod
    def load(cls, folder: pathlib.Path) -> "Outcome":
        """Reads what :meth:`save` wrote.

        Raises:
          OutcomeError: the file is damaged.
        """
        with one_net(folder / FILE, "delete it and run the trial again", OutcomeError):
            stored = npz.read(folder / FILE)
            said = json.loads(str(stored.pop("said")))
            if sorted(stored) != said.get("names", sorted(stored)):
                raise OutcomeError(
                    f"{folder / FILE} cannot be read (it holds other arrays than were written); "
                    "delete it and run the trial again"
                )
            arrays: dict[str, dict[str, np.ndarray]] = {name: {} for name in said["metrics"]}
            for key, values in stored.items():
                evaluation, _, name = key.rpartition("/")
                arrays[evaluation][name] = values
        return cls(said["facts"], said["metrics"], arrays)


class Measure:
    """One number of one evaluation under resampling: ``measure(counts [n, r]) -> [r]``.

    A zero-shot or probe evaluation is its macro AUC, a grounding evaluation its pointing game, a
    retrieval evaluation the mean of R@5 of both ways.

    Attributes:
      records: ids that the columns of ``counts`` weigh, in order.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        if "scores" in arrays:
            self.records, self.clusters = arrays["ids"], arrays.get("clusters")
            pairs = zip(arrays["labels"].T, arrays["scores"].T, strict=True)
            self._classes = [AucCounts(y, s) for y, s in pairs]
        elif "rank_image_to_text" in arrays:
            self.records, self.clusters = arrays["ids"], arrays.get("clusters")
            ranks = np.stack([arrays["rank_image_to_text"], arrays["rank_text_to_image"]], 1)
            self._classes, self._pair = [], np.arange(len(ranks))
            self._values = (ranks <= _AT).mean(1, keepdims=True)
        else:
            self.records, pair = np.unique(arrays["pair_record"], return_inverse=True)
            self.clusters, self._classes = None, []
            self._pair, self._values = pair, arrays["pair_values"][:, :1]

    @staticmethod
    def fits(arrays: Mapping[str, np.ndarray]) -> bool:
        return any(name in arrays for name in ("scores", "pair_values", "rank_image_to_text"))

    def __call__(self, counts: Int[np.ndarray, "n r"]) -> Float[np.ndarray, "r"]:
        if self._classes:
            return mean_defined(np.stack([c(counts) for c in self._classes]))
        return weighted_mean(self._values, counts[self._pair])[0]

    @property
    def value(self) -> float:
        return float(self(np.ones((len(self.records), 1), np.int32))[0])

    def drawn(self, bootstrap: Bootstrap) -> Float[np.ndarray, "r"]:
        """The number on every resample of the records; equal records give equal resamples."""
        counts = bootstrap.counts(len(self.records), clusters=self.clusters)
        return np.concatenate([self(c) for c in counts] or [np.empty(0)])
