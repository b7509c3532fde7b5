"""From patch-text similarities to pixel maps, and the scores of one map against one region.

Pixels of a map that are NaN are not part of it (film outside the crop that the model saw): every
score leaves them out, of the region too.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from medvlp_jax.core.fields import Extent, NonNegative
from medvlp_jax.eval.metrics.scores import average_precision

#: Levels at which a map in [0, 1] is cut; the threshold of Dice and IoU is one of them.
LEVELS = np.linspace(0.0, 0.99, 100)
#: Cuts of the mean IoU, for a map rescaled to [-1, 1] (MS-CXR protocol of MaCo; BioViL cuts raw
#: cosines at the same values).
MIOU_CUTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


@dataclasses.dataclass(frozen=True)
class MapConfig:
    """How a map on the patch grid becomes one on pixels.

    Attributes:
      sigma: of the Gaussian on the patch grid; 0: none.
      unit: of ``sigma``: fractions of the ``side`` of the grid, alike for every model, or
        ``patches``.
      upsample: ``bilinear`` between the centres of patches (``align_corners=False``), or
        ``nearest``.
      size: side in pixels at which maps and regions are compared.
    """

    sigma: NonNegative = 0.1
    unit: Literal["side", "patches"] = "side"
    upsample: Literal["bilinear", "nearest"] = "bilinear"
    size: Extent = 128

    def __post_init__(self) -> None:
        if self.sigma < 0 or self.size < 1:
            raise ValueError(f"sigma={self.sigma} must not be negative, size={self.size} positive")
        if self.unit not in ("side", "patches") or self.upsample not in ("bilinear", "nearest"):
            raise ValueError(
                f"unit {self.unit!r} must be 'side' or 'patches', upsample {self.upsample!r} "
                "'bilinear' or 'nearest'"
            )

    def patches(self, side: int) -> float:
        """Sigma in patches of a grid of ``side``."""
        return self.sigma * side if self.unit == "side" else self.sigma


MapProtocol = Literal["default", "biovil", "maco", "medklip"]

#: A config's word -> the way from patches to pixels.
MAPS: dict[MapProtocol, MapConfig] = {
    "default": MapConfig(),
    # hi-ml, vlp/inference_engine.py: sigma of 1.5 patches, nearest pixel.
    "biovil": MapConfig(1.5, "patches", "nearest", 224),
    "maco": MapConfig(1.5, "patches", "bilinear", 224),
    # The zero-shot grounding of MedKLIP: 14 patches, times 16, as they are.
    "medklip": MapConfig(0.0, "patches", "nearest", 224),
}


@functools.lru_cache(maxsize=32)
def gaussian_matrix(n: int, sigma: float) -> Float[np.ndarray, "n n"]:
    """Smoothing along an axis of length n: Gaussian cut at 4 sigma, edges mirrored (d c b a | a b
    c d), as ``scipy.ndimage.gaussian_filter`` does by default; sigma 0 is the identity."""
    if sigma == 0:
        return np.eye(n)
    radius = int(4 * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (offset / sigma) ** 2)
    source = (np.arange(n)[:, None] + offset[None, :]) % (2 * n)
    source = np.where(source < n, source, 2 * n - 1 - source)
    out = np.zeros((n, n))
    np.add.at(out, (np.arange(n)[:, None], source), weight / weight.sum())
    return out


@functools.lru_cache(maxsize=32)
def bilinear_matrix(n_out: int, n_in: int) -> Float[np.ndarray, "n_out n_in"]:
    """Linear interpolation along an axis between pixel centres, constant beyond the outermost
    (``align_corners=False``)."""
    at = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    low = np.minimum(np.floor(at).astype(int), max(n_in - 2, 0))
    out = np.zeros((n_out, n_in))
    out[np.arange(n_out), low] = 1 - (at - low)
    out[np.arange(n_out), np.minimum(low + 1, n_in - 1)] += at - low
    return out


@functools.lru_cache(maxsize=32)
def nearest_matrix(n_out: int, n_in: int) -> Float[np.ndarray, "n_out n_in"]:
    """Each of ``n_out`` pixels takes the patch that its centre lies in."""
    at = ((np.arange(n_out) + 0.5) / n_out * n_in).astype(int)
    return np.eye(n_in)[at]


def to_pixels(
    patch_map: Float[np.ndarray, "*n h w"], config: MapConfig
) -> Float[np.ndarray, "*n size size"]:
    """Smooths on the patch grid, then brings the map to ``config.size`` x ``config.size``.

    A constant map stays exactly constant: it must tie everywhere, not have a peak of rounding.
    """
    patch_map = np.asarray(patch_map, np.float64)
    widen = bilinear_matrix if config.upsample == "bilinear" else nearest_matrix
    rows, columns = (
        widen(config.size, n) @ gaussian_matrix(n, config.patches(n)) for n in patch_map.shape[-2:]
    )
    origin = patch_map[..., :1, :1]
    return rows @ (patch_map - origin) @ columns.T + origin


def on_film(
    patch_map: Float[np.ndarray, "h w"],
    matrix: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
    config: MapConfig,
) -> Float[np.ndarray, "height width"]:
    """The map on the pixels of the stored film, NaN where the model did not see it.

    Args:
      matrix: from fractions of the film to fractions of the model's input
        (``data.images.geometry.matrix``).
      height, width: of the film, or of any size at which it is shown.
    """
    h, w = patch_map.shape
    g = [gaussian_matrix(n, config.patches(n)) for n in (h, w)]
    smooth = g[0] @ np.asarray(patch_map, np.float64) @ g[1].T
    u, v = (np.arange(width) + 0.5) / width, (np.arange(height)[:, None] + 0.5) / height
    x = matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]
    y = matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]
    at = np.stack([y * h - 0.5, x * w - 0.5])
    order = 1 if config.upsample == "bilinear" else 0
    out = ndimage.map_coordinates(smooth, at, order=order, mode="nearest")
    return np.where((x >= 0) & (x < 1) & (y >= 0) & (y < 1), out, np.nan)


def box_mask(boxes: Float[np.ndarray, "m 4"], size: int) -> Bool[np.ndarray, "size size"]:
    """Pixels whose centre lies in one of the boxes (x0, y0, x1, y1 as fractions).

    A box thinner than a pixel marks the pixel that holds its centre, so that no region is empty.
    """
    centre = (np.arange(size) + 0.5) / size
    out = np.zeros((size, size), bool)
    for x0, y0, x1, y1 in np.asarray(boxes, np.float64):
        inside = ((centre >= y0) & (centre < y1))[:, None] & ((centre >= x0) & (centre < x1))
        if not inside.any():
            row, column = (min(int((a + b) / 2 * size), size - 1) for a, b in ((y0, y1), (x0, x1)))
            inside[row, column] = True
        out |= inside
    return out


def union_area(boxes: Float[np.ndarray, "m 4"]) -> float:
    """Exact area of the union of boxes as a fraction of the image: the chance that a point drawn
    at random hits one of them."""
    boxes = np.clip(np.asarray(boxes, np.float64), 0, 1)
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    x, y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    covered = np.zeros((len(y), len(x)), bool)
    for x0, y0, x1, y1 in boxes:
        covered |= ((y > y0) & (y < y1))[:, None] & ((x > x0) & (x < x1))
    return float(np.diff(ys) @ covered @ np.diff(xs))


def pointing(pixels: Float[np.ndarray, "s s"], region: Bool[np.ndarray, "s s"]) -> float:
    """1 if the largest pixel lies in the region. Equal largest pixels share the hit, so that a
    constant map scores what a random point would. NaN for a map without pixels."""
    if np.isnan(pixels).all():
        return float("nan")
    return float(region[pixels == np.nanmax(pixels)].mean())


def contrast_to_noise(pixels: Float[np.ndarray, "s s"], region: Bool[np.ndarray, "s s"]) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside), signed.

    0 where both variances are 0; NaN where the region is empty or the whole image.
    """
    seen = ~np.isnan(pixels)
    inside, outside = pixels[region & seen], pixels[~region & seen]
    if not len(inside) or not len(outside):
        return float("nan")
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else 0.0


