"""How far a picture, turned or not, is from how upright pictures of its modality are laid out.

Pictures of one view (frontal films of the chest, say), reduced to 24 x 24 and freed of brightness
and contrast, lie near a subspace of few dimensions (Turk and Pentland 1991 for faces). The distance
is what the subspace leaves of the picture plus a share of its Mahalanobis distance inside
(probabilistic PCA, Tipping and Bishop 1999). A modality brings its subspace
(:class:`data_gen.phantom.base.PictureReview`).
"""

import functools
import pathlib
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_gen.phantom.registry import DEFAULT, find_phantom

_SIDE = 24
_DIMENSIONS = 16
#: Weight of the mean squared coordinate inside the subspace.
_INSIDE = 0.1
#: Most that is cut off a side of a film to learn from, as a share: how films are framed differs.
_CUT = 0.11


class Subspace(NamedTuple):
    """Where upright pictures lie: mean, orthonormal axes, standard deviation along each."""

    mean: Float[np.ndarray, "s"]
    axes: Float[np.ndarray, "k s"]
    spread: Float[np.ndarray, "k"]


def learn(films: UInt8[np.ndarray, "n y x"], seed: int = 0) -> Subspace:
    """The subspace of upright pictures of one view; a few negatives among them are left out."""
    rng = np.random.default_rng(seed)
    whole = np.stack([_vector(film) for film in films])
    positive = whole @ whole.mean(0) > 0
    height, width = films.shape[1:]
    cuts = rng.uniform(0, _CUT, (len(films), 4)) * (height, height, width, width)
    framed = [
        _vector(film[int(t) : height - int(b), int(u) : width - int(r)])
        for film, (t, b, u, r), good in zip(films, cuts, positive, strict=True)
        if good
    ]
    rows = np.concatenate([whole[positive], framed])
    mean = rows.mean(0)
    _, lengths, axes = np.linalg.svd(rows - mean, full_matrices=False)
    spread = lengths[:_DIMENSIONS] / np.sqrt(len(rows))
    return Subspace(mean, axes[:_DIMENSIONS], spread)


def save(space: Subspace, path: pathlib.Path) -> None:
    """As half precision, which moves distances by less than 0.001."""
    np.savez_compressed(path, **{k: v.astype(np.float16) for k, v in space._asdict().items()})


@functools.cache
def _shipped(modality: str) -> Subspace | None:
    path = find_phantom(modality).review.layout
    if path is None:
        return None
    with np.load(path) as file:
        return Subspace(**{name: file[name].astype(np.float64) for name in Subspace._fields})


def _vector(gray: UInt8[np.ndarray, "y x"]) -> Float[np.ndarray, "s"]:
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    flat = (small - small.mean()).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


def distances(rows: Float[np.ndarray, "n s"], space: Subspace) -> Float[np.ndarray, "n"]:
    """From vectors of length one to the films of ``space``: 0 to about 2."""
    centred = rows - space.mean
    inside = centred @ space.axes.T
    left = (centred**2).sum(1) - (inside**2).sum(1)
    return left + _INSIDE * ((inside / space.spread) ** 2).mean(1)


def layout(gray: UInt8[np.ndarray, "y x"], modality: str = DEFAULT) -> dict[str, float]:
    """Distances of the picture, of its quarter turns (the nearer one), of its half turn, and of
    its negative; nothing for a modality whose pictures have no one layout."""
    space = _shipped(modality)
    if space is None:
        return {}
    flat = _vector(gray)
    square = flat.reshape(_SIDE, _SIDE)
    turned = [np.rot90(square, k).ravel() for k in range(4)]
    found = distances(np.stack([*turned, -flat]), space)
    return {
        "layout/distance": float(found[0]),
        "layout/quarter": float(min(found[1], found[3])),
        "layout/half": float(found[2]),
        "layout/negative": float(found[4]),
    }
