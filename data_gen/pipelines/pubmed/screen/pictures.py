"""Pictures of every class: phantoms of all modalities, and drawings."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from data_gen.phantom.base import Phantom
from data_gen.phantom.registry import PHANTOMS
from data_gen.pipelines.pubmed.drawings import draw
from data_gen.pipelines.pubmed.screen import dress
from data_gen.pipelines.pubmed.screen.classes import CLASSES

_BATCH = 16  # phantoms rendered at a time; one program serves all
#: Widths over heights of panels.
_ASPECTS = (0.5, 2.0)
#: How often a picture is several of its class.
_SEVERAL = 0.1
_GRAY = ("xray", "ct", "mri", "ultrasound")


def pictures(
    name: str, seed: int, indices: Sequence[int], size: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The pictures ``indices`` of a class; each depends on (class, seed, index, size) alone.

    Args:
      name: of :data:`CLASSES`.
      size: longer side in pixels.
    """
    phantoms = _phantoms(name, seed, indices, size) if not CLASSES[name] else None
    number = list(CLASSES).index(name)
    for index in indices:
        rng = np.random.default_rng((seed, number, index))
        height, width = _shape(rng, name, size)
        count = int(rng.integers(2, 5)) if rng.random() < _SEVERAL else 1
        if phantoms is None:
            shape = (height, width) if count == 1 else (size, size)
            shown = [_drawn(rng, name, shape) for _ in range(count)]
        else:
            plain = next(phantoms)
            shown = [_cut(rng, name, plain, width / height) for _ in range(count)]
        if count > 1:
            picture = dress.montage(rng, shown, height, width)
        else:
            picture = dress.fitted(shown[0], height, width)
        yield dress.worn(rng, dress.marked(rng, picture))


def _shape(rng: np.random.Generator, name: str, size: int) -> tuple[int, int]:
    low, high = np.log(_ASPECTS)
    aspect = float(np.exp(rng.uniform(low, high))) if name != "fundus" else rng.uniform(0.8, 1.4)
    return round(size * min(1.0, 1 / aspect)), round(size * min(1.0, aspect))


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> np.ndarray:
    kinds = CLASSES[name]
    # Drawn large and made small, as a journal's figures are when they are looked at.
    scale = rng.uniform(1.0, 1.5)
    height, width = (max(64, round(v * scale)) for v in shape)
    return draw(kinds[rng.integers(len(kinds))], int(rng.integers(2**31)), (height, width))


def _cut(
    rng: np.random.Generator, name: str, picture: np.ndarray, aspect: float
) -> UInt8[np.ndarray, "h w 3"]:
    """A phantom as a panel shows it: whole or in part, exposed in some way."""
    if rng.random() < 0.3 or name == "fundus":  # whole, on a ground or squeezed a little
        shown = picture
        if rng.random() < 0.5:
            shown = _on_ground(rng, picture, aspect)
    else:
        shown = dress.window(rng, picture, aspect, 0.35)
    return dress.exposed(rng, shown) if name in _GRAY else np.ascontiguousarray(shown)


def _on_ground(rng: np.random.Generator, picture: np.ndarray, aspect: float) -> np.ndarray:
    height, width = picture.shape[:2]
    high = max(height, round(width / aspect))
    wide = max(width, round(high * aspect))
    ground = 0 if rng.random() < 0.7 else 255
    sheet = np.full((high, wide, 3), ground, np.uint8)
    top, left = (high - height) // 2, (wide - width) // 2
    sheet[top : top + height, left : left + width] = picture
    return sheet


def _phantoms(name: str, seed: int, indices: Sequence[int], size: int) -> Iterator[np.ndarray]:
    phantom = phantom_of(name)
    for start in range(0, len(indices), _BATCH):
        some = indices[start : start + _BATCH]
        studies = [phantom.sample(seed, index) for index in some]
        studies += [studies[-1]] * (_BATCH - len(studies))
        images = phantom.render(studies, size, masks=False).images[: len(some)]
        for image in images:
            yield np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def phantom_of(name: str) -> Phantom:
    """The phantom that draws a modality."""
    return next(phantom for phantom in PHANTOMS.values() if phantom.modality == name)
