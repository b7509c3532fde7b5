"""The batches that a run learns from, and whether the data hold what its loss reads."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.processes import distributed
from medvlp_jax.data.labelled import LabelIndex, label_indices, labelled_iterator
from medvlp_jax.data.pipeline import TrainIterator, open_sources, train_iterator
from medvlp_jax.data.store.dataset import open_dataset, positive_labels
from medvlp_jax.data.store.record import MODALITIES
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.run.build import Run

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Records of each source, chosen by their labels.

    Attributes:
      indices: the label index of each source.
      rows: positions in it.
    """

    indices: Sequence[LabelIndex]
    rows: Sequence[Int[np.ndarray, "m"]]


def training_batches(
    run: Run, tokenizer: Tokenizer | None, seed: int, rows: Rows | None = None
) -> TrainIterator:
    """Batches of image-text pairs, or, for a model without texts, of labelled records.

    Args:
      tokenizer: of a model with a text tower.
      seed: of the order, the choice of texts, and the augmentation.
      rows: labelled records to learn from; all by default.
    """
    c = dataclasses.replace(run.config.data, seed=seed)
    steps, columns = run.config.loop.steps, run.task.columns
    share = distributed.data_slice(run.mesh)
    if tokenizer is not None:
        return train_iterator(
            c, steps, *share, columns=columns, tokenizer=tokenizer, sources=open_sources(c)
        )
    if rows is None:
        indices = label_indices(c, c.labels)
        rows = Rows(indices, [np.arange(len(index.records)) for index in indices])
    return labelled_iterator(
        c, steps, open_sources(c), rows.indices, rows.rows, *share, columns=columns
    )


def require(run: Run) -> None:
    """Refuses a task whose labels, masks or boxes the training data never hold.

    Raises:
      ConfigError: the loss, or a part of it, would be 0 from the first step.
    """
    for kind in sorted(run.task.needs):
        {"labels": _labels, "boxes": _boxes, "masks": _masks}[kind](run)


def _labels(run: Run) -> None:
    c = run.config.data
    held = {name for s in c.sources for name in positive_labels(open_dataset(s.path, s.split))}
    # A modality among the labels is known from the image, which nobody counts.
    missing = [name for name in c.labels if name not in held and name not in MODALITIES]
    if not (held | set(MODALITIES)) & set(c.labels):
        raise ConfigError(
            f"the training data {_places(run)} has none of config.data.labels; it has "
            f"{', '.join(sorted(held)) or 'no labels'}"
        )
    if missing:
        _log.warning("the training data has no positive of %s", ", ".join(missing))


def _boxes(run: Run) -> None:
    c = run.config.data
    if any(shard.boxes for s in c.sources for shard in open_dataset(s.path, s.split).shards):
        return
    weight = run.config.task.get("region_weight")
    why = f"config.task.region_weight={weight}" if weight else "detection"
    mend = "set it to 0" if weight else "make it with boxes"
    raise ConfigError(f"{why} needs boxes, and the training data {_places(run)} has none; {mend}")


def _masks(run: Run) -> None:
    c = run.config.data
    if not c.masks:
        raise ConfigError("segmentation needs config.data.masks, the names of the regions")
    held = {name for index in label_indices(c, c.labels) for name in index.masks}
    missing = [name for name in c.masks if name not in held]
    if missing:
        raise ConfigError(
            f"the training data {_places(run)} has no mask of {', '.join(missing)}, so nothing can "
            f"be learnt about it; it has {', '.join(sorted(held)) or 'none'}. Name others in "
            "config.data.masks"
        )


def _places(run: Run) -> str:
    return ", ".join(f"{s.path} ({s.split})" for s in run.config.data.sources)
