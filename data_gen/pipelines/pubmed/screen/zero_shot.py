"""Classes of pictures by a model of images and texts, from sentences about them."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from data_gen.pipelines.pubmed.screen.classes import CLASSES
from data_gen.pipelines.pubmed.screen.images import Pixels
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.run.api.load import load

#: Class -> sentences that say it.
PROMPTS = pathlib.Path(__file__).parent / "prompts.json"


class ZeroShot:
    """Implements :class:`data_gen.pipelines.pubmed.screen.images.Backend` with a CLIP.

    Args:
      model: what :func:`medvlp_jax.load` opens: a run, or published weights.
      prompts: a JSON file, class -> sentences; "" for :data:`PROMPTS`.

    Raises:
      UserError: there is no such model, or the file is not as it must be.
    """

    def __init__(self, model: str, prompts: str = "") -> None:
        self._prompts = read_prompts(prompts or PROMPTS)
        self.classes = tuple(self._prompts)
        self._model: Any = load(model)

    def probabilities(self, pictures: Sequence[Pixels]) -> Float[np.ndarray, "n k"]:
        """Rows that sum to 1: a softmax over the classes at the model's own temperature."""
        scores = self._model.zero_shot(list(pictures), self._prompts, protocol="multiclass")
        found = scores.probabilities
        assert found is not None  # multiclass has some
        return found / found.sum(1, keepdims=True)


def read_prompts(path: str | pathlib.Path) -> dict[str, list[str]]:
    """Class -> sentences, in the order of :data:`CLASSES`.

    Raises:
      UserError: the file cannot be read, or names a class that there is not.
    """
    with one_net(path, "give a JSON object, class -> list of sentences"):
        tree = json.loads(read_bytes(path))
        found = {str(name): [str(s) for s in sentences] for name, sentences in tree.items()}
    strange = [name for name in found if name not in CLASSES]
    if strange or not all(found.values()) or len(found) < 2:
        what = f"{strange[0]!r} is no class" if strange else "a class has no sentence"
        what = what if len(found) > 1 else "there are fewer than two classes"
        raise UserError(f"{path}: {what}; there are {', '.join(CLASSES)}")
    return {name: found[name] for name in CLASSES if name in found}
