"""Where each point of an image goes: one matrix per visit that moves pixels, boxes and masks.

A matrix maps fractions of the stored image (u, v in [0, 1], origin at the top left) to fractions of
the network's square input. It does not know pixels, so the same matrix serves the image, whatever
size it was decoded at, its boxes and its masks.
"""

import dataclasses
import math
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from medvlp_jax.core.fields import Fraction, NonNegative, Positive, Share

Matrix = Float64[np.ndarray, "3 3"]
Resize = Literal["shortest", "pad", "stretch"]

# Bilinear sampling looks at 2 x 2 pixels: below half size it skips some. It is eight times cheaper
# than area averaging, and the scaled JPEG decoder mostly leaves a factor of 0.6 or more.
_AREA_BELOW = 0.6


@dataclasses.dataclass(frozen=True)
class GeometryConfig:
    """Ranges that a training visit draws from; the defaults change nothing.

    Attributes:
      crop_area: range of the crop's area, as a fraction of the largest crop of that shape: the
        square of the shorter side ("shortest"), the padded square ("pad"), the image ("stretch").
      crop_aspect: range of width / height of the crop, relative to that shape; drawn log-uniformly.
      rotate: largest rotation to either side, degrees.
      translate: largest shift to either side, as a fraction of the crop.
      scale: range of magnification on top of the crop; below 1 shows black borders.
      flip: probability of mirroring left and right. It makes "left" in a text or label wrong and
        puts the heart on the other side, so the pipeline refuses it where texts name a side.
      min_visible: a box that keeps less than this fraction of its area is dropped.
    """

    crop_area: tuple[Share, Share] = (1.0, 1.0)
    crop_aspect: tuple[Positive, Positive] = (1.0, 1.0)
    rotate: NonNegative = 0.0
    translate: NonNegative = 0.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    flip: Fraction = 0.0
    min_visible: Fraction = 0.25

    def __post_init__(self) -> None:
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_area={self.crop_area} must be 0 < low <= high <= 1")
        for name in ("crop_aspect", "scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}={(low, high)} must be 0 < low <= high")
        if not 0 <= self.rotate <= 45:
            raise ValueError(f"rotate={self.rotate} degrees must be between 0 and 45")
        if not 0 <= self.translate < 1 or not 0 <= self.min_visible <= 1:
            raise ValueError("translate must be in [0, 1) and min_visible in [0, 1]")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip={self.flip} is a probability")


def matrix(
    resize: Resize,
    width: int,
    height: int,
    config: GeometryConfig | None = None,
    rng: np.random.Generator | None = None,
) -> Matrix:
    """The matrix of one visit; without ``rng`` the plain resize that evaluation uses.

    "shortest" takes the largest square in the middle, "pad" adds black borders to the longer
    side's square, "stretch" gives up the aspect ratio. With ``rng`` the crop, rotation, shift,
    scale and flip of ``config`` are drawn, always in this order and number, so that one option
    does not change what another draws.
    """
    # Lengths are in units of the image's height: isotropic, as rotation needs.
    aspect = width / height
    short, long = min(aspect, 1.0), max(aspect, 1.0)
    frame_w, frame_h = {"shortest": (aspect, 1.0), "pad": (long, long), "stretch": (aspect, 1.0)}[
        resize
    ]
    crop_w, crop_h = (short, short) if resize == "shortest" else (frame_w, frame_h)
    center_x, center_y = aspect / 2, 0.5
    angle, mirror = 0.0, 1.0
    if rng is not None and config is not None:
        draw = rng.random(8)
        area = _between(config.crop_area, draw[0])
        log_low, log_high = (math.log(a) for a in config.crop_aspect)
        shape = math.exp(_between((log_low, log_high), draw[1]))
        if config.crop_area != (1.0, 1.0) or config.crop_aspect != (1.0, 1.0):
            crop_w = min(crop_w * math.sqrt(area * shape), frame_w)
            crop_h = min(crop_h * math.sqrt(area / shape), frame_h)
            center_x += (draw[2] - 0.5) * (frame_w - crop_w)
            center_y += (draw[3] - 0.5) * (frame_h - crop_h)
        angle = math.radians(config.rotate) * (2 * draw[4] - 1)
        center_x += config.translate * (2 * draw[5] - 1) * crop_w
        center_y += config.translate * (2 * draw[6] - 1) * crop_h
        zoom = _between(config.scale, draw[7])
        crop_w, crop_h = crop_w / zoom, crop_h / zoom
        mirror = -1.0 if rng.random() < config.flip else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    to_plane = np.array([[aspect, 0, -center_x], [0, 1, -center_y], [0, 0, 1]])
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    to_output = np.array([[mirror / crop_w, 0, 0.5], [0, 1 / crop_h, 0.5], [0, 0, 1]])
    return to_output @ turn @ to_plane


