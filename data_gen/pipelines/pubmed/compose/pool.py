"""Pictures that panels show, drawn once and used again: phantoms and drawings."""

import dataclasses
import functools
import io
import os
import pathlib
import zipfile
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.phantom.registry import PHANTOMS
from data_gen.pipelines.pubmed.drawings import KINDS, draw
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Extent, Size
from medvlp_jax.core.files.replacing import replacing

Part = Literal["train", "held_out"]
Kind = Literal["phantom", "photograph", "chart"]

#: Drawings that fill their frame; all others stand on white.
PHOTOGRAPHS = ("photograph", "clinical_photograph", "fluorescence", "electron_micrograph")
#: First study of each part; the two share no picture.
_START: dict[Part, int] = {"train": 0, "held_out": 2_000_000_000}
_BATCH = 16
#: Heights over widths of drawings.
_SHAPES = (0.6, 0.8, 1.0, 1.3)
_FILE = "pool.zip"


@dataclasses.dataclass(frozen=True)
class PoolConfig:
    """How many pictures of each sort there are.

    Attributes:
      per_modality: phantoms of each modality.
      drawings: of each kind of drawing.
      side: pixels a side of phantoms; the longer side of drawings is twice as long.
    """

    per_modality: Size
    drawings: Size
    side: Extent


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture: where it comes from, and its file."""

    kind: Kind
    name: str
    data: bytes = dataclasses.field(repr=False)

    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        return _decoded(self.data)


@functools.lru_cache(maxsize=1024)
def _decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    out = np.ascontiguousarray(image[..., ::-1])
    out.setflags(write=False)
    return out


class Pool:
    """Pictures by kind."""

    def __init__(self, pictures: tuple[Picture, ...]) -> None:
        self.pictures = pictures
        self.names = sorted({one.name for one in pictures})
        self._by_name = {n: [p for p in pictures if p.name == n] for n in self.names}
        self.kinds: dict[str, Kind] = {n: self._by_name[n][0].kind for n in self.names}

    def take(self, rng: np.random.Generator, name: str, aspect: float = 0.0) -> Picture:
        """A picture of that name; with ``aspect`` the one of four whose shape is nearest."""
        mine = self._by_name[name]
        drawn = [mine[i] for i in rng.integers(len(mine), size=4 if aspect else 1)]
        if not aspect:
            return drawn[0]
        return min(drawn, key=lambda p: abs(np.log(_aspect(p) / aspect)))


def _aspect(picture: Picture) -> float:
    height, width = picture.pixels().shape[:2]
    return width / height


def make_pool(config: PoolConfig, part: Part, seed: int) -> Pool:
    """Draws a pool; a pure function of its arguments."""
    start = _START[part]
    out: list[Picture] = []
    for name, phantom in PHANTOMS.items():
        for first in range(0, config.per_modality, _BATCH):
            indices = range(first, min(first + _BATCH, config.per_modality))
            studies = [phantom.sample(seed, start + i) for i in indices]
            # Always as many, so that one program serves.
            studies += [studies[-1]] * (_BATCH - len(studies))
            images = phantom.render(studies, config.side, masks=False).images[: len(indices)]
            out += [Picture("phantom", name, _encoded(image)) for image in images]
    for kind in KINDS:
        photograph = kind in PHOTOGRAPHS
        for i in range(config.drawings):
            height, width = _shape(config.side, i)
            drawn = np.asarray(draw(kind, _seed(seed, start, i), (height, width)))
            pixels = drawn if photograph else cut_margins(drawn)
            sort: Kind = "photograph" if photograph else "chart"
            out.append(Picture(sort, kind, _encoded(pixels)))
    return Pool(tuple(out))


def _shape(side: int, i: int) -> tuple[int, int]:
    ratio = _SHAPES[i % len(_SHAPES)]
    return (round(2 * side * min(ratio, 1.0)), round(2 * side * min(1 / ratio, 1.0)))


def _seed(seed: int, start: int, i: int) -> int:
    return int(np.random.default_rng((seed, start, i)).integers(2**31))


def cut_margins(pixels: UInt8[np.ndarray, "h w 3"], light: int = 245) -> np.ndarray:
    """A drawing without the white around it; of a blank one all is kept."""
    dark = pixels.min(-1) < light
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    if len(rows) < 16 or len(columns) < 16:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _encoded(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    done, data = cv2.imencode(".png", pixels)
    assert done
    return data.tobytes()


def save_pool(pool: Pool, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the pool as one file of PNGs; it appears whole or not at all."""
    path = pathlib.Path(folder) / _FILE
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for i, one in enumerate(pool.pictures):
            archive.writestr(zipfile.ZipInfo(f"{one.kind}/{one.name}/{i:05d}.png"), one.data)
    return path


def load_pool(folder: str | os.PathLike[str]) -> Pool:
    """What :func:`save_pool` wrote.

    Raises:
      UserError: there is none, or it is damaged.
    """
    path = pathlib.Path(folder) / _FILE
    try:
        archive = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
        pictures = []
        for info in archive.infolist():
            kind, name, _ = info.filename.split("/")
            pictures.append(Picture(kind, name, archive.read(info)))  # pyright: ignore
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is no pool of pictures ({error}); remove it and run again"
        ) from error
    return Pool(tuple(pictures))
