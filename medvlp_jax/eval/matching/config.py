"""``config.eval.rerank``: two-stage retrieval."""

import dataclasses
from typing import Literal

from medvlp_jax.core.fields import Size


@dataclasses.dataclass(frozen=True)
class RerankConfig:
    """What ``eval.matching.reranked`` looks at.

    Attributes:
      texts: ``first``: one text per image, the one that other evaluators read; ``all``: every text
        of the record that ``data.text`` would choose from.
      top: nearest answers by cosine that the match of each pair puts in order.
    """

    texts: Literal["first", "all"] = "first"
    top: Size = 256
