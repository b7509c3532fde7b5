"""The record: what one study is on disk, and how it becomes a ``tf.train.Example`` and back.

Every data set of the package, generated or imported, is a folder of these. A record keeps images
as the encoded files they came as, all texts with the section they stand in, and labels as
positive (1), negative (0) or uncertain (-1); a label that was never judged is absent.
"""

import dataclasses
import hashlib
import json
import math
import re
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.data.store import example

FORMATS = ("png", "jpeg", "dicom")
LABEL_VALUES = (1, 0, -1)
#: Split names are part of file names (of 255 bytes at most) and of TFDS split expressions
#: (``train[:10%]``).
SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}


class RecordError(UserError, ValueError):
    """A record is wrong; the message is one line: record id, field, what is wrong, the mend."""


@dataclasses.dataclass(frozen=True)
class Image:
    """One encoded image. ``width`` and ``height`` are pixels, 0 where nobody looked."""

    data: bytes = dataclasses.field(repr=False)
    format: str  # one of FORMATS
    view: str = ""  # "PA", "AP", "FRONTAL" (either), "LATERAL" for radiographs; "" unknown
    modality: str = ""  # "xray", "ct", ...; "" unknown
    width: int = 0
    height: int = 0


@dataclasses.dataclass(frozen=True)
class Text:
    """One text and where it stands: "findings", "impression", "caption", "report", ...

    ``labels`` are the record's positive labels that this text affirms; none given means not known,
    and the text then stands for all of them.
    """

    text: str
    section: str
    source: str = ""  # "grammar", "radiologist", "llm:<model>"
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Box:
    """A box in fractions of the image's width and height, origin at the top left.

    Coordinates are rounded to float32, the precision they are stored in.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    phrase: str = ""
    image: int = 0  # index into Record.images

    def __post_init__(self) -> None:
        for name in ("x0", "y0", "x1", "y1"):
            object.__setattr__(self, name, _float32(getattr(self, name)))


@dataclasses.dataclass(frozen=True)
class Mask:
    """An 8-bit PNG of 0 and 255 with the aspect ratio of its image."""

    data: bytes = dataclasses.field(repr=False)
    label: str
    image: int = 0  # index into Record.images


@dataclasses.dataclass(frozen=True)
class Record:
    """One study: images, texts, labels and truth, with where all of it came from.

    Attributes:
      id: unique within a data set.
      labels: lower-case name -> 1 positive, 0 negative, -1 uncertain; absent = not judged.
      provenance: JSON values: generator, seed, prompt, versions, ``content_sha256``, structured
        ``findings``. Comes back from disk as JSON gives it (a tuple becomes a list).
    """

    id: str
    images: tuple[Image, ...]
    texts: tuple[Text, ...] = ()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    masks: tuple[Mask, ...] = ()
    patient_id: str = ""
    split: str = "train"
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    def validate(self) -> "Record":
        """Returns self, or raises what :func:`check_record` finds."""
        check_record(self)
        return self


class Source(Protocol):
    """Random access to records; what ``open_dataset`` returns, or a plain list of records."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record: ...


