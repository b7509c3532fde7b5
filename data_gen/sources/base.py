"""What every importer shares: a study before its images are read, and how it becomes a record.

An importer is a generator of :class:`Item` (cheap: paths, labels and texts from the tables of the
data set). Reading and checking the images comes after, so that it can be cut into shards, spread
over processes and resumed. Whatever cannot be used is a :class:`Reject` that names file and row.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.image import ImageError, decode, sniff
from medvlp_jax.data.records import (
    Box,
    Image,
    Record,
    RecordError,
    Text,
    check_record,
    with_content_hash,
)


class SourceError(UserError, ValueError):
    """The data set is not where or what the config says; one line with the mend."""


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """What all importers can be told.

    Attributes:
      root: folder of the data set.
      name: of the data set in the names of its shards; lower case, digits, underscores.
      max_size: longer side in pixels above which an image is scaled down and encoded again (JPEG
        stays JPEG, all else becomes PNG). 0 keeps every file byte for byte.
      views: keep only images of these views, e.g. ("PA", "AP"); empty keeps all.
      split_fractions: of the patients, where the data set comes without a split.
      split_seed: another seed gives another split of the patients.
      text_required: reject studies without any text.
      limit: stop after so many studies, 0 for all; to try a config.
    """

    root: str = ""
    name: str = "dataset"
    max_size: int = 0
    views: tuple[str, ...] = ()
    split_fractions: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    split_seed: int = 0
    text_required: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if not self.root:
            raise ValueError("root is empty; set it to the folder of the data set")
        if self.max_size < 0 or self.limit < 0:
            raise ValueError("max_size and limit are 0 or positive")
        total = sum(self.split_fractions.values())
        if abs(total - 1) > 1e-6 or min(self.split_fractions.values(), default=-1) < 0:
            raise ValueError(f"split_fractions {self.split_fractions} must add up to 1")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image that has not been read."""

    path: pathlib.Path
    view: str = ""
    modality: str = "xray"


@dataclasses.dataclass(frozen=True)
class PixelBox:
    """A box as data sets give it: top-left corner and size in pixels.

    ``frame`` is (width, height) of the image the pixels count on; None is the file's own size.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    phrase: str = ""
    image: int = 0
    frame: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Item:
    """A study as the tables give it. ``where`` names file and row, for error messages."""

    id: str
    where: str
    images: tuple[ImageFile, ...]
    split: str
    texts: tuple[Text, ...] = ()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    boxes: tuple[PixelBox, ...] = ()
    patient_id: str = ""
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    report: pathlib.Path | None = None  # a text file that the source's ``read_report`` sections


@dataclasses.dataclass(frozen=True)
class Reject:
    """Something that was left out. ``kind`` is what is counted, ``detail`` what helps to mend."""

    where: str
    kind: str
    detail: str = ""


class Rejects(list[Reject]):
    """The rejects of one pass, in order."""

    def add(self, where: str, kind: str, detail: str = "") -> None:
        self.append(Reject(where, kind, detail))


@dataclasses.dataclass(frozen=True)
class Source:
    """An importer: its config class, its items, and how it reads a report file, if it has any."""

    config: type[SourceConfig]
    items: Callable[[Any, Rejects], Iterator[Item]]
    read_report: Callable[[pathlib.Path], tuple[Text, ...]] | None = None

    def records(self, config: SourceConfig, rejects: Rejects | None = None) -> Iterator[Record]:
        """All records of the data set in one process; for a look, a test or a small set."""
        rejects = Rejects() if rejects is None else rejects
        for item in listed(self, config, rejects):
            record = load(self, item, config, rejects)
            if record is not None:
                yield record


def listed(source: Source, config: SourceConfig, rejects: Rejects) -> list[Item]:
    """The items to load: at most ``limit``, each id once (a second one is rejected)."""
    seen: dict[str, Item] = {}
    for item in source.items(config, rejects):
        if config.limit and len(seen) >= config.limit:
            break
        if item.id in seen:
            rejects.add(item.where, "duplicate id", f"{item.id} is also {seen[item.id].where}")
        else:
            seen[item.id] = item
    return list(seen.values())


def patient_split(patient: str, fractions: dict[str, float], seed: int = 0) -> str:
    """The split of a patient: a hash, so it depends neither on the other patients nor on order."""
    digest = hashlib.sha256(f"{seed}/{patient}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for name, fraction in fractions.items():
        edge += fraction
        if point < edge:
            return name
    return max(fractions, key=lambda name: fractions[name])  # fractions add up to 1 - epsilon


def keep_views(images: Sequence[ImageFile], views: Sequence[str]) -> tuple[ImageFile, ...]:
    """The images whose view is asked for; all if nothing is."""
    return tuple(i for i in images if not views or i.view in views)


def load(source: Source, item: Item, config: SourceConfig, rejects: Rejects) -> Record | None:
    """Reads an item's images and report; None if nothing is left, with the reasons in ``rejects``.

    A study keeps its other images when one of several cannot be read.
    """
    texts = item.texts
    if item.report is not None and source.read_report is not None:
        try:
            texts += source.read_report(item.report)
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
            missing = isinstance(e, FileNotFoundError)
            reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            rejects.add(
                item.where,
                "missing image" if missing else "unreadable image",
                str(file.path) if missing else f"{file.path}: {reason}",
            )
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
    record = Record(
        id=item.id,
        images=tuple(images),
        texts=texts,
        labels=item.labels,
        boxes=tuple(boxes),
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
    pixels = decode(data, declared)
    kind = sniff(data) or "dicom"  # decode accepts other bytes as DICOM without preamble only
    original = size = (pixels.shape[1], pixels.shape[0])
    if max_size and max(size) > max_size:
        scale = max_size / max(size)
        size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        kind = "jpeg" if kind == "jpeg" else "png"
        data = _encode(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), kind)
    return Image(data, kind, file.view, file.modality, *size), original


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
