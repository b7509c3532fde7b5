"""Images that are rows of an array in an ``.npz`` file, read in order, never the whole array.

MedMNIST at 224 pixels has arrays of up to 13 GB. A shard's images follow one another, so one open
stream of each array serves them all; a step back opens it anew.
"""

import dataclasses
import functools
import os
import pathlib
import zipfile
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from data_gen.sources.importing.base import ImageFile
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import FileError, open_regular, shown
from medvlp_jax.data.images.base import ImageError

_PIECE = 1 << 20
_MEND = "download it again"


class Rows:
    """An array of an ``.npz`` file, row by row.

    Attributes:
      shape, dtype: of the whole array.
    """

    def __init__(self, path: str | os.PathLike, name: str) -> None:
        """Opens array ``name``.

        Raises:
          FileError: no such file, no zip, or no array of numbers of that name in it.
        """
        self._path, self._name, self._at = path, name, 0
        with one_net(shown(path), _MEND, FileError):
            self._archive = zipfile.ZipFile(open_regular(path))
            self._open()

    def row(self, index: int) -> Shaped[np.ndarray, "..."]:
        """Row ``index``; cheap for the one behind the last.

        Raises:
          FileError: the stream is damaged or ends before.
        """
        with one_net(shown(self._path), _MEND, FileError):
            if index < self._at:
                self._open()
            self._skip((index - self._at) * self._size)
            data = self._stream.read(self._size)
            if len(data) < self._size:
                raise FileError(f"{shown(self._path)}: array {self._name} is cut short; {_MEND}")
            self._at = index + 1
        return np.frombuffer(data, self.dtype).reshape(self.shape[1:])

    def _open(self) -> None:
        self._at = 0
        self._stream: Any = self._archive.open(f"{self._name}.npy")
        version = np.lib.format.read_magic(self._stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        self.shape, fortran, self.dtype = read(self._stream)
        if fortran or self.dtype.hasobject or not self.shape:
            raise FileError(f"{shown(self._path)}: array {self._name} holds no rows of numbers")
        self._size = int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def _skip(self, count: int) -> None:
        while count > 0 and (piece := self._stream.read(min(count, _PIECE))):
            count -= len(piece)


@dataclasses.dataclass(frozen=True)
class NpzImage(ImageFile):
    """Row ``index`` of array ``array``: uint8, [H, W] or [H, W, 3] in RGB order; read as PNG."""

    array: str = ""
    index: int = 0

    @property
    def name(self) -> str:
        return f"{self.path} {self.array}[{self.index}].png"

    def read(self) -> bytes:
        with open_regular(self.path) as stream:
            seen = os.fstat(stream.fileno())
        return encoded(_rows(str(self.path), seen.st_mtime_ns, self.array).row(self.index))


def encoded(pixels: UInt8[np.ndarray, "h w *c"]) -> bytes:
    """PNG of grey or RGB pixels.

    Raises:
      ImageError: another dtype or shape.
    """
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (1,), (3,)):
        raise ImageError(f"pixels are {pixels.dtype} {pixels.shape}, not uint8 [H, W] or [H, W, 3]")
    if pixels.shape[2:] == (3,):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not ok:
        raise ImageError(f"cannot encode {pixels.shape} pixels as PNG")
    return data.tobytes()


def check(path: pathlib.Path) -> None:
    """Compares every array with its CRC-32, which reading single rows never gets to.

    Raises:
      FileError: no zip, or an array is damaged, by name.
    """
    with one_net(shown(path), _MEND, FileError), zipfile.ZipFile(open_regular(path)) as archive:
        for name in archive.namelist():
            with one_net(f"{shown(path)}: {name}", _MEND, FileError), archive.open(name) as stream:
                while stream.read(_PIECE):
                    pass


def array(path: pathlib.Path, name: str) -> Shaped[np.ndarray, "n ..."]:
    """A small array, whole; errors as :class:`Rows`."""
    rows = Rows(path, name)
    return np.stack([rows.row(i) for i in range(rows.shape[0])])


@functools.lru_cache(maxsize=2)
def _rows(path: str, _: int, name: str) -> Rows:
    """The second argument is the file's time: another file of that name is read anew."""
    return Rows(path, name)
