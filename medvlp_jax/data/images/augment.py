"""From encoded image to network input: decode near the final size, one warp, one look-up table."""

import dataclasses
import math
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy.special import ndtri

from medvlp_jax.core.fields import Channels, Extent, Fraction, NonNegative, Positive
from medvlp_jax.data.images import geometry, pillow
from medvlp_jax.data.images.decoding import decode, probe_size, to_gray
from medvlp_jax.data.images.geometry import GeometryConfig, Matrix


@dataclasses.dataclass(frozen=True)
class PhotometricConfig:
    """Ranges of gray-value changes of a training visit; the defaults change nothing.

    Attributes:
      brightness: largest shift to either side, as a fraction of the full range.
      contrast: range of the slope around middle gray.
      gamma: range of the exponent, drawn log-uniformly.
      blur, blur_sigma: probability of a Gaussian blur, and its range in output pixels.
      noise, noise_std: probability of Gaussian noise, and its range as a fraction of full range.
    """

    brightness: NonNegative = 0.0
    contrast: tuple[Positive, Positive] = (1.0, 1.0)
    gamma: tuple[Positive, Positive] = (1.0, 1.0)
    blur: Fraction = 0.0
    blur_sigma: tuple[Positive, Positive] = (0.3, 1.0)
    noise: Fraction = 0.0
    noise_std: tuple[NonNegative, NonNegative] = (0.005, 0.03)

    def __post_init__(self) -> None:
        for name in ("contrast", "gamma", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}={(low, high)} must be 0 < low <= high")
        if not 0 <= self.noise_std[0] <= self.noise_std[1]:
            raise ValueError(f"noise_std={self.noise_std} must be 0 <= low <= high")
        if not (0 <= self.blur <= 1 and 0 <= self.noise <= 1 and 0 <= self.brightness <= 1):
            raise ValueError("brightness, blur and noise must be in [0, 1]")


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """How a record's image becomes the network's input.

    Attributes:
      size: side S of the square input, pixels.
      channels: 1 (luminance) or 3 (RGB; gray images are repeated).
      resize: see :func:`geometry.matrix`.
      filter: how evaluation resizes: ``fast``, as training does (bilinear, after area averaging
        where it shrinks much); ``bicubic`` or ``bilinear``: as Pillow does, and with it open_clip,
        for weights whose preprocessing says so.
      views: which views may be taken, in order of preference for evaluation; empty = all.
        Training draws one of them per visit.
      geometry, photometric: what a training visit draws; evaluation ignores them.
      allow_flip: flip although texts or labels name a side.
    """

    size: Extent = 224
    channels: Channels = 1
    resize: Literal["shortest", "pad", "stretch"] = "shortest"
    filter: Literal["fast", "bilinear", "bicubic"] = "fast"
    views: tuple[str, ...] = ()
    geometry: GeometryConfig = dataclasses.field(default_factory=GeometryConfig)
    photometric: PhotometricConfig = dataclasses.field(default_factory=PhotometricConfig)
    allow_flip: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or self.channels not in (1, 3):
            raise ValueError(
                f"size={self.size} must be positive and channels={self.channels} 1 or 3"
            )


def load_image(
    data: bytes, fmt: str, config: ImageConfig, rng: np.random.Generator | None
) -> tuple[UInt8[np.ndarray, "s s c"], Matrix]:
    """Decodes, crops, resizes and, with ``rng``, augments one image.

    Returns:
      uint8 [S, S, C], and the matrix (see :mod:`.geometry`) that boxes and masks must follow.

    Raises:
      ImageError: the image cannot be decoded.
    """
    gray = config.channels == 1
    if rng is None and config.filter != "fast":
        out, m = pillow.resize(
            decode(data, fmt, gray=gray), config.resize, config.size, config.filter
        )
        return _in_channels(out, gray), m
    size = probe_size(data)
    if size is None:  # DICOM tells its size only with its pixels
        pixels = decode(data, fmt, gray=gray)
        m = geometry.matrix(config.resize, pixels.shape[1], pixels.shape[0], config.geometry, rng)
    else:
        m = geometry.matrix(config.resize, *size, config.geometry, rng)
        hint = geometry.needed_short_side(m, *size, config.size)
        pixels = decode(data, fmt, hint, gray=gray)
    m = geometry.snap(m, pixels.shape[1], pixels.shape[0])
    out = geometry.warp(pixels, m, config.size)
    if rng is not None:
        out = change_grays(out, config.photometric, rng)
    return _in_channels(out, gray), m


def prepared(
    pixels: UInt8[np.ndarray, "h w *c"], config: ImageConfig
) -> UInt8[np.ndarray, "s s c"]:
    """Pixels that are decoded already as evaluation shows them: cropped and resized.

    Args:
      pixels: gray [h, w] or RGB [h, w, 3].
    """
    gray = config.channels == 1
    if gray and pixels.ndim == 3:
        pixels = to_gray(pixels)
    if config.filter != "fast":
        out, _ = pillow.resize(pixels, config.resize, config.size, config.filter)
        return _in_channels(out, gray)
    m = geometry.matrix(config.resize, pixels.shape[1], pixels.shape[0], config.geometry, None)
    m = geometry.snap(m, pixels.shape[1], pixels.shape[0])
    return _in_channels(geometry.warp(pixels, m, config.size), gray)


def _in_channels(image: UInt8[np.ndarray, "h w *c"], gray: bool) -> UInt8[np.ndarray, "h w c"]:
    if image.ndim == 2:
        return image[:, :, None] if gray else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return image


def change_grays(
    image: UInt8[np.ndarray, "h w *c"], config: PhotometricConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w *c"]:
    """Contrast, brightness and gamma (one table), then blur, then noise.

    The numbers drawn from ``rng`` before the noise are always as many, whatever the options.
    """
    draw = rng.random(7)
    brightness = config.brightness * (2 * draw[0] - 1)
    contrast = _between(config.contrast, draw[1])
    gamma = math.exp(_between((math.log(config.gamma[0]), math.log(config.gamma[1])), draw[2]))
    if (brightness, contrast, gamma) != (0.0, 1.0, 1.0):
        image = cv2.LUT(image, gray_table(brightness, contrast, gamma))
    if draw[3] < config.blur:
        sigma = _between(config.blur_sigma, draw[4])
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if draw[5] < config.noise:
        image = add_noise(image, 255 * _between(config.noise_std, draw[6]), rng)
    return image


def gray_table(brightness: float, contrast: float, gamma: float) -> UInt8[np.ndarray, "256"]:
    """New value of each gray: slope about the middle, shift, clip, power."""
    x = np.arange(256) / 255
    y = np.clip((x - 0.5) * contrast + 0.5 + brightness, 0, 1) ** gamma
    return np.rint(y * 255).astype(np.uint8)


# 256 equally likely values of a unit normal: a random byte picks one, which costs a tenth of
# drawing floats and is as good once rounded to gray values.
_NORMAL_OF_BYTE = ndtri((np.arange(256) + 0.5) / 256)


def add_noise(
    image: UInt8[np.ndarray, "h w *c"], std: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w *c"]:
    """Gaussian noise of ``std`` gray values, equal in all channels, clipped to 0..255."""
    height, width = image.shape[:2]
    table = np.rint(_NORMAL_OF_BYTE * std).astype(np.int16)
    noise = table[np.frombuffer(rng.bytes(height * width), np.uint8)].reshape(height, width)
    if image.ndim == 3:
        noise = noise[:, :, None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _between(bounds: tuple[float, float], unit: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * unit
