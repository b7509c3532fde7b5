"""What the decoders of all formats share: the error, the limits, and what pixels are."""

import numpy as np
from jaxtyping import UInt8

from medvlp_jax.core.errors import UserError

Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]

#: Fractions of the pixels that an image without a window loses at its dark and bright end.
CLIP = (0.001, 0.999)
#: Larger headers are taken for damage: decoding one would take the memory of the whole machine.
MAX_PIXELS = 1 << 27


class ImageError(UserError, ValueError):
    """The bytes cannot be decoded; one line that says what they are and what is wrong."""