def check_record(record: Record) -> None:
    """Raises :class:`RecordError` with one line (id, field, mend) if ``record`` is not valid."""

    def bad(field: str, what: str, mend: str) -> RecordError:
        return RecordError(f"record {record.id!r}: {field} {what}; {mend}")

    if not record.id:
        raise bad("id", "is empty", "give each study an id that is unique in the data set")
    if not SPLIT_PATTERN.fullmatch(record.split):
        raise bad("split", f"{record.split!r} is no split name", "use e.g. train, val or test")
    if not record.images and not record.texts:
        raise bad("images", "and texts are both empty", "drop the record")
    for i, image in enumerate(record.images):
        field = f"images[{i}]"
        if image.format not in FORMATS:
            raise bad(f"{field}.format", f"is {image.format!r}", f"use one of {FORMATS}")
        if not image.data:
            raise bad(f"{field}.data", "is empty (0 bytes)", "restore the file or drop the record")
        magic = _MAGIC.get(image.format)
        if magic and not image.data.startswith(magic):
            raise bad(f"{field}.data", f"is no {image.format} file", "fix the format or the file")
        if image.width < 0 or image.height < 0:
            raise bad(field, f"has size {image.width}x{image.height}", "use 0 for unknown")
    for i, text in enumerate(record.texts):
        if not text.text.strip():
            raise bad(f"texts[{i}].text", "is empty", "leave the text out")
        if not text.section:
            raise bad(f"texts[{i}].section", "is empty", "name it, e.g. findings or caption")
    for name, value in record.labels.items():
        if not name or name != name.lower().strip() or _JOIN in name:
            raise bad(
                f"labels[{name!r}]", "is no label name", "use lower case, no outer spaces, no ';'"
            )
        if isinstance(value, bool) or value not in LABEL_VALUES:
            raise bad(f"labels[{name!r}]", f"is {value!r}", "use 1, 0, -1 (uncertain) or drop it")
    for i, text in enumerate(record.texts):
        for name in text.labels:
            if record.labels.get(name) != 1:
                raise bad(
                    f"texts[{i}].labels",
                    f"has {name!r}, which is no positive label of the record",
                    "set labels[...] to 1 or leave it out",
                )
    for i, box in enumerate(record.boxes):
        field = f"boxes[{i}]"
        corners = (box.x0, box.y0, box.x1, box.y1)
        if not all(math.isfinite(c) for c in corners):
            raise bad(field, f"{corners} is not finite", "drop the box")
        if not all(0 <= c <= 1 for c in corners):
            raise bad(field, f"{corners} leaves [0, 1]", "divide by the image's size and clip")
        if box.x0 >= box.x1 or box.y0 >= box.y1:
            raise bad(field, f"{corners} has no area", "order it x0 < x1, y0 < y1 or drop it")
        _check_reference(bad, field, box, record)
    for i, mask in enumerate(record.masks):
        field = f"masks[{i}]"
        if not mask.data.startswith(_MAGIC["png"]):
            raise bad(f"{field}.data", "is not a PNG", "encode the mask as 8-bit PNG")
        _check_reference(bad, field, mask, record)
    try:
        json.dumps(record.provenance, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise bad("provenance", f"is not JSON ({e})", "use str, int, float, list, dict") from e


def _check_reference(bad: Any, field: str, item: Box | Mask, record: Record) -> None:
    if not 0 <= item.image < len(record.images):
        raise bad(
            f"{field}.image",
            f"is {item.image} but the record has {len(record.images)} images",
            "count images from 0",
        )
    if not item.label:
        raise bad(f"{field}.label", "is empty", "name what it shows")


def content_sha256(record: Record) -> str:
    """Hex SHA-256 of image bytes, texts with sections, and labels.

    Neither id, split nor provenance enters, so equal content found twice has equal hashes.
    """
    h = hashlib.sha256()

    def add(*parts: bytes | str) -> None:
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            h.update(struct.pack("<Q", len(raw)))
            h.update(raw)

    for image in record.images:
        add("image", image.data)
    for text in record.texts:
        add("text", text.section, text.text, *text.labels)
    for name in sorted(record.labels):
        add("label", name, str(int(record.labels[name])))
    return h.hexdigest()


def with_content_hash(record: Record) -> Record:
    """The record with ``provenance["content_sha256"]`` set."""
    provenance = {**record.provenance, "content_sha256": content_sha256(record)}
    return dataclasses.replace(record, provenance=provenance)


#: Between the names of a list that is stored as one string.
_JOIN = ";"

# The one table that encoder, decoder and TFDS metadata share: field of Record -> its class and
# that class's fields with their kinds. An Example holds them as parallel lists, "images/data" etc.
_SEQUENCES: dict[str, tuple[type, tuple[tuple[str, str], ...]]] = {
    "images": (
        Image,
        (
            ("data", "bytes"),
            ("format", "str"),
            ("view", "str"),
            ("modality", "str"),
            ("width", "int"),
            ("height", "int"),
        ),
    ),
    "texts": (
        Text,
        (("text", "str"), ("section", "str"), ("source", "str"), ("labels", "names")),
    ),
    "boxes": (
        Box,
        (
            ("x0", "float"),
            ("y0", "float"),
            ("x1", "float"),
            ("y1", "float"),
            ("label", "str"),
            ("phrase", "str"),
            ("image", "int"),
        ),
    ),
    "masks": (Mask, (("data", "bytes"), ("label", "str"), ("image", "int"))),
}
_SCALARS = ("id", "patient_id", "split")


def schema() -> dict[str, Any]:
    """Nested ``{key: kind}``, a dict being a sequence; kinds: bytes, str, int, float."""
    out: dict[str, Any] = dict.fromkeys(_SCALARS, "str")
    for name, (_, fields) in _SEQUENCES.items():
        out[name] = {field: "str" if kind == "names" else kind for field, kind in fields}
    out["labels"] = {"name": "str", "value": "int"}
    out["provenance"] = "str"  # JSON
    return out


def to_example(record: Record) -> bytes:
    """The record as a serialized ``tf.train.Example``; equal records give equal bytes."""
    features: dict[str, tuple[str, Sequence]] = {
        name: ("bytes", [getattr(record, name).encode()]) for name in _SCALARS
    }
    for name, (_, fields) in _SEQUENCES.items():
        items = getattr(record, name)
        for field, kind in fields:
            values = [getattr(item, field) for item in items]
            if kind == "names":
                kind, values = "str", [_JOIN.join(v) for v in values]
            if kind == "str":
                kind, values = "bytes", [v.encode() for v in values]
            features[f"{name}/{field}"] = (kind, values)
    names = sorted(record.labels)
    features["labels/name"] = ("bytes", [n.encode() for n in names])
    features["labels/value"] = ("int", [int(record.labels[n]) for n in names])
    provenance = json.dumps(record.provenance, sort_keys=True, ensure_ascii=False)
    features["provenance"] = ("bytes", [provenance.encode()])
    return example.encode(features)


def from_example(data: bytes) -> Record:
    """Inverse of :func:`to_example`; raises :class:`RecordError` for foreign bytes."""
    try:
        features: dict[str, list[Any]] = dict(example.decode(data))
        scalars = {name: features[name][0].decode() for name in _SCALARS}
        sequences: dict[str, tuple[Any, ...]] = {}
        for name, (build, fields) in _SEQUENCES.items():
            columns = []
            for field, kind in fields:
                values = features[f"{name}/{field}"]
                if kind in ("str", "names"):
                    values = [v.decode() for v in values]
                if kind == "names":
                    values = [tuple(v.split(_JOIN)) if v else () for v in values]
                columns.append(values)
            sequences[name] = tuple(build(*row) for row in zip(*columns, strict=True))
        names = [n.decode() for n in features["labels/name"]]
        labels = dict(zip(names, features["labels/value"], strict=True))
        provenance = json.loads(features["provenance"][0])
    except KeyError as e:
        raise RecordError(
            f"the example has no feature {e}; it was not written by this package, import it with "
            "data_gen/sources instead"
        ) from e
    except Exception as e:  # bytes of others: what they make of the parser is not to be listed
        what = reason(e)
        raise RecordError(
            f"the example does not hold a record ({what}); regenerate its shard"
        ) from e
    arguments: dict[str, Any] = {**scalars, **sequences}
    return Record(labels=labels, provenance=provenance, **arguments)


def _float32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # beyond float32; check_record names the box
        return math.inf
