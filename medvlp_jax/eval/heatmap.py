"""From patch-text similarities to pixel maps, and the scores of one map against one region."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from medvlp_jax.eval.scores import average_precision

#: Levels at which a map in [0, 1] is cut; the threshold of Dice and IoU is one of them.
LEVELS = np.linspace(0.0, 0.99, 100)
#: Cuts of the mean IoU, for a map rescaled to [-1, 1] (MS-CXR protocol of MaCo; BioViL cuts raw
#: cosines at the same values).
MIOU_CUTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


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


def to_pixels(
    patch_map: Float[np.ndarray, "*n h w"], size: int, sigma: float
) -> Float[np.ndarray, "*n size size"]:
    """Smooths on the patch grid (sigma in patches), then interpolates to ``size`` x ``size``.

    A constant map stays exactly constant: it must tie everywhere, not have a peak of rounding.
    """
    h, w = patch_map.shape[-2:]
    rows = bilinear_matrix(size, h) @ gaussian_matrix(h, sigma)
    columns = bilinear_matrix(size, w) @ gaussian_matrix(w, sigma)
    origin = patch_map[..., :1, :1]
    return rows @ (patch_map - origin) @ columns.T + origin


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
    constant map scores what a random point would."""
    return float(region[pixels == pixels.max()].mean())


def contrast_to_noise(pixels: Float[np.ndarray, "s s"], region: Bool[np.ndarray, "s s"]) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside), signed.

    0 where both variances are 0; NaN where the region is empty or the whole image.
    """
    if not region.any() or region.all():
        return float("nan")
    inside, outside = pixels[region], pixels[~region]
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else 0.0


def pixel_average_precision(
    pixels: Float[np.ndarray, "s s"], region: Bool[np.ndarray, "s s"]
) -> float:
    """Area under the precision-recall curve over pixels; chance is the share of the region."""
    return average_precision(region.ravel().astype(np.int8), pixels.ravel())


def rescale(pixels: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    """Minimum to 0, maximum to 1; a constant map becomes 0, so that nothing is above any level."""
    low, high = pixels.min(), pixels.max()
    return (pixels - low) / (high - low) if high > low else np.zeros_like(pixels)


def overlaps(
    pixels: Float[np.ndarray, "s s"],
    region: Bool[np.ndarray, "s s"],
    levels: Sequence[float] | np.ndarray,
) -> tuple[Float[np.ndarray, "l"], Float[np.ndarray, "l"]]:
    """(Dice, IoU) of ``pixels > level`` against the region, for every level.

    An empty prediction, or an empty region, scores 0.
    """
    inside, every = np.sort(pixels[region]), np.sort(pixels.ravel())
    hit = len(inside) - np.searchsorted(inside, levels, side="right")
    called = len(every) - np.searchsorted(every, levels, side="right")
    both = called + len(inside)
    dice = np.divide(2 * hit, both, out=np.zeros(len(hit)), where=both > 0)
    union = both - hit
    return dice, np.divide(hit, union, out=np.zeros(len(hit)), where=union > 0)
