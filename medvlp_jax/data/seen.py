"""What a run has been shown: records, epochs and kinds of text, by source and by modality.

The plan says it, so the numbers are those of the global batch on every process, and exact after a
resume. A record that could not be read counts as planned; another one of its source stood in.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Int64

from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.plan import Plan, Visits

#: What is shown of a visit whose record has no text.
NO_TEXT = "none"


def names_of(sources: Sequence[SourceConfig]) -> tuple[str, ...]:
    """A short name of each source: its folder's, with the split or a number where two are alike."""
    short = [s.path.rstrip("/").rpartition("/")[2] or s.path for s in sources]
    split = [f"{name}:{s.split}" for name, s in zip(short, sources, strict=True)]
    for names in (short, split):
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{name}#{i}" for i, name in enumerate(split))


class Seen:
    """Counts the visits of a plan.

    Attributes:
      counts: visits so far, by cell of the plan (:attr:`Plan.cells`) and kind of text
        (:attr:`Plan.groups`); the last column has those without a text.
      replaced: by source, visits whose record could not be read, of the rows that this process
        loaded.
    """

    def __init__(self, plan: Plan, sources: Sequence[str]):
        self._plan, self._sources = plan, tuple(sources)
        self.counts: Int64[np.ndarray, "c g"]
        self._clear()

    def _clear(self) -> None:
        self.counts = np.zeros((len(self._plan.cells), len(self._plan.groups) + 1), np.int64)
        self.replaced = np.zeros(len(self._sources), np.int64)

    def add(self, visits: Visits, replaced: Iterable[int] = ()) -> None:
        """Takes the visits of one global batch, and the source of each record that was replaced."""
        columns = self.counts.shape[1]
        # -1, no text, is the last column.
        flat = visits.cell * columns + visits.group % columns
        self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)
        for source in replaced:
            self.replaced[source] += 1

    def state(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {"counts": self.counts.tolist(), "replaced": self.replaced.tolist()}

    def restore(self, state: Mapping[str, Any] | None, steps: int) -> None:
        """Takes up the counts of the first ``steps`` batches.

        A checkpoint that holds none, or those of other cells, costs a walk through the plan; the
        replaced records of before are then not known.
        """
        self._clear()
        if state is not None:
            counts, replaced = (np.array(state[k], np.int64) for k in ("counts", "replaced"))
            if counts.shape == self.counts.shape and replaced.shape == self.replaced.shape:
                self.counts, self.replaced = counts, replaced
                return
        if steps:
            logging.info("counting what the first %d batches held", steps)
        for step in range(steps):
            self.add(self._plan.step(step)[0])

    def report(self, state: Mapping[str, Any] | None = None) -> dict[str, float]:
        """What a log says of a state, by default the present one.

        Returns:
          ``source/NAME/...`` and ``modality/NAME/...`` with ``records`` (visits, as planned),
          ``epochs`` (these by the number of records), ``texts/KIND``, and, of sources and where it
          is not 0, ``replaced``.
        """
        state = self.state() if state is None else state
        kinds = (*self._plan.groups, NO_TEXT)
        visits: dict[str, np.ndarray] = {}
        records: collections.Counter[str] = collections.Counter()
        for cell, row in zip(self._plan.cells, np.array(state["counts"]), strict=True):
            for key in (f"source/{self._sources[cell.source]}", f"modality/{cell.modality}"):
                visits[key] = visits.get(key, 0) + row
                records[key] += cell.records
        out: dict[str, float] = {}
        for key in sorted(visits, reverse=True):  # sources first
            out[f"{key}/records"] = float(visits[key].sum())
            out[f"{key}/epochs"] = round(float(visits[key].sum() / records[key]), 4)
            for kind, n in zip(kinds, visits[key], strict=True):
                if n or kind != NO_TEXT:
                    out[f"{key}/texts/{kind}"] = float(n)
        for name, n in zip(self._sources, state["replaced"], strict=True):
            if n:
                out[f"source/{name}/replaced"] = float(n)
        return out
