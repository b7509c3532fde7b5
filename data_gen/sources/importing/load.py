"""From an item to a record: its images, masks and report are read, proved and scaled."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np

from data_gen.jobs.tally import NOTES
from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    only_turns,
)
from data_gen.sources.importing.foreign import foreign, to_png
from data_gen.sources.importing.mask_pixels import region_of
from data_gen.sources.importing.masks import MaskFile, MaskRuns, encode_mask, read_mask, resize_mask
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import open_regular, shown
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode, decode_unchanged, sniff
from medvlp_jax.data.store.record import (
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
_OUTSIDE = 0.01  # of the side, by which a box may leave its image without a note: rounding
_CLIPPED = "box clipped to its image"
_REPORT_BYTES = 1 << 24


def load_item(
    item: Item, config: SourceConfig, rejects: Rejects, read_report: ReadReport | None = None
) -> Record | None:
    """Reads an item's images and report; None if nothing is left, with the reasons in ``rejects``.

    A study keeps its other images when one of several cannot be read, and its images when a mask
    cannot. What was guessed or changed is counted in ``provenance["notes"]``.
    """
    texts = item.texts
    if item.report is not None and read_report is not None:
        try:
            open_regular(item.report, _REPORT_BYTES).close()
            with one_net(shown(item.report), "restore the file"):
                texts += read_report(item.report)
        except UserError as e:
            _reject_file(rejects, item.where, "report", str(item.report), e)
    if config.text_required and not texts:
        rejects.add(item.where, "no text", f"study {item.id} has no usable text")
        return None
    images: list[Image] = []
    place: dict[int, int] = {}
    sizes: dict[int, tuple[float, float]] = {}
    notes: Counter[str] = Counter()
    for i, file in enumerate(item.images):
        try:
            loaded = load_image(file, config.max_size)
        except UserError as e:
            _reject_file(rejects, item.where, "image", file.name, e)
        else:
            place[i] = len(images)
            images.append(loaded.image)
            sizes[i] = loaded.size
            notes.update(loaded.guesses)
    if not images:
        if not item.images:
            rejects.add(item.where, "no image", f"study {item.id} lists none")
        return None
    boxes = []
    for box in item.boxes:
        if box.image not in place:
            continue  # its image was named above
        made, clipped = _fractions(box, box.frame or sizes[box.image], place[box.image])
        if made is None:
            rejects.add(item.where, "box outside its image", f"{box}")
        else:
            boxes.append(made)
            notes[_CLIPPED] += clipped
    masks = []
    for mask in item.masks:
        if mask.image in place:
            index = place[mask.image]
            scaled = sizes[mask.image] != (images[index].width, images[index].height)
            made = _load_mask(mask, images[index], index, scaled, item.where, rejects)
            masks += [made] if made else []
    turns = only_turns(item.turns, place)
    if turns is None:
        rejects.add(item.where, "conversation without its image", f"study {item.id}")
    notes = +notes
    record = Record(
        id=item.id,
        images=tuple(images),
        texts=texts,
        labels=item.labels,
        boxes=tuple(boxes),
        masks=tuple(masks),
        turns=turns or (),
        patient_id=item.patient_id,
        split=item.split,
        provenance={**item.provenance, **({NOTES: dict(sorted(notes.items()))} if notes else {})},
    )
    try:
        check_record(record)
    except RecordError as e:
        rejects.add(item.where, "invalid record", str(e))
        return None
    return with_content_hash(record)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """An image, the (width, height) that its file has, and what DICOM left to be guessed."""

    image: Image
    size: tuple[int, int]
    guesses: tuple[str, ...] = ()


def load_image(file: ImageFile, max_size: int = 0) -> Loaded:
    """Reads a file, proves that it decodes, and scales it down if it is larger than ``max_size``.

    Raises:
      FileError: the file is missing, special (a pipe, a device), too large or may not be read.
      ImageError: 0 bytes, an unknown format, or pixels that do not decode.
    """
    data = file.read()
    with one_net(shown(file.name), "restore the file or leave it out", ImageError):
        return _load(data, file, max_size)


def _load(data: bytes, file: ImageFile, max_size: int) -> Loaded:
    found: tuple[str, ...] = ()
    if kind := foreign(data):
        data, found = to_png(data), (f"{kind} kept as PNG",)
    suffix = pathlib.PurePath(file.name).suffix.lower()
    declared = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}.get(suffix, "dicom")
    if file.intensity == "max" and sniff(data) == "png" and data[_DEPTH : _DEPTH + 1] == b"\x10":
        data = _divide_by_max(data)
    pixels = decode(data, declared)
    kind = sniff(data) or "dicom"  # decode accepts other bytes as DICOM without preamble only
    if kind == "dicom":
        from medvlp_jax.data.images.dicom import guesses  # pydicom is slow to import

        found = tuple(f"DICOM: {guess}" for guess in guesses(data))
    original = size = (pixels.shape[1], pixels.shape[0])
    if max_size and max(size) > max_size:
        scale = max_size / max(size)
        size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        kind = "jpeg" if kind == "jpeg" else "png"
        data = _encode(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), kind)
    return Loaded(Image(data, kind, file.view, file.modality, *size), original, found)


def _reject_file(rejects: Rejects, where: str, what: str, named: str, error: UserError) -> None:
    name = shown(named)
    if isinstance(error, FileNotFoundError):
        return rejects.add(where, f"missing {what}", name)
    detail = str(error)
    if not detail.startswith(name):  # decoders do not know the name
        detail = f"{name}: {detail}"
    return rejects.add(where, f"unreadable {what}", detail)


def _load_mask(
    mask: MaskFile | MaskRuns,
    image: Image,
    index: int,
    scaled: bool,
    where: str,
    rejects: Rejects,
) -> Mask | None:
    path = mask.name if isinstance(mask, MaskFile) else ""
    named = shown(path) if path else mask.label
    try:
        with one_net(named, "restore the mask or leave it out", ImageError):
            if isinstance(mask, MaskFile) and mask.stored and not scaled:
                data = mask.read()
                region_of(data)  # proves that it decodes
                return Mask(data, mask.label, index)
            region = read_mask(mask)
            height, width = region.shape
            if abs(width * image.height / (height * image.width) - 1) > _ASPECT:
                detail = f"{named}: {width} x {height} for {image.width} x {image.height}"
                return rejects.add(where, "mask of another shape", detail)
            size = (image.width, image.height)
            stored = resize_mask(region, size)
            if not stored.any():
                detail = f" at {size[0]} x {size[1]}" if region.any() else ""
                return rejects.add(where, "empty mask", named + detail)
            return Mask(encode_mask(stored), mask.label, index)
    except UserError as e:
        return _reject_file(rejects, where, "mask", path, e)


def _divide_by_max(data: bytes) -> bytes:
    """16-bit PNG to 8-bit PNG: the largest value becomes 255."""
    pixels = decode_unchanged(data)
    top = max(int(pixels.max()), 1)
    return _png(np.rint(pixels * np.float32(255 / top)).astype(np.uint8))


def _encode(pixels: np.ndarray, kind: str) -> bytes:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if kind != "jpeg":
        return _png(pixels)
    ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not ok:
        raise ImageError(f"cannot encode {pixels.shape} pixels as jpeg")
    return data.tobytes()


def _png(pixels: np.ndarray) -> bytes:
    ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise ImageError(f"cannot encode {pixels.shape} pixels as png")
    return data.tobytes()


def _fractions(box: PixelBox, frame: tuple[float, float], index: int) -> tuple[Box | None, bool]:
    """The box in fractions, or None if no part of it is inside; and whether a part was outside."""
    if not (frame[0] > 0 and frame[1] > 0):
        return None, False
    (width, height), right, below = frame, box.x + box.width, box.y + box.height
    corners = (box.x / width, box.y / height, right / width, below / height)
    x0, y0, x1, y1 = (min(max(c, 0.0), 1.0) for c in corners)
    made = Box(x0, y0, x1, y1, box.label, box.phrase, index)
    if not (made.x0 < made.x1 and made.y0 < made.y1):  # also for NaN, and less than float32 tells
        return None, False
    return made, min(corners) < -_OUTSIDE or max(corners) > 1 + _OUTSIDE
