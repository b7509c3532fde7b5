"""The tasks by name: what ``config.task.name`` picks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from medvlp_jax.core.config import ConfigError, parse, unknown_word
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Task
from medvlp_jax.tasks.blip import BlipTask, BlipTaskConfig
from medvlp_jax.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from medvlp_jax.tasks.detection import DetectionConfig, DetectionTask
from medvlp_jax.tasks.gloria import GloriaConfig, GloriaTask
from medvlp_jax.tasks.medclip import MedclipConfig, MedclipTask
from medvlp_jax.tasks.mgca import MgcaConfig, MgcaTask
from medvlp_jax.tasks.segmentation import SegmentationConfig, SegmentationTask
from medvlp_jax.tasks.supervised import SupervisedConfig, SupervisedTask


class TaskEntry(NamedTuple):
    """A kind of task: the schema of ``config.task`` without ``name``, and the task itself."""

    config: type[Any]
    task: type[Any]


TASKS: dict[str, TaskEntry] = {
    "contrastive": TaskEntry(ContrastiveConfig, ContrastiveTask),
    "gloria": TaskEntry(GloriaConfig, GloriaTask),
    "mgca": TaskEntry(MgcaConfig, MgcaTask),
    "medclip": TaskEntry(MedclipConfig, MedclipTask),
    "blip": TaskEntry(BlipTaskConfig, BlipTask),
    "supervised": TaskEntry(SupervisedConfig, SupervisedTask),
    "segmentation": TaskEntry(SegmentationConfig, SegmentationTask),
    "detection": TaskEntry(DetectionConfig, DetectionTask),
}


def task_entry(config: Mapping[str, Any]) -> TaskEntry:
    """The entry that ``config.task.name`` picks.

    Raises:
      ConfigError: there is no such task.
    """
    name = config.get("name")
    if name is None:
        raise ConfigError(f"config.task.name is missing; one of {', '.join(sorted(TASKS))}")
    if not isinstance(name, str) or name not in TASKS:
        raise ConfigError(unknown_word("config.task.name", name, TASKS, "task"))
    return TASKS[name]


def make_task(model_def: ModelDef, config: Mapping[str, Any]) -> Task:
    """Builds the task that ``config.task`` describes.

    Raises:
      ConfigError: the name or one of the keys is unknown, or a value is out of range.
    """
    entry = task_entry(config)
    options = {key: value for key, value in config.items() if key != "name"}
    return entry.task(model_def, parse(entry.config, options, "config.task"))
