"""What several readers of one image agree on."""

import dataclasses
import enum

from data_gen.sources.importing.base import PixelBox

OVERLAP = 0.4  # intersection over union from which two readers' boxes are of one thing


class Agreement(enum.Enum):
    """How many readers it takes: more than half of them, or one."""

    MAJORITY = "majority"
    ANY = "any"


@dataclasses.dataclass
class Reading:
    """All that was said about an image, in so many rows: reader -> labels, boxes with reader."""

    where: str
    labels: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    boxes: list[tuple[str, PixelBox]] = dataclasses.field(default_factory=list)
    rows: int = 0

    def needed(self, agreement: Agreement) -> int:
        """Readers who must agree."""
        return len(self.labels) // 2 + 1 if agreement is Agreement.MAJORITY else 1


def agreed_labels(reading: Reading, agreement: Agreement) -> dict[str, int]:
    """1 or 0 for each label that some reader judged; "no finding" only where nothing is found."""
    votes: dict[str, int] = {}
    for given in reading.labels.values():
        for name, value in given.items():
            votes[name] = votes.get(name, 0) + (value == 1)
    labels = {name: int(n >= reading.needed(agreement)) for name, n in votes.items()}
    if any(value for name, value in labels.items() if name != "no finding"):
        labels = {name: 0 if name == "no finding" else v for name, v in labels.items()}
    return labels


def agreed_boxes(
    reading: Reading, agreement: Agreement, labels: dict[str, int]
) -> tuple[PixelBox, ...]:
    """Boxes of the labels that hold.

    Majority: boxes of different readers and one label that overlap the first of them by ``OVERLAP``
    are one, their mean; it stays if enough readers drew it. Any: every box, equal ones once.
    """
    boxes = [(reader, box) for reader, box in reading.boxes if labels.get(box.label) == 1]
    if agreement is Agreement.ANY or len(reading.labels) == 1:
        return tuple(dict.fromkeys(box for _, box in boxes))
    groups: list[dict[str, PixelBox]] = []
    for reader, box in boxes:
        for group in groups:
            first = next(iter(group.values()))
            same = first.label == box.label and reader not in group
            if same and overlap(first, box) >= OVERLAP:
                group[reader] = box
                break
        else:
            groups.append({reader: box})
    needed = reading.needed(agreement)
    return tuple(_mean(list(g.values())) for g in groups if len(g) >= needed)


def overlap(a: PixelBox, b: PixelBox) -> float:
    """Intersection over union of two boxes on one frame; 0 if both are empty."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0 else 0.0


def _mean(boxes: list[PixelBox]) -> PixelBox:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return dataclasses.replace(
        boxes[0],
        x=mean([box.x for box in boxes]),
        y=mean([box.y for box in boxes]),
        width=mean([box.width for box in boxes]),
        height=mean([box.height for box in boxes]),
    )
