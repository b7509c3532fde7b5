"""Labelled sets for the evaluators that train on a tower."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from jax.sharding import Mesh

from medvlp_jax.core import distributed
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.dataset import open_dataset
from medvlp_jax.data.labelled import NO_TEXT, LabelIndex, NoTokenizer, label_index
from medvlp_jax.data.pipeline import eval_batches
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

    def embedded(self, which: Literal["validation", "test"], **changes: Any) -> Embedded:
        """One of the two sets, with fields of ``data`` replaced."""
        source = getattr(self, which)
        config = dataclasses.replace(
            self.data, sources=(source,), text=NO_TEXT, workers=0, **changes
        )
        opened = open_dataset(source.path, source.split)
        index, count = distributed.data_slice(self.mesh)

        def batches() -> Any:
            return eval_batches(
                config, opened, self.eval_batch, index, count,
                with_boxes=config.with_boxes, with_masks=config.with_masks,
                tokenizer=NoTokenizer(),  # type: ignore[arg-type]
            )  # fmt: skip

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

        def read() -> list[LabelIndex]:
            return [
                label_index(open_dataset(s.path, s.split), labels, self.data.image,
                            self.data.cache_dir, self.data.max_bad_fraction)
                for s in self.data.sources
            ]  # fmt: skip

        if distributed.is_main():
            read()
        distributed.barrier("label index")
        return read()
