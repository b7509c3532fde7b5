"""The record: what one study is on disk.

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
from typing import Any, Protocol

from medvlp_jax.core.errors import UserError

FORMATS = ("png", "jpeg", "dicom")
LABEL_VALUES = (1, 0, -1)
ROLES = ("system", "user", "assistant")
#: Modalities by the names that the rest of the package asks for; a record may name others.
MODALITIES = ("xray", "ct", "mri", "ultrasound", "pathology", "fundus")
#: Key of the provenance of a record that is another one with one finding switched:
#: ``{"of": id of that record, "label": name of the finding, "present": whether it is seen here}``.
COUNTERFACTUAL = "counterfactual"
#: Split names are part of file names (of 255 bytes at most) and of TFDS split expressions
#: (``train[:10%]``).
SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
#: Between the names of a list that is stored as one string.
JOIN = ";"
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
class Turn:
    """One turn of a conversation: who speaks, what, and which images it refers to.

    ``role`` is "system", "user" or "assistant"; ``images`` are indices into ``Record.images``, in
    the order in which they stand in front of the text.
    """

    role: str  # one of ROLES
    text: str
    images: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """One study: images, texts, labels and truth, with where all of it came from.

    Attributes:
      id: unique within a data set.
      labels: lower-case name -> 1 positive, 0 negative, -1 uncertain; absent = not judged.
      provenance: JSON values: generator, seed, prompt, versions, ``content_sha256``, structured
        ``findings``. Comes back from disk as JSON gives it (a tuple becomes a list).
      turns: a conversation about the study, in its order; most records have none.
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
    turns: tuple[Turn, ...] = ()

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
    if not (record.images or record.texts or record.turns):
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
        if not name or name != name.lower().strip() or JOIN in name:
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
    for i, turn in enumerate(record.turns):
        if turn.role not in ROLES:
            raise bad(f"turns[{i}].role", f"is {turn.role!r}", f"use one of {ROLES}")
        if not turn.text.strip() and not turn.images:
            raise bad(f"turns[{i}].text", "is empty", "leave the turn out")
        for image in turn.images:
            _check_image(bad, f"turns[{i}].images", image, record)
    try:
        json.dumps(record.provenance, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise bad("provenance", f"is not JSON ({e})", "use str, int, float, list, dict") from e


def _check_reference(bad: Any, field: str, item: Box | Mask, record: Record) -> None:
    _check_image(bad, f"{field}.image", item.image, record)
    if not item.label:
        raise bad(f"{field}.label", "is empty", "name what it shows")


def _check_image(bad: Any, field: str, image: int, record: Record) -> None:
    if not 0 <= image < len(record.images):
        raise bad(
            field,
            f"is {image} but the record has {len(record.images)} images",
            "count images from 0",
        )


def content_sha256(record: Record) -> str:
    """Hex SHA-256 of image bytes, texts with sections, labels, and turns.

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
    for turn in record.turns:
        add("turn", turn.role, turn.text, *map(str, turn.images))
    return h.hexdigest()


def with_content_hash(record: Record) -> Record:
    """The record with ``provenance["content_sha256"]`` set."""
    provenance = {**record.provenance, "content_sha256": content_sha256(record)}
    return dataclasses.replace(record, provenance=provenance)


def _float32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # beyond float32; check_record names the box
        return math.inf
