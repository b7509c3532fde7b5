"""What was left out of a data folder, row by row, and small pictures of it for the page.

``rejects.jsonl`` holds one object a line. ``where`` and ``kind`` are what importers write too and
what other pages count; the rest is for whoever wants to know why.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from data_gen.curation.candidate import Pixels
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.manifest import write_errors
from medvlp_jax.data.store.shards import whole_file

FILE = "rejects.jsonl"
#: Folder of the small pictures, beside the file.
PICTURES = "rejects"
#: Their longer side in pixels, and the quality of their JPEG.
_SIDE, _QUALITY = 176, 80


@dataclasses.dataclass(frozen=True)
class RejectRow:
    """One thing that was left out.

    Attributes:
      id: of the candidate or record.
      stage: what refused it: ``images``, ``duplicates``, ``reports``.
      reasons: keys of :data:`data_gen.curation.reasons.REASONS` for images, free words otherwise;
        the first is what is counted.
      detail: what helps to understand it.
      attempt: of how many it was the one, from 0.
      scores: what was measured.
      text: what the image was to show, or the report that was refused.
      labels: as in a record.
      thumbnail: path of a small picture, relative to the data folder; empty without.
    """

    id: str
    stage: str
    reasons: tuple[str, ...]
    detail: str = ""
    attempt: int = 0
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    text: str = ""
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    thumbnail: str = ""

    @property
    def numbers(self) -> dict[str, float]:
        """The scores that are numbers; JSON has no word for the others."""
        return {k: v for k, v in self.scores.items() if math.isfinite(v)}

    def as_json(self) -> dict[str, Any]:
        """``where`` and ``kind`` first, then the fields that say something."""
        row: dict[str, Any] = {"where": self.id, "kind": self.reasons[0] if self.reasons else ""}
        for field in dataclasses.fields(self):
            value = self.numbers if field.name == "scores" else getattr(self, field.name)
            if value or field.name == "attempt":
                row[field.name] = dict(value) if isinstance(value, Mapping) else value
        return row


def write_rejects(folder: pathlib.Path, rows: Iterable[RejectRow]) -> None:
    """Writes ``rejects.jsonl``, whole or not at all."""
    with whole_file(folder / FILE) as temporary, write_errors(folder / FILE):
        temporary.write_text(jsonl.dump(row.as_json() for row in rows), encoding="utf-8")


def read_rejects(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of ``rejects.jsonl``, of curation or of an importer; none without the file.

    Raises:
      UserError: a line is no JSON object; the message names it.
    """
    path = folder / FILE
    if not path.exists():
        return []
    return jsonl.read(path, "delete the line")


def small(image: Pixels) -> bytes:
    """A JPEG for the gallery."""
    scale = _SIDE / max(image.shape[:2])
    if scale < 1:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded")
    return np.asarray(data).tobytes()


class Pictures:
    """Keeps small pictures of rejects, a bounded number per reason: the first of each."""

    def __init__(self, folder: pathlib.Path, most: int = 24) -> None:
        """``folder``: the data folder; ``most``: pictures per (first) reason, 0 for none."""
        self.folder, self.most = folder, most
        self._kept: dict[str, int] = {}

    def keep(self, row: RejectRow, data: bytes) -> RejectRow:
        """The row with its picture (``data``: a JPEG) stored, or as it is if there are enough."""
        reason = row.reasons[0] if row.reasons else ""
        number = self._kept.get(reason, 0)
        if number >= self.most or not data:
            return row
        self._kept[reason] = number + 1
        word = re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")
        name = f"{PICTURES}/{word}-{number:03d}.jpg"
        with whole_file(self.folder / name) as temporary:
            temporary.write_bytes(data)
        return dataclasses.replace(row, thumbnail=name)


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """First reason -> rows, the most frequent first."""
    found: dict[str, int] = {}
    for row in rows:
        kind = str(row.get("kind", "unknown"))
        found[kind] = found.get(kind, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
