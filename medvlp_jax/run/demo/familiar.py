"""Whether an image is like the training images; a model answers about any picture whatever.

Two distances that fail differently: of the coarse layout of the pixels to the nearest training
images, which knows a head from a chest whatever the model makes of them, and of the statistics of
the model's patches to those of the training images (Mahalanobis; Lee et al. 2018,
arXiv:1807.03888). Each is counted in units of what images of the same kind keep below.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

#: Side of the coarse layout, nearest images that are averaged, and the share of held-out images
#: that stay below the threshold.
_SIDE, _NEAREST, _LEVEL = 16, 5, 0.99


def layouts(images: UInt8[np.ndarray, "b s s c"]) -> Float[np.ndarray, "b d"]:
    """Coarse images as unit vectors without their mean; a constant image is the zero vector."""
    rows = []
    for image in images:
        gray = image.astype(np.float32).mean(-1)
        small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel()
        small -= small.mean()
        rows.append(small / max(float(np.linalg.norm(small)), 1e-6))
    return np.array(rows, np.float32).reshape(len(rows), _SIDE * _SIDE)


def patch_statistics(patches: Float[np.ndarray, "b h w e"]) -> Float[np.ndarray, "b d"]:
    """Mean and deviation of every channel over the patches of an image."""
    flat = np.asarray(patches, np.float64).reshape(len(patches), -1, patches.shape[-1])
    return np.concatenate([flat.mean(1), flat.std(1)], 1)


@dataclasses.dataclass(frozen=True)
class Familiar:
    """What training images look like.

    Attributes:
      layouts: of the training images.
      mean, precision: of the patch statistics of the training images.
      limits: of the two distances, below which ``_LEVEL`` of the held-out images stay.
      limit: of the larger of the two ratios, likewise.
      held: how many images the limits are from.
    """

    layouts: Float[np.ndarray, "n d"]
    mean: Float[np.ndarray, "k"]
    precision: Float[np.ndarray, "k k"]
    limits: Float[np.ndarray, "2"]
    limit: float
    held: int

    @classmethod
    def fit(
        cls,
        layouts_: Float[np.ndarray, "n d"],
        statistics: Float[np.ndarray, "n k"],
        held_layouts: Float[np.ndarray, "m d"],
        held_statistics: Float[np.ndarray, "m k"],
    ) -> "Familiar":
        """From training images, and from images of the same kind that were not trained on."""
        mean = statistics.mean(0)
        centred = statistics - mean
        spread = centred.T @ centred / max(len(centred), 1)
        # Fewer images than numbers leave directions without any spread: a share of the mean one.
        spread += (1e-3 * np.trace(spread) / len(mean) + 1e-12) * np.eye(len(mean))
        first = cls(layouts_, mean, np.linalg.inv(spread), np.ones(2), 1.0, len(held_layouts))
        distances = first._distances(held_layouts, held_statistics)
        limits = np.maximum(np.quantile(distances, _LEVEL, axis=0), 1e-9)
        limit = max(1.0, float(np.quantile((distances / limits).max(1), _LEVEL)))
        return dataclasses.replace(first, limits=limits, limit=limit)

    def strangeness(
        self, layouts_: Float[np.ndarray, "b d"], statistics: Float[np.ndarray, "b k"]
    ) -> Float[np.ndarray, "b"]:
        """How far images are from training; above 1 they are farther than held-out images."""
        return (self._distances(layouts_, statistics) / self.limits).max(1) / self.limit

    def _distances(
        self, layouts_: Float[np.ndarray, "b d"], statistics: Float[np.ndarray, "b k"]
    ) -> Float[np.ndarray, "b 2"]:
        count = min(_NEAREST, len(self.layouts))
        near = np.sort(layouts_ @ self.layouts.T, axis=1)[:, -count:].mean(1)
        off = statistics - self.mean
        far = np.sqrt(np.maximum(np.einsum("bk,kl,bl->b", off, self.precision, off), 0.0))
        return np.stack([1.0 - near, far], 1)
