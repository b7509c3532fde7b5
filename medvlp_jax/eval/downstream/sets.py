"""Labelled sets for the evaluators that train on a tower."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from jax.sharding import Mesh

from medvlp_jax.core.processes import distributed
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.labelled import NO_TEXT, LabelIndex, label_indices
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.store.dataset import open_dataset, positive_labels
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded


@dataclasses.dataclass(frozen=True)
class Sets:
    """Three splits of labelled data and how their images become batches.

    Attributes:
      name: of the test set, for results.
      data: image options, labels, masks, boxes; its sources are the training data.
      validation, test: other splits; validation chooses, test is read once a run.
      eval_batch: rows of an evaluation batch.
    """

    name: str
    data: DataConfig
    validation: SourceConfig
    test: SourceConfig
    eval_batch: int
    mesh: Mesh

    def embedded(
        self, which: Literal["validation", "test"], columns: Sequence[str], **changes: Any
    ) -> Embedded:
        """One of the two sets.

        Args:
          columns: what its batches hold; none of them holds tokens.
          changes: fields of ``data`` that are replaced.
        """
        source = getattr(self, which)
        config = dataclasses.replace(
            self.data, sources=(source,), text=NO_TEXT, workers=0, **changes
        )
        opened = open_dataset(source.path, source.split, verified=True)
        index, count = distributed.data_slice(self.mesh)

        def batches() -> Any:
            return eval_batches(config, opened, self.eval_batch, index, count, columns=columns)

        return Embedded(self.name, batches, config.labels, split=source.split)

    def describe(self) -> dict[str, Any]:
        """The sets by name, for a result."""
        return {
            "set": self.name,
            "split": self.test.split,
            "validation": f"{self.validation.path}, split {self.validation.split}",
            "training": [f"{s.path}, split {s.split}" for s in self.data.sources],
        }

    def indices(self, labels: Sequence[str]) -> list[LabelIndex]:
        """The label index of every training source; one process reads, the others find it."""
        return label_indices(self.data, labels)

    def require(
        self, kind: Literal["label", "mask", "box"], names: Sequence[str], labels: Sequence[str]
    ) -> None:
        """Refuses names that the training data never holds: their loss is 0 from the first step,
        and nothing is learnt.

        Args:
          kind: a label counts where a record is positive or uncertain; masks and boxes where there
            is one.
          labels: of the label index that is read for it (:meth:`indices`).

        Raises:
          EvalError: names what is missing, and what there is.
        """
        held: set[str] = set()
        for index in self.indices(labels):
            some = ((index.labels == 1) | (index.labels == -1)).any(0)
            positive = [name for name, has in zip(labels, some, strict=True) if has]
            held.update({"label": positive, "mask": index.masks, "box": index.boxes}[kind])
        missing = [name for name in names if name not in held]
        if not missing:
            return
        sources = self.data.sources
        if kind == "label":
            held = {n for s in sources for n in positive_labels(open_dataset(s.path, s.split))}
        there = f"it has: {', '.join(sorted(held))}" if held else "it has none"
        where = {"label": "classes", "mask": "masks", "box": "boxes"}[kind]
        places = ", ".join(f"{s.path} ({s.split})" for s in sources)
        raise EvalError(
            f"the training data {places} has no {kind} "
            f"of {', '.join(missing)}, so nothing can be learnt about it; {there}. Name others in "
            f"downstream.{where}"
        )
