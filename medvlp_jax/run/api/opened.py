"""A model that is ready to answer, wherever it came from: what the public API stands on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from medvlp_jax.core import sharding
from medvlp_jax.core.predict import Predictor
from medvlp_jax.data.config import DataConfig
from medvlp_jax.eval.config import EvalConfig
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer

#: Rows of the batches that a few images are padded to: each size is compiled once.
_SMALL = (1, 8)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model with its pixels, its tokenizer and its protocol.

    Attributes:
      name: of the run and its step, or of the published folder.
      about: a few lines for people.
      config: plain values: the run's config, or that of the published model.
      data: how an image becomes the input (``data.image``), and the names of the labels.
      eval: protocol, prompt bank, heat-maps and batch size, as evaluation has them.
      tokenize: texts to tokens.
      predict: ``image_embed``, ``text_embed``, ``patch_embed`` on its parameters.
      temperature: that the loss divided cosines by; None: not known.
    """

    name: str
    about: str
    config: dict[str, Any]
    data: DataConfig
    eval: EvalConfig
    tokenize: PromptTokenizer
    predict: Predictor
    temperature: float | None = None

    def batch_size(self, count: int, most: int = 0) -> int:
        """Rows of a batch for ``count`` images: few shapes, all of which the mesh can split.

        Args:
          most: rows of a full batch; 0: as evaluation has it.
        """
        most = most or self.eval.batch_size
        rows = next((size for size in _SMALL if count <= size <= most), most)
        pieces = sharding.batch_shards(self.predict.mesh)
        return -(-rows // pieces) * pieces

    def rows(
        self, name: str, images: Sequence[UInt8[np.ndarray, "s s c"]]
    ) -> Shaped[np.ndarray, "n ..."]:
        """What a predict function gives for images that are prepared already (``load_image``)."""
        size = self.batch_size(len(images))
        found = []
        for start in range(0, len(images), size):
            # The last image fills up the last batch.
            places = np.minimum(np.arange(start, start + size), len(images) - 1)
            batch = np.stack([images[i] for i in places])
            found.append(np.asarray(self.predict(name, {"image": batch})))
        return np.concatenate(found)[: len(images)]
