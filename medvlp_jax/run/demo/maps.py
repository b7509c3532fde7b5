"""Heat-maps of phrases on one scale, on which a phrase that means nothing stays dark.

Every phrase is most similar to some patch: a map that is stretched from its own smallest value to
its largest lights up for anything. Here a map says how far a patch is more similar to the phrase
than the same place is on training images (in standard deviations), and colours begin where
phrases that have nothing to do with images of this kind end.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from medvlp_jax.eval.grounding import heatmap

#: Phrases that no radiology report holds. Their peaks say what chance alone reaches.
MEANINGLESS: tuple[str, ...] = (
    "a bowl of soup",
    "quarterly tax report",
    "the weather in spring",
    "a red bicycle",
    "football match",
    "zxqv wlmk",
    "piano concerto",
    "asdf ghjk",
    "mountain lake",
    "chocolate cake",
    "stock market",
    "the cat sat",
    "lorem ipsum dolor",
    "train station",
    "birthday party",
    "green dragon",
    "software update",
    "ocean waves",
    "coffee and tea",
    "blue whale",
    "hello world",
    "a pair of shoes",
    "traffic jam",
    "qwerty",
    "sunset over the sea",
    "old wooden chair",
    "electric guitar",
    "pizza with cheese",
    "holiday in france",
    "a small brown dog",
    "garden flowers",
    "the moon landing",
    "jazz festival",
    "wool sweater",
    "paper airplane",
    "castle on a hill",
    "lottery ticket",
    "orange juice",
    "chess champion",
    "river boat",
)
#: Share of the meaningless phrases whose peaks stay dark.
_DARK = 0.95
#: Deviations are not believed to be smaller than this share of the mean one over all places.
_FLOOR = 0.3
#: The brightest colour is at least so many times the beginning of the scale.
_RANGE = 1.6


@dataclasses.dataclass(frozen=True)
class Scaled:
    """Maps of one image.

    Attributes:
      maps: in 0..1 on the patch grid: dark (0) where no more is seen than for meaningless phrases.
      peaks: the largest value of each map, in units of the beginning of the scale: above 1 it is
        seen.
    """

    maps: Float[np.ndarray, "k h w"]
    peaks: Float[np.ndarray, "k"]


class PhraseMaps:
    """Scales maps against training images and meaningless phrases.

    Args:
      patches: unit embeddings of the patches of some training images.
      meaningless: embeddings of :data:`MEANINGLESS`, what all phrases have in common taken off.
      known: of the phrases that were trained, likewise; they say where the scale ends.
    """

    def __init__(
        self,
        patches: Float[np.ndarray, "n h w e"],
        meaningless: Float[np.ndarray, "m e"],
        known: Float[np.ndarray, "c e"],
    ):
        self._patches = np.asarray(patches, np.float32)
        config = heatmap.MapConfig()
        self._smooth = [
            heatmap.gaussian_matrix(n, config.patches(n)) for n in self._patches.shape[1:3]
        ]
        self.images = len(patches)
        self._meaningless = meaningless, self._usual(meaningless)
        chance = self._deviations(self._patches, *self._meaningless).max((2, 3))
        self._begin = float(np.quantile(chance, _DARK))
        self._end = _RANGE
        if len(known):
            seen = self._deviations(self._patches, known, self._usual(known)).max((2, 3))
            self._end = max(_RANGE, float(np.quantile(seen, 0.98)) / self._begin)

    def __call__(
        self, patches: Float[np.ndarray, "h w e"], queries: Float[np.ndarray, "k e"]
    ) -> Scaled:
        """Maps of phrases (embeddings without the common part) on one image."""
        image = np.asarray(patches)[None]
        # What chance reaches on this very image: a strange one is strange for every phrase.
        chance = self._deviations(image, *self._meaningless)[0].max((1, 2))
        begin = max(self._begin, float(np.quantile(chance, _DARK)))
        found = self._deviations(image, queries, self._usual(queries))[0] / begin
        maps = np.clip((found - 1) / (self._end - 1), 0, 1)
        return Scaled(maps, found.max((1, 2)))

    def _usual(self, queries: Float[np.ndarray, "k e"]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation [k, h, w] of phrases at every place of the training images."""
        maps = self._maps(self._patches, queries)
        floor = _FLOOR * maps.std((0, 2, 3))[:, None, None]
        return maps.mean(0), maps.std(0) + floor + 1e-9

    def _deviations(
        self,
        patches: Float[np.ndarray, "n h w e"],
        queries: Float[np.ndarray, "k e"],
        usual: tuple[np.ndarray, np.ndarray],
    ) -> Float[np.ndarray, "n k h w"]:
        """Standard deviations above the same place on the training images."""
        return (self._maps(patches, queries) - usual[0]) / usual[1]

    def _maps(self, patches: np.ndarray, queries: np.ndarray) -> Float[np.ndarray, "n k h w"]:
        rows, columns = self._smooth
        found = np.moveaxis(patches @ queries.T.astype(patches.dtype), -1, 1)
        return rows @ found.astype(np.float64) @ columns.T
