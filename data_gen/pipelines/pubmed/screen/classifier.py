"""The small network that knows the classes of pictures."""

import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.screen.classes import CLASSES
from data_gen.pipelines.pubmed.screen.images import Pixels
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images.augment import prepared
from medvlp_jax.run.conversion.compact import open_model

#: What ships with the package; its card is model.json beside the weights.
SHIPPED = pathlib.Path(__file__).parent / "weights"
#: Rows of a batch of few pictures; each size is compiled once.
_FEW = 4


class Classifier:
    """Implements :class:`data_gen.pipelines.pubmed.screen.images.Backend`.

    Each class is a question of its own to the network (a sigmoid); the answers of a picture are
    scaled to sum to 1.

    Args:
      model: a run, a folder of ``launch/convert.py --layout=compact``, or "" for :data:`SHIPPED`.
      batch: pictures that it sees at once.

    Raises:
      UserError: it cannot be opened, or its labels are not the classes.
    """

    def __init__(self, model: str = "", batch: int = 32) -> None:
        path = model or SHIPPED
        opened = open_model(path, devices=jax.devices()[:1])
        self._predict, self._image = opened.predict, opened.run.config.data.image
        self.classes = opened.run.config.data.labels
        self.batch = batch
        strange = [name for name in self.classes if name not in CLASSES]
        if strange or "logits" not in self._predict.names:
            what = f"has the class {strange[0]!r}" if strange else "is no classifier"
            raise UserError(f"{path} {what}; give a run of configs/brain/screen.py")

    def probabilities(self, pictures: Sequence[Pixels]) -> Float[np.ndarray, "n k"]:
        """Rows that sum to 1."""
        rows = []
        for start in range(0, len(pictures), self.batch):
            some = [prepared(one, self._image) for one in pictures[start : start + self.batch]]
            size = _FEW if len(some) <= _FEW else self.batch
            padded = np.stack([*some, *[some[-1]] * (size - len(some))])
            rows.append(np.asarray(self._predict("logits", {"image": padded}))[: len(some)])
        logits = np.concatenate(rows).astype(np.float64)
        answers = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return answers / answers.sum(1, keepdims=True)
