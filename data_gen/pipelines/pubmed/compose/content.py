"""What a figure's images show: pictures of a theme, cut to their places."""

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.compose.layouts import Rect
from data_gen.pipelines.pubmed.compose.pool import Pool

#: A drawing is stretched by at most this to fill its place.
_STRETCH = 1.7
_ENLARGED = 0.35


class Theme:
    """Which pictures a figure shows: of one sort, or a mixture.

    Args:
      charts: whether drawings may come in; where nothing separates panels they are rare.
    """

    def __init__(self, rng: np.random.Generator, pool: Pool, charts: bool = True) -> None:
        self.pool, self.rng = pool, rng
        pictures = [n for n in pool.names if pool.kinds[n] != "chart"]
        drawings = [n for n in pool.names if pool.kinds[n] == "chart"]
        kind = rng.random()
        if kind < 0.4:
            names = [pictures[rng.integers(len(pictures))]]
        elif kind < 0.7:
            names = pictures
        elif kind < 0.85 or not drawings:
            names = [*pictures, *drawings, *drawings]
        else:
            names = drawings
        if not charts:
            names = [n for n in names if n in pictures] or pictures
        self.names = names
        #: Air is not quite black in most films; a floor keeps their edges to be seen.
        self.floor = int(rng.integers(3, 28)) if rng.random() < 0.6 else 0
        self.gain = float(rng.uniform(0.75, 1.1))
        self.noise = float(rng.uniform(0, 7)) if rng.random() < 0.5 else 0.0

    def name(self) -> str:
        return self.names[self.rng.integers(len(self.names))]

    def is_chart(self, name: str) -> bool:
        return self.pool.kinds[name] == "chart"

    def fill(self, name: str, rect: Rect) -> UInt8[np.ndarray, "h w 3"] | None:
        """Pixels for ``rect``; None if a drawing would have to be stretched too much."""
        width, height = int(rect.width), int(rect.height)
        aspect = width / height
        if self.is_chart(name):
            pixels = self.pool.take(self.rng, name, aspect).pixels()
            own = pixels.shape[1] / pixels.shape[0]
            if max(own / aspect, aspect / own) > _STRETCH or min(width, height) < 60:
                return None
            return _resized(pixels, width, height)
        pixels = self.pool.take(self.rng, name).pixels()
        shown = _resized(window(self.rng, pixels, aspect), width, height)
        if self.noise or self.floor or self.gain != 1:
            value = shown.astype(np.float32) * (self.gain * (255 - self.floor) / 255) + self.floor
            if self.noise:
                value += self.rng.normal(0, self.noise, value.shape[:2]).astype(np.float32)[
                    ..., None
                ]
            shown = np.clip(value, 0, 255).astype(np.uint8)
        return shown


def window(rng: np.random.Generator, pixels: np.ndarray, aspect: float) -> np.ndarray:
    """A part of a picture with that width over height, at most a little enlarged."""
    height, width = pixels.shape[:2]
    zoom = 1.0 if rng.random() < 0.6 else rng.uniform(_ENLARGED, 1.0)
    w = min(width, height * aspect) * zoom
    h = w / aspect
    w, h = max(int(w), 4), max(int(h), 4)
    x, y = int(rng.random() * (width - w + 1)), int(rng.random() * (height - h + 1))
    return pixels[y : y + h, x : x + w]


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    smaller = width < pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=how)
