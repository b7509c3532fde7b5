"""The arrays that a task reads, for batches of a test's size."""

import jax

from medvlp_jax.core.task import Task
from medvlp_jax.data.columns.registry import batch_spec
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig


def task_spec(
    task: Task, rows: int, length: int, *, size: int, labels: int, boxes: int = 16
) -> dict[str, jax.ShapeDtypeStruct]:
    """``rows`` grey images of ``size`` pixels a side, and texts of ``length`` tokens."""
    data = DataConfig(
        (SourceConfig("unused"),),
        rows,
        ImageConfig(size),
        labels=tuple(f"label {i}" for i in range(labels)),
        max_boxes=boxes,
    )
    return batch_spec(task.columns, data, rows, length)