def _between(bounds: tuple[float, float], unit: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * unit


def needed_short_side(m: Matrix, width: int, height: int, size: int) -> int:
    """The shorter side, in pixels, at which the image has the resolution of the output."""
    per_u, per_v = (size * math.hypot(m[0, i], m[1, i]) for i in (0, 1))
    return math.ceil(min(width, height) * max(per_u / width, per_v / height) - 1e-6)


def snap(m: Matrix, width: int, height: int) -> Matrix:
    """``m``, where it is a plain crop, with the crop moved to whole pixels of the decoded image.

    A crop of whole pixels is a slice and a resize, several times cheaper than a warp. The matrix
    changes with it, so that boxes and masks still follow exactly.
    """
    if m[0, 1] or m[1, 0]:
        return m
    out = np.eye(3)
    for axis, pixels in ((0, width), (1, height)):
        # Input fractions that land on 0 and 1 of the output; swapped when mirrored.
        edges = (np.array([0.0, 1.0]) - m[axis, 2]) / m[axis, axis]
        first, last = np.rint(edges * pixels)
        if first == last:
            last += math.copysign(1, edges[1] - edges[0])
        out[axis, axis] = pixels / (last - first)
        out[axis, 2] = -first / (last - first)
    return out


def warp(image: UInt8[np.ndarray, "h w *c"], m: Matrix, size: int) -> UInt8[np.ndarray, "s s *c"]:
    """The square input of side ``size`` that ``m`` (see :func:`snap`) takes from ``image``.

    Bilinear, after area averaging where the image shrinks to less than 0.6 of its size; black
    outside of the image.
    """
    height, width = image.shape[:2]
    crop = _whole_pixels(m, width, height)
    if crop is not None:
        return _resize_crop(image, crop, size)
    pixels = _pixel_matrix(m, width, height, size)
    scale = math.sqrt(abs(np.linalg.det(pixels[:2, :2])))
    if scale < _AREA_BELOW:
        width, height = (max(round(n * scale), 1) for n in (width, height))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        pixels = _pixel_matrix(m, width, height, size)
    return cv2.warpAffine(image, pixels[:2], (size, size), flags=cv2.INTER_LINEAR)


def warp_mask(mask: UInt8[np.ndarray, "h w"], m: Matrix, size: int) -> UInt8[np.ndarray, "s s"]:
    """A mask of the image (of any resolution) moved by ``m``: nearest neighbour, as 0 and 1."""
    height, width = mask.shape
    pixels = _pixel_matrix(m, width, height, size)
    moved = cv2.warpAffine(mask, pixels[:2], (size, size), flags=cv2.INTER_NEAREST)
    return (moved > 127).astype(np.uint8)


def move_boxes(
    boxes: Float32[np.ndarray, "n 4"], m: Matrix, min_visible: float
) -> tuple[Float32[np.ndarray, "k 4"], Int64[np.ndarray, " k"]]:
    """Boxes (x0, y0, x1, y1 in fractions) moved by ``m`` and clipped, and which ones are left.

    A rotated box becomes the upright box around its four corners. One that keeps less than
    ``min_visible`` of its area inside the input is dropped.
    """
    xs, ys = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
    x = m[0, 0] * xs + m[0, 1] * ys + m[0, 2]
    y = m[1, 0] * xs + m[1, 1] * ys + m[1, 2]
    hull = np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1)
    clipped = np.clip(hull, 0, 1)
    whole, seen = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (hull, clipped))
    kept = np.flatnonzero((seen > 0) & (seen >= min_visible * whole))
    return clipped[kept].astype(np.float32), kept


def _pixel_matrix(m: Matrix, width: int, height: int, size: int) -> Matrix:
    # OpenCV counts from the middle of the first pixel, fractions from its corner.
    center_in = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    center_out = np.array([[size, 0, -0.5], [0, size, -0.5], [0, 0, 1]])
    return center_out @ m @ center_in


def _whole_pixels(m: Matrix, width: int, height: int) -> tuple[int, int, int, int] | None:
    """(x of output 0, y of output 0, x of output 1, y of output 1) if ``m`` is a snapped crop."""
    if m[0, 1] or m[1, 0]:
        return None
    edges = []
    for unit in (0.0, 1.0):
        for axis, pixels in ((0, width), (1, height)):
            at = (unit - m[axis, 2]) / m[axis, axis] * pixels
            if abs(at - round(at)) > 1e-3:
                return None
            edges.append(round(at))
    return edges[0], edges[1], edges[2], edges[3]


def _resize_crop(image: np.ndarray, crop: tuple[int, int, int, int], size: int) -> np.ndarray:
    height, width = image.shape[:2]
    x0, x1 = sorted((crop[0], crop[2]))
    y0, y1 = sorted((crop[1], crop[3]))
    piece = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    if not piece.size:
        return np.zeros((size, size, *image.shape[2:]), np.uint8)
    border = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    if any(border):
        piece = cv2.copyMakeBorder(piece, *border, cv2.BORDER_CONSTANT, value=0)
    if piece.shape[:2] != (size, size):
        scale = size / max(piece.shape[:2])
        how = cv2.INTER_AREA if scale < _AREA_BELOW else cv2.INTER_LINEAR
        piece = cv2.resize(piece, (size, size), interpolation=how)
    if crop[0] > crop[2]:
        piece = piece[:, ::-1]
    return np.ascontiguousarray(piece)