def pixel_average_precision(
    pixels: Float[np.ndarray, "s s"], region: Bool[np.ndarray, "s s"]
) -> float:
    """Area under the precision-recall curve over pixels; chance is the share of the region."""
    seen = ~np.isnan(pixels)
    return average_precision(region[seen].astype(np.int8), pixels[seen])


def rescale(pixels: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    """Minimum to 0, maximum to 1; a constant map becomes 0, so that nothing is above any level."""
    seen = ~np.isnan(pixels)
    if not seen.any():
        return pixels
    low, high = pixels[seen].min(), pixels[seen].max()
    if high > low:
        return (pixels - low) / (high - low)
    return np.where(seen, 0.0, np.nan)


class Overlap(NamedTuple):
    """Of predictions at several levels with one region. What has an empty denominator is 0."""

    dice: Float[np.ndarray, "l"]
    iou: Float[np.ndarray, "l"]
    precision: Float[np.ndarray, "l"]
    recall: Float[np.ndarray, "l"]


def overlaps(
    pixels: Float[np.ndarray, "s s"],
    region: Bool[np.ndarray, "s s"],
    levels: Sequence[float] | np.ndarray,
) -> Overlap:
    """Dice, IoU, precision and recall of ``pixels > level`` against the region, for every level.

    An empty prediction, or an empty region, scores 0, not NaN, which would be left out of a mean
    and reward a map for showing nothing.
    """
    seen = ~np.isnan(pixels)
    inside, every = np.sort(pixels[region & seen]), np.sort(pixels[seen])
    hit = len(inside) - np.searchsorted(inside, levels, side="right")
    called = len(every) - np.searchsorted(every, levels, side="right")
    both = called + len(inside)

    def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.divide(part, whole, out=np.zeros(len(hit)), where=whole > 0)

    size = np.full(len(hit), len(inside))
    return Overlap(share(2 * hit, both), share(hit, both - hit), share(hit, called),
                   share(hit, size))  # fmt: skip
