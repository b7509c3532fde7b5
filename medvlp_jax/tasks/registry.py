"""The tasks by name: what ``config.task.name`` picks."""

from collections.abc import Callable, Mapping
from typing import Any

from medvlp_jax.core.config import ConfigError, unknown_word
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.task import Task
from medvlp_jax.tasks.contrastive import make_contrastive
from medvlp_jax.tasks.detection import make_detection
from medvlp_jax.tasks.gloria import make_gloria
from medvlp_jax.tasks.medclip import make_medclip
from medvlp_jax.tasks.mgca import make_mgca
from medvlp_jax.tasks.segmentation import make_segmentation
from medvlp_jax.tasks.supervised import make_supervised

TaskFactory = Callable[[ModelDef, Mapping[str, Any]], Task]

#: ``config.task.name`` -> factory ``(model_def, the other keys of config.task) -> Task``.
TASKS: dict[str, TaskFactory] = {
    "contrastive": make_contrastive,
    "gloria": make_gloria,
    "mgca": make_mgca,
    "medclip": make_medclip,
    "supervised": make_supervised,
    "segmentation": make_segmentation,
    "detection": make_detection,
}


def make_task(model_def: ModelDef, config: Mapping[str, Any]) -> Task:
    """Builds the task that ``config.task`` describes; ``config["name"]`` picks it from TASKS.

    Raises:
      ConfigError: the name or one of the keys is unknown, or a value is out of range.
    """
    options = dict(config.items())
    name = options.pop("name", None)
    if name is None:
        raise ConfigError(f"config.task.name is missing; one of {', '.join(sorted(TASKS))}")
    if not isinstance(name, str) or name not in TASKS:
        raise ConfigError(unknown_word("config.task.name", name, TASKS, "task"))
    return TASKS[name](model_def, options)
