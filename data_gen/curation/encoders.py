"""Images to vectors whose cosine says how alike they are."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

import cv2
import numpy as np
from jaxtyping import Float

from data_gen.curation.candidate import Pixels
from data_gen.curation.duplicates import unit
from medvlp_jax.core.fields import Size
from medvlp_jax.data.images.decoding import to_gray

#: Side of the map that the ``pixels`` encoder compares.
_SIDE = 32
#: Width of the blur, in its pixels, that the map is freed of.
_COARSE = 3.0


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

    def encode(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        """Unit vectors, float32, each a function of its image alone."""
        ...


def make_encoder(config: EncoderConfig) -> Encoder | None:
    """The encoder of a config, loaded; None for ``none``.

    Raises:
      UserError: the model cannot be loaded.
    """
    if config.kind == "none":
        return None
    if config.kind == "pixels":
        return PixelEncoder()
    # Only here: these bring JAX along.
    from data_gen.curation.towers import ClipEncoder, TowerEncoder

    return ClipEncoder(config) if config.kind == "clip" else TowerEncoder(config)


def thresholds(config: EncoderConfig) -> tuple[float, float]:
    """``bad_threshold`` and ``same_threshold`` of a kind of encoder, without loading it."""
    if config.kind in ("none", "pixels"):
        return PixelEncoder.bad_threshold, PixelEncoder.same_threshold
    from data_gen.curation.towers import ClipEncoder, TowerEncoder

    made = ClipEncoder if config.kind == "clip" else TowerEncoder
    return made.bad_threshold, made.same_threshold


class PixelEncoder:
    """Local contrast at 32 x 32: what is left of a film without its anatomy in the large, so that
    films of two patients are unlike although both are of a chest.

    It finds copies, not kinds of fault. Of 2200 procedural films (128 or 224 px) the most alike two
    have a cosine of 0.91, of 205 real ones 0.84; a JPEG copy, another size, noise, gamma 1.5 or a
    contrast of 1.3 leave 0.96 and more, a crop of 1 % of the side 0.94, one of 4 % about 0.8. The
    thresholds lie between.
    """

    width = _SIDE * _SIDE
    bad_threshold = 0.92
    same_threshold = 0.95

    def encode(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        if not len(images):
            return np.zeros((0, self.width), np.float32)
        return unit(np.stack([self._one(image) for image in images])).astype(np.float32)

    def _one(self, image: Pixels) -> np.ndarray:
        gray = to_gray(image)
        small = cv2.resize(gray.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        fine = small - cv2.GaussianBlur(small, (0, 0), _COARSE, borderType=cv2.BORDER_REFLECT)
        return (fine - fine.mean()).ravel()
