"""Images to vectors whose cosine says how alike they are."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float

from data_gen.curation.candidate import Pixels
from medvlp_jax.core.fields import Size


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Which encoder.

    Attributes:
      kind: ``none``; ``pixels``, a map of the local contrast at 32 x 32, which knows copies and
        needs no weights; ``clip``, the image tower of a checkpoint of ours; ``dinov2``, a folder of
        weights with a DINOv2 (RAD-DINO) or another vision tower that :mod:`medvlp_jax.weights`
        reads.
      model: workdir or checkpoint (``clip``), folder (``dinov2``).
      batch_size: images at a time.
    """

    kind: Literal["none", "pixels", "clip", "dinov2"] = "pixels"
    model: str = ""
    batch_size: Size = 32

    def __post_init__(self) -> None:
        if (self.kind in ("clip", "dinov2")) != bool(self.model):
            raise ValueError(
                f"encoder.kind={self.kind!r}: model belongs to 'clip' and 'dinov2', which need it"
            )
        if self.batch_size < 1:
            raise ValueError(f"encoder.batch_size={self.batch_size} must be positive")


class Encoder(Protocol):
    """What embeds images.

    Attributes:
      width: of the vectors.
      bad_threshold: cosine above which an image counts as like a bad one.
      same_threshold: cosine above which two images count as the same.
    """

    width: int
    bad_threshold: float
    same_threshold: float

    def __init__(self, config: EncoderConfig) -> None: ...

    def encode(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        """Unit vectors, float32, each a function of its image alone."""
        ...
