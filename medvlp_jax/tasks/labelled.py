"""What the tasks on a vision tower and labels, masks or boxes have in common."""

from typing import Any, ClassVar

import jax

from medvlp_jax.core.task import Batch
from medvlp_jax.tasks.towers import hold


class LabelledTask:
    """The form of a task whose loss is a mean over records."""

    may_differ: ClassVar[tuple[str, ...]] = ()
    cached = False

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """A frozen tower, which the optimizer holds too."""
        if config["task"].get("frozen"):
            hold(config, ["vision/"])

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Any:
        """There is nothing to cache."""
        raise NotImplementedError("the loss is a mean over examples: there is nothing to cache")
