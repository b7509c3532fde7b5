"""What a pass over a folder keeps of every image, so that folders can be compared."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float32, Int

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.processes.cores import cores
from medvlp_jax.data.held_out import identity
from medvlp_jax.data.images.base import Pixels
from medvlp_jax.data.images.decoding import decode, to_gray
from medvlp_jax.data.store.dataset import RecordSource
from medvlp_jax.data.store.kept_arrays import read_arrays, write_arrays
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.unreadable import BAD_RECORD, first_line
from medvlp_jax.run.leakage.alike import WIDTH, Gray, describe, describe_crops

_LAYOUT = 1  # of the kept file
_AT_A_TIME = 256  # records that are read and decoded together
_ARRAYS = (
    "record", "image", "ids", "patients", "namespaces", "bytes", "pixels", "descriptors", "refused",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Looked:
    """The images of one split of one folder, image by image.

    Attributes:
      source: the folder.
      record, image: whose image it is, and which of it.
      ids: of the record.
      patients: patient id; "" where the record has none.
      namespaces: where a patient id comes from: the same id of two data sets is two people.
      bytes, pixels: SHA-256 of the file and of the decoded pixels, 24 hex digits.
      descriptors: of :func:`medvlp_jax.run.leakage.alike.describe`: of the image alone, [n, 1, d],
        or of its crops too, [n, c, d].
      refused: rows of (id, why) of what could not be read.
    """

    source: RecordSource
    record: Int[np.ndarray, " n"]
    image: Int[np.ndarray, " n"]
    ids: np.ndarray
    patients: np.ndarray
    namespaces: np.ndarray
    bytes: np.ndarray
    pixels: np.ndarray
    descriptors: Float32[np.ndarray, "n c d"]
    refused: np.ndarray

    @property
    def name(self) -> str:
        """The folder and the split, as a command names them."""
        return f"{self.source.directory}:{self.source.split}"

    @property
    def patient_keys(self) -> np.ndarray:
        """Namespace and id of each image's patient; "" where there is none."""
        keys = np.char.add(np.char.add(self.namespaces, "\0"), self.patients)
        return np.where(self.patients == "", "", keys)

    def gray(self, row: int) -> Gray:
        """The pixels of an image."""
        return to_gray(self.picture(row))

    def picture(self, row: int) -> Pixels:
        """The pixels of an image, in colour where it has any."""
        image = self.source[int(self.record[row])].images[int(self.image[row])]
        return decode(image.data, image.format)


def look(source: RecordSource, cache: pathlib.Path, crops: bool) -> Looked:
    """Reads every image of a split once; what was kept of an earlier pass is taken.

    Args:
      source: the split.
      cache: folder of what is kept.
      crops: describe crops of each image too; for the smaller side of a comparison.

    Raises:
      UserError: no image of the split can be read.
    """
    path = cache / f"{identity(source)}-{source.split}-{'crops' if crops else 'whole'}.npz"
    kept = read_arrays(path, "reading the images again")
    if kept is None or {*_ARRAYS, "layout"} - {*kept} or int(kept["layout"]) != _LAYOUT:
        kept = _pass(source, crops)
        write_arrays(path, {**kept, "layout": np.array(_LAYOUT)}, "images are read at each start")
    looked = Looked(source, *(kept[name] for name in _ARRAYS))
    if not len(looked.record):
        first = f"; the first: {' '.join(looked.refused[0])}" if len(looked.refused) else ""
        raise UserError(f"{looked.name} has no image that can be read{first}")
    return looked


def _pass(source: RecordSource, crops: bool) -> dict[str, np.ndarray]:
    rows: list[tuple] = []
    refused: list[tuple[str, str]] = []

    def one(index: int) -> tuple[list[tuple], list[tuple[str, str]]]:
        try:
            record = source[index]
        except BAD_RECORD as error:
            return [], [(f"record {index}", first_line(error))]
        return _images(index, record, crops)

    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(source), _AT_A_TIME):
            part = range(start, min(start + _AT_A_TIME, len(source)))
            for found, bad in pool.map(one, part):
                rows += found
                refused += bad
    columns: Sequence = list(zip(*rows, strict=True)) if rows else [()] * 8
    record, image, ids, patients, namespaces, files, pixels, descriptors = columns
    shape = (len(rows), -1, WIDTH) if rows else (0, 1, WIDTH)
    return {
        "record": np.array(record, np.int64),
        "image": np.array(image, np.int64),
        **{
            name: np.array(values, np.str_)
            for name, values in (
                ("ids", ids), ("patients", patients), ("namespaces", namespaces),
                ("bytes", files), ("pixels", pixels),
            )
        },
        "descriptors": np.array(descriptors, np.float32).reshape(shape),
        "refused": np.array(refused, np.str_).reshape(-1, 2),
    }  # fmt: skip


def _images(index: int, record: Record, crops: bool) -> tuple[list[tuple], list[tuple[str, str]]]:
    rows, refused = [], []
    for number, image in enumerate(record.images):
        try:
            pixels = decode(image.data, image.format)
        except BAD_RECORD as error:
            refused.append((record.id, first_line(error)))
            continue
        gray = to_gray(pixels)
        described = describe_crops(gray) if crops else describe(gray)[None]
        rows.append(
            (
                index, number, record.id, record.patient_id, _namespace(record),
                _digest(image.data), _pixel_digest(pixels, gray), described,
            )
        )  # fmt: skip
    return rows, refused


def _namespace(record: Record) -> str:
    said = record.provenance
    return str(said.get("source") or said.get("generator") or "")


def _pixel_digest(pixels: Pixels, gray: Gray) -> str:
    """Equal for equal pictures: gray ones may be stored as three equal channels."""
    plain = pixels.ndim == 3 and (pixels == gray[..., None]).all()
    shown = gray if plain else pixels
    return _digest(repr(shown.shape).encode() + np.ascontiguousarray(shown).tobytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]
