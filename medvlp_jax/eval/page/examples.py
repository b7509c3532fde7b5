"""Records that a report shows for what the model said of them: answers, errors, detections.

The evaluators keep positions and ids; the pictures and texts are read from the set itself.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.store.dataset import RecordSource
from medvlp_jax.data.store.record import Record
from medvlp_jax.data.texts.choice import candidates
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.eval.metrics.calibration import Calibration
from medvlp_jax.pages.boxes import LabelledBox
from medvlp_jax.pages.pictures import Pixels

#: How far from its position a record is looked for, where unreadable ones were left out before.
_NEAR = 2000


@dataclasses.dataclass(frozen=True)
class Answer:
    """A text that the model finds for an image."""

    text: str
    similarity: float
    right: bool


@dataclasses.dataclass(frozen=True)
class Answered:
    """An image and the texts nearest to it, best first; ``own`` is the text of its record."""

    image: Pixels
    id: str
    own: str
    answers: tuple[Answer, ...]
    set: str = ""


@dataclasses.dataclass(frozen=True)
class WrongCall:
    """A record on which the model is most sure of the wrong thing about a class.

    Attributes:
      probability: calibrated, of the class.
      truth: whether the record has the class.
    """

    image: Pixels
    id: str
    label: str
    probability: float
    truth: bool
    text: str = ""
    set: str = ""


@dataclasses.dataclass(frozen=True)
class Mistaken:
    """An image that is taken for one of another modality."""

    image: Pixels
    id: str
    truth: str
    called: str
    set: str = ""


@dataclasses.dataclass(frozen=True)
class Detected:
    """A film with its boxes, and as many of the strongest detections, with their scores."""

    image: Pixels
    id: str
    truth: tuple[LabelledBox, ...]
    predicted: tuple[LabelledBox, ...]
    set: str = ""


class SetRecords:
    """Finds the records of a set by the position and id that an evaluation gave them."""

    def __init__(self, source: RecordSource, data: DataConfig):
        self._source, self._data = source, data

    def find(self, position: int, id_: str) -> Record | None:
        """The record; None where it is not near its position (records in an order of their own)."""
        for step in range(_NEAR):
            for index in {position + step, position - step}:
                if 0 <= index < len(self._source):
                    record = self._source[index]
                    if record.id == id_:
                        return record
        return None

    def text(self, record: Record) -> str:
        """The text that an evaluation reads of a record."""
        return next((t for group in candidates(record, self._data.text) for t in group), "")

    def seen(self, record: Record) -> Pixels:
        """The image as the model was given it."""
        (batch,) = eval_batches(self._data, [record], 1, columns=("image",))
        return batch["image"][0]


def answered_of(result: EvalResult, records: SetRecords) -> list[Answered]:
    """The pictures of a ``Retrieval`` evaluator."""
    a = result.arrays
    found = []
    for n, query in enumerate(a["shown_query"]):
        own = records.find(int(query), str(a["ids"][query]))
        rows = zip(a["shown_answer"][n], a["shown_similarity"][n], a["shown_right"][n], strict=True)
        answers = [
            Answer(records.text(text), float(similarity), bool(right))
            for i, similarity, right in rows
            if (text := records.find(int(i), str(a["ids"][i]))) is not None
        ]
        if own is None or not answers:
            continue
        pixels = decode(own.images[0].data, own.images[0].format)
        texts = records.text(own), tuple(answers)
        found.append(Answered(pixels, own.id, *texts, result.details["set"]))
    return found


def wrong_of(result: EvalResult, records: SetRecords) -> list[WrongCall]:
    """Per class of a calibrated zero-shot result the surest false alarm and the surest miss.

    A call is wrong where it lies on the other side of the class's threshold from validation, or
    of one half where there is none.
    """
    a, details = result.arrays, result.details
    fit = details.get("calibration")
    if not fit:
        return []
    said = Calibration.from_json(fit).probabilities(a["scores"])
    found = []
    for k, row in enumerate(details["classes"]):
        p, y = said[:, k], a["labels"][:, k]
        if not np.isfinite(p).all():
            continue
        cut = row.get("threshold")
        called = a["scores"][:, k] > cut if cut is not None else p > 0.5
        for truth, wrong, surest in (
            (False, (y == 0) & called, np.argmax),
            (True, (y == 1) & ~called, np.argmin),
        ):
            where = np.flatnonzero(wrong)
            if not len(where):
                continue
            i = int(where[surest(p[where])])
            record = records.find(i, str(a["ids"][i]))
            if record is None:
                continue
            pixels = decode(record.images[0].data, record.images[0].format)
            found.append(
                WrongCall(
                    pixels,
                    record.id,
                    row["name"],
                    float(p[i]),
                    truth,
                    records.text(record),
                    details["set"],
                )
            )
    return found


def mistaken_of(result: EvalResult, records: SetRecords) -> list[Mistaken]:
    """The failures of a ``Recognition`` evaluator."""
    a, names = result.arrays, result.details["top1"]["confusion"]["classes"]
    found = []
    for row, at, called in zip(a["mistaken"], a["mistaken_at"], a["mistaken_as"], strict=True):
        record = records.find(int(at), str(a["ids"][row]))
        if record is None:
            continue
        pixels = decode(record.images[0].data, record.images[0].format)
        truth = names[int(a["labels"][row].argmax())]
        found.append(Mistaken(pixels, record.id, truth, names[int(called)], result.details["set"]))
    return found


def detected_of(result: EvalResult, records: SetRecords) -> list[Detected]:
    """The pictures of a ``Detection`` evaluator, as the model saw them."""
    a = result.arrays
    if "detected_at" not in a:
        return []
    names = [row["name"] for row in result.details["classes"]]
    found = []
    for n, i in enumerate(a["detected_at"]):
        record = records.find(int(i), str(a["ids"][i]))
        if record is None:
            continue
        truth = _labelled(a["detected_truth"][n], a["detected_label"][n], names)
        predicted = [
            LabelledBox(
                *map(float, box[:4]),
                label=names[int(box[5])],
                phrase=f"{names[int(box[5])]}, score {box[4]:.2f}",
            )
            for box in a["detected_boxes"][n]
            if np.isfinite(box).all()
        ]
        pixels = records.seen(record)
        found.append(Detected(pixels, record.id, truth, tuple(predicted), result.details["set"]))
    return found


def _labelled(
    boxes: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> tuple[LabelledBox, ...]:
    pairs = zip(boxes, labels, strict=True)
    return tuple(LabelledBox(*map(float, b), label=names[int(k)]) for b, k in pairs if int(k) >= 0)


#: Kind of an evaluation -> what reads its examples.
READERS: dict[str, Callable[[EvalResult, SetRecords], Sequence[Any]]] = {
    "retrieval": answered_of,
    "zeroshot": wrong_of,
    "modality": mistaken_of,
    "detection": detected_of,
}
