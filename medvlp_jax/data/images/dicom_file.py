"""DICOM bytes to a data set whose pixels can be decoded, or one line that says why not.

Files of scanners, archives and challenges lack what the standard asks for, and every viewer shows
them: no preamble, no file meta, no transfer syntax, elements of the pixel module left out. What is
missing is guessed from the bytes, and each guess is named. What a file claims about sizes is
compared with what may be decoded before memory is taken for it.
"""

import io
import zlib
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from medvlp_jax.data.images.base import MAX_PIXELS, ImageError
from medvlp_jax.data.images.codestream import read_codestream, syntax_of

#: Bytes that a deflated data set may have when inflated: the largest picture of 16 bits, and more.
MAX_INFLATED = 2 * MAX_PIXELS + (1 << 24)
_SLACK = 1 << 22  # bytes beside the pixels
_PREAMBLE = 128
_PIXEL_GROUP = 0x7FE0
_META_GROUP = b"\x02\x00"
_ITEM = b"\xfe\xff\x00\xe0"  # encapsulated pixels begin with one
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NATIVE = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


def open_dicom(data: bytes) -> tuple[Dataset, tuple[str, ...]]:
    """The data set, complete for :func:`pydicom.pixels.pixel_array`, and what was guessed.

    Raises:
      ImageError: no pixels, or a claim beyond :data:`~medvlp_jax.data.images.base.MAX_PIXELS`.
      Exception: whatever pydicom raises for damage.
    """
    guesses: list[str] = []
    dataset = _parse(data, guesses)
    present = [name for name in _PIXELS if name in dataset]
    if not present:
        raise ImageError("it holds no pixels; is it DICOM at all?")
    _fill(dataset, present[0], guesses)
    _check_claims(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_frame(dataset, _frame(dataset))
    return dataset, tuple(guesses)


def frame_index(dataset: Dataset) -> int:
    """Of the frame that stands for the file: the middle one, counted from 0."""
    return _frames(dataset) // 2


def _frames(dataset: Dataset) -> int:
    return max(int(dataset.get("NumberOfFrames") or 1), 1)


def _frame(dataset: Dataset) -> bytes:
    """The compressed bytes of :func:`frame_index`."""
    count = _frames(dataset)
    tables = None
    if "ExtendedOffsetTable" in dataset:
        tables = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    return get_frame(
        dataset.PixelData, frame_index(dataset), number_of_frames=count, extended_offsets=tables
    )


def _parse(data: bytes, guesses: list[str]) -> Dataset:
    body = data
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        zeros = not data[:_PREAMBLE].strip(b"\0")
        body = data[_PREAMBLE:] if zeros else data  # a preamble that lacks its last word
        what = "no file meta" if body[:2] != _META_GROUP else "no preamble"
        guesses.append(f"{what} (Part 10 header)")
    dataset = _inflated(body)
    if dataset is None:
        dataset = pydicom.dcmread(io.BytesIO(body), force=True)
    implicit, little = dataset.original_encoding
    if "TransferSyntaxUID" not in dataset.file_meta:
        syntax = _NATIVE.get((bool(implicit), bool(little)), ExplicitVRLittleEndian)
        dataset.file_meta.TransferSyntaxUID = syntax
        guesses.append(f"no transfer syntax, read as {syntax.name}")
    return dataset


def _inflated(body: bytes) -> Dataset | None:
    """The data set of a deflated file, inflated within bounds; None for all other files."""
    stream = io.BytesIO(body)
    if body[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        stream.seek(_PREAMBLE + 4)
    if body[stream.tell() : stream.tell() + 2] != _META_GROUP:
        return None
    meta = FileMetaDataset(
        read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    plain = _inflate(stream.read())
    dataset = read_dataset(io.BytesIO(plain), False, True)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.set_original_encoding(False, True)
    return dataset


def _inflate(packed: bytes) -> bytes:
    """The inflated data set, at most as long as what it claims about its pixels lets expect."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, _SLACK)
    if not inflater.eof and inflater.unconsumed_tail:
        head = read_dataset(
            io.BytesIO(plain),
            False,
            True,
            stop_when=lambda tag, vr, length: tag.group >= _PIXEL_GROUP,
        )
        limit = MAX_INFLATED
        if "Rows" in head and "Columns" in head:
            _fill(head, "", [])
            _check_claims(head)
            limit = min(_bytes_of_frame(head) * _frames(head) + 2 * _SLACK, MAX_INFLATED)
        plain += inflater.decompress(inflater.unconsumed_tail, limit - len(plain))
        if not inflater.eof and len(plain) >= limit:
            raise ImageError(f"its deflated data set has more than {limit} bytes")
    if not inflater.eof:
        raise ImageError("its deflated data set is cut short")
    return plain


def _fill(dataset: Dataset, pixels: str, guesses: list[str]) -> None:
    """Sets the elements of the pixel module that decoders ask for and the file lacks."""

    def default(name: str, value: Any) -> None:
        if dataset.get(name) in (None, ""):
            setattr(dataset, name, value)
            guesses.append(f"no {name}, taken as {value}")

    syntax: UID = dataset.file_meta.TransferSyntaxUID if pixels else ExplicitVRLittleEndian
    encapsulated = pixels == "PixelData" and dataset.PixelData.startswith(_ITEM)
    if encapsulated and not syntax.is_encapsulated and dataset["PixelData"].is_undefined_length:
        found = syntax_of(_frame(dataset))
        if found is None:
            raise ImageError("its pixels are compressed in a way that neither it nor they say")
        dataset.file_meta.TransferSyntaxUID = syntax = found
        guesses.append(f"no transfer syntax of the compression, read as {found.name}")
    default("SamplesPerPixel", 1)
    samples = int(dataset.SamplesPerPixel)
    if samples == 1:
        default("PhotometricInterpretation", "MONOCHROME2")
    elif syntax == JPEGBaseline8Bit:
        default("PhotometricInterpretation", "YBR_FULL_422")
    else:
        default("PhotometricInterpretation", "RGB")
    if samples > 1:
        default("PlanarConfiguration", 0)
    if pixels != "PixelData":
        return
    if not syntax.is_encapsulated and dataset.get("BitsAllocated") is None:
        values = int(dataset.Rows) * int(dataset.Columns) * samples * _frames(dataset)
        default("BitsAllocated", 16 if len(dataset.PixelData) >= 2 * max(values, 1) else 8)
    default("BitsStored", dataset.BitsAllocated)
    default("HighBit", int(dataset.BitsStored) - 1)
    default("PixelRepresentation", 0)


def _check_claims(dataset: Dataset) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, bits = int(dataset.SamplesPerPixel), int(dataset.get("BitsAllocated") or 64)
    if not 0 < rows * columns * samples <= MAX_PIXELS:
        raise ImageError(
            f"it claims {columns} x {rows} x {samples} values; the header is broken, or the image "
            f"needs tiling (limit {MAX_PIXELS})"
        )
    if samples not in (1, 3, 4) or bits > 64:
        raise ImageError(f"it claims {samples} samples of {bits} bits per pixel")


def _check_frame(dataset: Dataset, frame: bytes) -> None:
    found = read_codestream(frame)
    if found is None:
        if len(frame) > 4 * _bytes_of_frame(dataset) + (1 << 16):
            raise ImageError(f"{len(frame)} compressed bytes are too many for what they claim")
        return
    claimed = int(dataset.Columns), int(dataset.Rows), int(dataset.SamplesPerPixel)
    inside = found.width, found.height, found.components
    if inside != claimed:
        raise ImageError(
            "the compressed image inside is {} x {} x {}, the header says {} x {} x {}".format(
                *inside, *claimed
            )
        )


def _bytes_of_frame(dataset: Dataset) -> int:
    values = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)
    return -(-values * int(dataset.get("BitsAllocated") or 64) // 8)
