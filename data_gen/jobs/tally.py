"""Counts of a data folder's records, kept shard by shard and merged."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from medvlp_jax.data.store.record import Record

NOTES = "notes"
"""Key of a record's provenance: what was guessed or changed on the way in -> how often."""

_QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}


class Tally:
    """Counts of what labels do not count: views, lengths of texts, boxes and masks by label."""

    def __init__(self) -> None:
        self.views: Counter[str] = Counter()
        self.boxes: Counter[str] = Counter()
        self.masks: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.words: dict[str, Counter[int]] = {}  # section -> words in a text -> texts

    def add(self, record: Record) -> None:
        self.views.update(image.view or "unknown" for image in record.images)
        self.boxes.update(box.label for box in record.boxes)
        self.masks.update(mask.label for mask in record.masks)
        self.notes.update(record.provenance.get(NOTES, {}))
        for text in record.texts:
            self.words.setdefault(text.section, Counter())[len(text.text.split())] += 1

    def merge(self, row: Mapping[str, Any]) -> None:
        """Adds a tally that :meth:`as_json` gave, also after a way through JSON."""
        self.views.update(row.get("views", {}))
        self.boxes.update(row.get("boxes", {}))
        self.masks.update(row.get("masks", {}))
        self.notes.update(row.get("notes", {}))
        for section, counts in row.get("words", {}).items():
            mine = self.words.setdefault(section, Counter())
            mine.update({int(length): count for length, count in counts.items()})

    def as_json(self) -> dict[str, Any]:
        notes = {"notes": dict(sorted(self.notes.items()))} if self.notes else {}
        return {
            **notes,
            "views": dict(sorted(self.views.items())),
            "boxes": dict(sorted(self.boxes.items())),
            "masks": dict(sorted(self.masks.items())),
            "words": {
                section: {str(length): counts[length] for length in sorted(counts)}
                for section, counts in sorted(self.words.items())
            },
        }

    def lengths(self) -> dict[str, dict[str, float]]:
        """Section -> texts, mean, 5 %, median, 95 % and longest length in words."""
        return {section: _describe(counts) for section, counts in sorted(self.words.items())}


def _describe(counts: Counter[int]) -> dict[str, float]:
    total = sum(counts.values())
    out = {
        "texts": total,
        "mean": round(sum(n * c for n, c in counts.items()) / total, 2),
        "max": max(counts),
    }
    for name, q in _QUANTILES.items():
        seen = 0
        for length in sorted(counts):
            seen += counts[length]
            if seen >= q * total:
                out[name] = length
                break
    return out
