"""DICOM to the picture that a viewer would show, as uint8.

The grayscale pipeline of DICOM PS3.3 C.11: stored values, modality transform (rescale slope and
intercept), value-of-interest transform (look-up table or window), presentation (MONOCHROME1 is
inverted). Compressed pixel data is decoded by pydicom through GDCM (RLE, JPEG, JPEG-LS, JPEG 2000).
"""

import io
import math
from typing import Any

import cv2
import numpy as np
import pydicom
from jaxtyping import Float32
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array

from medvlp_jax.data.image import CLIP, ImageError, Pixels


def decode_dicom(data: bytes) -> Pixels:
    """Pixels of a DICOM file, uint8 [H, W], or [H, W, 3] for colour.

    Rules where the standard leaves a choice:
      * several windows or look-up tables: the first;
      * neither (or a window without width): the values between the 0.1 % and the 99.9 % quantile,
        padding left out, map linearly to 0..255;
      * pixels that carry PixelPaddingValue are black, in MONOCHROME1 too;
      * several frames: frame ``number_of_frames // 2``, counted from 0; in a cine loop or a volume
        the middle shows the most.

    Raises:
      ImageError: not DICOM, no pixels, truncated, or a transfer syntax that no decoder knows.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        frames = int(dataset.get("NumberOfFrames") or 1)
        stored = pixel_array(dataset, index=frames // 2 if frames > 1 else 0)
        photometric = dataset.PhotometricInterpretation
        if photometric == "PALETTE COLOR":
            return _to_byte(apply_color_lut(stored, dataset))
        if stored.ndim == 3:
            return _to_byte(stored)
        return _gray_scale(dataset, stored, inverted=photometric == "MONOCHROME1")
    except Exception as e:  # pydicom and its plug-ins raise whatever the broken element leads to
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ImageError(f"DICOM of {len(data)} bytes cannot be decoded ({reason})") from e


def _gray_scale(dataset: Any, stored: np.ndarray, inverted: bool) -> Pixels:
    padding = _padding(dataset, stored)
    values = apply_modality_lut(stored, dataset)
    tables = dataset.get("VOILUTSequence")
    window = _window(dataset)
    if tables:
        top = 2.0 ** int(tables[0].LUTDescriptor[2]) - 1
        unit = apply_voi(values, dataset, index=0).astype(np.float32) / top
    elif window is not None:
        function = dataset.get("VOILUTFunction") or "LINEAR"
        unit = apply_window(values.astype(np.float32), *window, function)
    else:
        valid = values if padding is None else values[~padding]
        low, high = np.quantile(valid, CLIP) if valid.size else (0.0, 0.0)
        unit = (values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
    if inverted:
        unit = 1 - unit
    pixels = np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
    if padding is not None:
        pixels[padding] = 0
    return pixels


def apply_window(
    values: Float32[np.ndarray, "h w"], center: float, width: float, function: str = "LINEAR"
) -> Float32[np.ndarray, "h w"]:
    """VOI window of DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, to 0..1 (may overshoot)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    return (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5


def _window(dataset: Any) -> tuple[float, float] | None:
    center, width = (_first(dataset.get(k)) for k in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or not math.isfinite(center) or not width > 0:
        return None
    return center, width


def _first(value: Any) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(value)


def _padding(dataset: Any, stored: np.ndarray) -> np.ndarray | None:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit", value)
    mask = (stored >= min(value, limit)) & (stored <= max(value, limit))
    return mask if mask.any() else None


def _to_byte(pixels: np.ndarray) -> Pixels:
    if pixels.dtype == np.uint16:  # palettes hold 16 bits per colour
        pixels = (pixels >> 8).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if pixels.shape[2] == 4 else pixels
