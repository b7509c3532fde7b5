"""DICOM to the picture that a viewer would show, as uint8.

The grayscale pipeline of DICOM PS3.3 C.11: stored values, modality transform (look-up table, or
rescale slope and intercept), value-of-interest transform (look-up table or window), presentation
(MONOCHROME1 is inverted). Compressed pixel data is decoded by pydicom through GDCM (RLE, JPEG,
JPEG-LS, JPEG 2000).
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, Num
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.data.images.base import CLIP, ImageError, Pixels
from medvlp_jax.data.images.dicom_file import frame_index, open_dicom
from medvlp_jax.data.images.value_tables import histogram, look_up

T = TypeVar("T")
_END = 1e-6  # a sigmoid never reaches its ends


def decode_dicom(data: bytes) -> Pixels:
    """Pixels of a DICOM file, uint8 [H, W], or [H, W, 3] for colour.

    Rules where the standard leaves a choice:
      * several windows or look-up tables: the first;
      * neither (or a window without width): the values between the 0.1 % and the 99.9 % quantile,
        padding left out, map linearly to 0..255;
      * pixels that carry PixelPaddingValue are black, in MONOCHROME1 too; a value that was written
        with the other sign (63536 for -2000) is meant as the pixels have it;
      * several frames: frame ``number_of_frames // 2``, counted from 0; in a cine loop or a volume
        the middle shows the most;
      * colour keeps the 8 highest of its stored bits;
      * what a file lacks is guessed: see :func:`guesses`.

    Raises:
      ImageError: not DICOM, no pixels, truncated, claims of more pixels than MAX_PIXELS, a
        transfer syntax that no decoder knows, a rescale slope of 0, or a window that lies beside
        all pixels.
    """
    return _one_net(data, _picture)


def stored_values(data: bytes) -> Num[np.ndarray, "h w"]:
    """The values of a DICOM file of one frame and one channel, as stored, without any window.

    Raises:
      ImageError: as :func:`decode_dicom`, or several frames or channels.
    """

    def stored(data: bytes) -> np.ndarray:
        dataset, _ = open_dicom(data)
        if int(dataset.get("NumberOfFrames") or 1) != 1 or dataset.SamplesPerPixel != 1:
            raise ImageError("it has several frames or channels, of which none is the mask alone")
        return _stored(dataset, 0)

    return _one_net(data, stored)


def guesses(data: bytes) -> tuple[str, ...]:
    """What a DICOM file does not say and was guessed, one phrase each; empty for most files.

    Raises:
      ImageError: as :func:`decode_dicom`.
    """
    return _one_net(data, lambda data: open_dicom(data)[1])


def _one_net(data: bytes, function: Callable[[bytes], T]) -> T:
    try:
        return function(data)
    except Exception as e:  # pydicom and its plug-ins raise whatever the broken element leads to
        why = str(e) if isinstance(e, UserError) else reason(e)
        raise ImageError(f"DICOM of {len(data)} bytes cannot be decoded ({why})") from e


def _picture(data: bytes) -> Pixels:
    dataset, _ = open_dicom(data)
    stored = _stored(dataset, frame_index(dataset))
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return _to_byte(apply_color_lut(stored, dataset), 16)
    if stored.ndim == 3:
        return _to_byte(stored, int(dataset.get("BitsStored") or 8))
    return _gray_scale(dataset, stored, inverted=photometric == "MONOCHROME1")


def _stored(dataset: Dataset, index: int) -> np.ndarray:
    """The values of one frame, moved down where they stand in the high bits (PS3.5 8.1.1)."""
    syntax, bits = dataset.file_meta.TransferSyntaxUID, dataset.get("BitsStored")
    native = not syntax.is_encapsulated or syntax == RLELossless  # codestreams hold values alone
    shift = int(dataset.HighBit) + 1 - int(bits) if native and "PixelData" in dataset else 0
    if shift <= 0 or dataset.HighBit >= dataset.BitsAllocated:
        return pixel_array(dataset, index=index)
    dataset.BitsStored += shift  # or pydicom masks the high bits
    values = pixel_array(dataset, index=index) >> shift
    dataset.BitsStored = bits
    return values


def _gray_scale(dataset: Dataset, stored: np.ndarray, inverted: bool) -> Pixels:
    """Every transform maps values to values: it is done once per value, not once per pixel."""
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if stored.dtype.kind in "ui" and stored.dtype.itemsize <= 2:
        codes = stored.view(f"u{stored.dtype.itemsize}")
        every = np.arange(256**stored.dtype.itemsize, dtype=codes.dtype).view(stored.dtype)
    else:
        if not np.isfinite(stored).all():
            raise ImageError("it holds values that are not finite")
        every, codes = np.unique(stored, return_inverse=True)
        codes = codes.reshape(stored.shape)
    padding = _padding(dataset, every)
    values = _modality(dataset, every)
    tables = dataset.get("VOILUTSequence")
    window = _window(dataset)
    if tables:
        unit = _table(values, tables[0], dataset).astype(np.float32)
        unit /= 2.0 ** int(tables[0].LUTDescriptor[2]) - 1
    elif window is not None:
        function = dataset.get("VOILUTFunction") or "LINEAR"
        unit = apply_window(values.astype(np.float32), *window, function)
    else:
        counts = np.where(padding, 0, histogram(codes, len(every)))
        low, high = value_quantiles(values, counts)
        unit = (values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
    if inverted:
        unit = 1 - unit
    table = np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
    shown = look_up(np.where(padding, np.uint8(0), table), codes)
    if (tables or window is not None) and (padding.any() or shown.min() == shown.max()):
        _check_shown(unit[(histogram(codes, len(every)) > 0) & ~padding])
    return shown


def _check_shown(unit: Float32[np.ndarray, " n"]) -> None:
    """Refuses a film of several values that are all beyond one end of the window."""
    if len(unit) > 1 and ((unit < _END).all() or (unit > 1 - _END).all()):
        raise ImageError("its window or look-up table lies beside all pixels and would show none")


def value_quantiles(
    values: Num[np.ndarray, " n"], counts: Num[np.ndarray, " n"]
) -> tuple[float, float]:
    """``np.quantile(np.repeat(values, counts), CLIP)``, without the memory; (0, 0) of nothing."""
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(counts[order])
    if not len(ends) or not ends[-1]:
        return 0.0, 0.0
    out = []
    for q in CLIP:
        place = (int(ends[-1]) - 1) * q
        first = math.floor(place)
        at = np.searchsorted(ends, [first, min(first + 1, ends[-1] - 1)], side="right")
        out.append(np.quantile(values[order[at]], place - first))
    return out[0], out[1]


def apply_window(
    values: Float32[np.ndarray, "*s"], center: float, width: float, function: str = "LINEAR"
) -> Float32[np.ndarray, "*s"]:
    """VOI window of DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, to 0..1 (may overshoot)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    return (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5


def _modality(dataset: Dataset, stored: Num[np.ndarray, " n"]) -> Num[np.ndarray, " n"]:
    """PS3.3 C.11.1: a table, or slope and intercept (float64), or nothing."""
    if tables := dataset.get("ModalityLUTSequence"):
        return _table(stored, tables[0], dataset)
    slope, intercept = (_first(dataset.get(k)) for k in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None:
        return stored
    if not slope or not math.isfinite(slope + intercept):
        raise ImageError(f"its rescale slope {slope:g} and intercept {intercept:g} leave no values")
    return stored.astype(np.float64) * slope + intercept


def _table(values: np.ndarray, item: Dataset, dataset: Dataset) -> np.ndarray:
    """A look-up table of PS3.3 C.11: values below and above its range take its first and last."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count or 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * count else f"{order}u2")
    entries = np.atleast_1d(np.asarray(data)).astype(np.uint16)[:count]
    if not len(entries) or not 0 < bits <= 16:
        raise ImageError(f"its look-up table has {len(entries)} entries of {bits} bits")
    if dataset.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16  # written as unsigned
    at = np.clip(np.floor(values.astype(np.float64)) - first, 0, len(entries) - 1)
    return entries[at.astype(np.int64)]


def _window(dataset: Dataset) -> tuple[float, float] | None:
    center, width = (_first(dataset.get(k)) for k in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or not math.isfinite(center) or not width > 0:
        return None
    return center, width


def _first(value: Any) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(value)


def _padding(dataset: Dataset, every: Num[np.ndarray, " n"]) -> np.ndarray:
    """Which of the values are padding, bool [N]."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(every.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    ends = [_as_stored(int(v), dataset) if every.dtype.kind in "ui" else v for v in (value, limit)]
    return (every >= min(ends)) & (every <= max(ends))


def _as_stored(value: int, dataset: Dataset) -> int:
    """A value that the pixels cannot have, read with their sign: its VR was the other one."""
    signed = int(dataset.PixelRepresentation) == 1
    for bits in (int(dataset.BitsAllocated), int(dataset.BitsStored)):
        stored = int(dataset.BitsStored)
        low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
        if low <= value < high:
            return value
        value %= 1 << bits
        if signed and value >= 1 << bits - 1:
            value -= 1 << bits
    return value


def _to_byte(pixels: np.ndarray, bits: int) -> Pixels:
    """Colour of so many bits, or of as many as its type has if that is fewer."""
    if pixels.dtype.kind != "u":
        raise ImageError(f"it holds colours of type {pixels.dtype}")
    bits = min(bits, 8 * pixels.dtype.itemsize)
    if bits < 8:
        pixels = pixels * (255 / ((1 << bits) - 1))
    pixels = np.minimum(pixels >> bits - 8 if bits > 8 else pixels, 255).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if pixels.shape[2] == 4 else pixels
