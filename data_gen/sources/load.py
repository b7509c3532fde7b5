"""From an item to a record: its images, masks and report are read, proved and scaled."""

import pathlib
from collections.abc import Callable

import cv2
import numpy as np

from data_gen.sources.base import ImageFile, Item, PixelBox, Rejects, SourceConfig
from data_gen.sources.masks import MaskFile, MaskRuns, encode_mask, read_mask
from medvlp_jax.data.image import ImageError, decode, probe_size, sniff
from medvlp_jax.data.records import (
    Box,
    Image,
    Mask,
    Record,
    RecordError,
    Text,
    check_record,
    with_content_hash,
)

ReadReport = Callable[[pathlib.Path], tuple[Text, ...]]
_DEPTH = 24  # byte of a PNG's header that holds the bits per sample
_ASPECT = 0.02  # by which a mask's aspect ratio may differ from its image's


def load_item(
    item: Item, config: SourceConfig, rejects: Rejects, read_report: ReadReport | None = None
) -> Record | None:
    """Reads an item's images and report; None if nothing is left, with the reasons in ``rejects``.

    A study keeps its other images when one of several cannot be read, and its images when a mask
    cannot.
    """
    texts = item.texts
    if item.report is not None and read_report is not None:
        try:
            texts += read_report(item.report)
        except FileNotFoundError:
            rejects.add(item.where, "missing report", str(item.report))
        except OSError as e:
            rejects.add(item.where, "unreadable report", f"{item.report}: {e.strerror}")
    if config.text_required and not texts:
        rejects.add(item.where, "no text", f"study {item.id} has no usable text")
        return None
    images: list[Image] = []
    place: dict[int, int] = {}
    sizes: dict[int, tuple[float, float]] = {}
    for i, file in enumerate(item.images):
        try:
            image, sizes[i] = load_image(file, config.max_size)
        except (ImageError, OSError) as e:
            _reject_file(rejects, item.where, "image", file.path, e)
        else:
            place[i] = len(images)
            images.append(image)
    if not images:
        if not item.images:
            rejects.add(item.where, "no image", f"study {item.id} lists none")
        return None
    boxes = []
    for box in item.boxes:
        if box.image not in place:
            continue  # its image was named above
        made = _fractions(box, box.frame or sizes[box.image], place[box.image])
        if made is None:
            rejects.add(item.where, "box outside its image", f"{box}")
        else:
            boxes.append(made)
    masks = []
    for mask in item.masks:
        if mask.image in place:
            index = place[mask.image]
            made = _load_mask(mask, images[index], index, item.where, rejects)
            masks += [made] if made else []
    record = Record(
        id=item.id,
        images=tuple(images),
        texts=texts,
        labels=item.labels,
        boxes=tuple(boxes),
        masks=tuple(masks),
        patient_id=item.patient_id,
        split=item.split,
        provenance=item.provenance,
    )
    try:
        check_record(record)
    except RecordError as e:
        rejects.add(item.where, "invalid record", str(e))
        return None
    return with_content_hash(record)


def load_image(file: ImageFile, max_size: int = 0) -> tuple[Image, tuple[int, int]]:
    """Reads a file, proves that it decodes, and scales it down if it is larger than ``max_size``.

    Returns:
      The image, and the (width, height) that the file has.

    Raises:
      OSError: the file cannot be read.
      ImageError: 0 bytes, an unknown format, or pixels that do not decode.
    """
    data = file.path.read_bytes()
    declared = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}.get(
        file.path.suffix.lower(), "dicom"
    )
    if file.intensity == "max" and sniff(data) == "png" and data[_DEPTH : _DEPTH + 1] == b"\x10":
        data = _divide_by_max(data)
    pixels = decode(data, declared)
    kind = sniff(data) or "dicom"  # decode accepts other bytes as DICOM without preamble only
    original = size = (pixels.shape[1], pixels.shape[0])
    if max_size and max(size) > max_size:
        scale = max_size / max(size)
        size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        kind = "jpeg" if kind == "jpeg" else "png"
        data = _encode(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), kind)
    return Image(data, kind, file.view, file.modality, *size), original


def _reject_file(
    rejects: Rejects, where: str, what: str, path: pathlib.Path | None, error: Exception
) -> None:
    if isinstance(error, FileNotFoundError):
        rejects.add(where, f"missing {what}", str(path))
        return
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    rejects.add(where, f"unreadable {what}", f"{path}: {reason}" if path else reason)


def _load_mask(
    mask: MaskFile | MaskRuns, image: Image, index: int, where: str, rejects: Rejects
) -> Mask | None:
    path = mask.path if isinstance(mask, MaskFile) else None
    try:
        region = read_mask(mask)
    except (ImageError, OSError) as e:
        _reject_file(rejects, where, "mask", path, e)
        return None
    height, width = region.shape
    if abs(width * image.height / (height * image.width) - 1) > _ASPECT:
        detail = f"{path or mask.label}: {width} x {height} for {image.width} x {image.height}"
        rejects.add(where, "mask of another shape", detail)
        return None
    if not region.any():
        rejects.add(where, "empty mask", str(path or mask.label))
        return None
    return Mask(encode_mask(region, (image.width, image.height)), mask.label, index)


def _divide_by_max(data: bytes) -> bytes:
    """16-bit PNG to 8-bit PNG: the largest value becomes 255."""
    probe_size(data)  # refuses broken headers before anything is allocated
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(f"PNG of {len(data)} bytes cannot be decoded (truncated or corrupt)")
    top = max(int(pixels.max()), 1)
    ok, out = cv2.imencode(".png", np.rint(pixels * np.float32(255 / top)).astype(np.uint8))
    if not ok:
        raise ImageError(f"cannot encode {pixels.shape} pixels as png")
    return out.tobytes()


def _encode(pixels: np.ndarray, kind: str) -> bytes:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if kind == "jpeg":
        ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    else:
        ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise ImageError(f"cannot encode {pixels.shape} pixels as {kind}")
    return data.tobytes()


def _fractions(box: PixelBox, frame: tuple[float, float], index: int) -> Box | None:
    width, height = frame
    x0, x1 = (min(max(v / width, 0.0), 1.0) for v in (box.x, box.x + box.width))
    y0, y1 = (min(max(v / height, 0.0), 1.0) for v in (box.y, box.y + box.height))
    if not (x0 < x1 and y0 < y1):  # also for NaN
        return None
    return Box(x0, y0, x1, y1, box.label, box.phrase, index)
