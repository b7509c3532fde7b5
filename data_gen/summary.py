"""What a data folder holds, in numbers and in one picture: ``summary.json`` and ``preview.png``.

Each shard's job tallies its records while it makes them and keeps the tally in the shard's manifest
line, so a summary of a million studies reads no image.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_gen.preview import write_preview
from medvlp_jax.data.dataset import finalise, open_dataset, splits
from medvlp_jax.data.manifest import LabelCounts
from medvlp_jax.data.records import Record
from medvlp_jax.data.shards import whole_file

SUMMARY = "summary.json"
PREVIEW = "preview.png"
_EXAMPLES = 4  # records quoted per split
_PICTURES = 24
_QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}


class Tally:
    """Counts of what labels do not count: views, lengths of texts, boxes and masks by label."""

    def __init__(self) -> None:
        self.views: Counter[str] = Counter()
        self.boxes: Counter[str] = Counter()
        self.masks: Counter[str] = Counter()
        self.words: dict[str, Counter[int]] = {}  # section -> words in a text -> texts

    def add(self, record: Record) -> None:
        self.views.update(image.view or "unknown" for image in record.images)
        self.boxes.update(box.label for box in record.boxes)
        self.masks.update(mask.label for mask in record.masks)
        for text in record.texts:
            self.words.setdefault(text.section, Counter())[len(text.text.split())] += 1

    def merge(self, row: Mapping[str, Any]) -> None:
        """Adds a tally that :meth:`as_json` gave, also after a way through JSON."""
        self.views.update(row.get("views", {}))
        self.boxes.update(row.get("boxes", {}))
        self.masks.update(row.get("masks", {}))
        for section, counts in row.get("words", {}).items():
            mine = self.words.setdefault(section, Counter())
            mine.update({int(length): count for length, count in counts.items()})

    def as_json(self) -> dict[str, Any]:
        return {
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


def summarise(directory: str | os.PathLike[str], description: str = "") -> dict[str, Any]:
    """What ``summary.json`` holds.

    ``{"description", "splits": {split: {"records", "labels": {name: {"positive", "negative",
    "uncertain"}}, "views", "words": {section: {...}}, "boxes", "masks", "examples"}}}``; folders
    whose jobs kept no tally lack the counts that labels do not give.

    Raises:
        ShardError: the folder is not complete.
    """
    out: dict[str, Any] = {"description": description, "splits": {}}
    for split, shards in splits(directory).items():
        labels, tally = LabelCounts(), Tally()
        for info in shards:
            labels.merge(info.labels)
            tally.merge(info.extra)
        values = ("positive", "negative", "uncertain")
        counted = tally.as_json()
        out["splits"][split] = {
            "records": sum(info.records for info in shards),
            "bytes": sum(info.bytes for info in shards),
            "labels": {
                name: dict(zip(values, row, strict=True))
                for name, row in sorted(labels.counts.items())
            },
            "views": counted["views"],
            "boxes": counted["boxes"],
            "masks": counted["masks"],
            "words": tally.lengths(),
            "examples": _examples(directory, split),
        }
    return out


def _examples(directory: str | os.PathLike[str], split: str) -> list[dict[str, Any]]:
    source = open_dataset(directory, split)
    out = []
    for i in range(min(_EXAMPLES, len(source))):
        record = source[i]
        out.append(
            {
                "id": record.id,
                "positive": sorted(name for name, value in record.labels.items() if value == 1),
                "texts": {text.section: text.text for text in record.texts},
            }
        )
    return out


def finish(directory: str | os.PathLike[str], description: str) -> dict[str, Any]:
    """Ends a job: TFDS metadata, then ``preview.png``, then ``summary.json``; returns the summary.

    Raises:
        ShardError: the folder is not complete, or the disk is full.
    """
    directory = Path(directory)
    finalise(directory, description)
    source = open_dataset(directory, _largest_split(directory))
    with whole_file(directory / PREVIEW) as temporary:
        write_preview(source, temporary, _PICTURES)
    whole = summarise(directory, description)
    with whole_file(directory / SUMMARY) as temporary:
        temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    return whole


def _largest_split(directory: Path) -> str:
    sizes = {split: sum(i.records for i in infos) for split, infos in splits(directory).items()}
    return max(sizes, key=lambda split: sizes[split])


def exists(directory: str | os.PathLike[str]) -> bool:
    """Whether a job has been brought to its end in this folder."""
    return (Path(directory) / SUMMARY).exists()


def read(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary that :func:`finish` wrote."""
    return json.loads((Path(directory) / SUMMARY).read_text(encoding="utf-8"))


def table(whole: Mapping[str, Any]) -> str:
    """Positive records per label and split, as text for the terminal."""
    named = whole["splits"]
    order = [s for s in ("train", "validation", "test") if s in named]
    order += [s for s in named if s not in order]
    labels = sorted({label for split in named.values() for label in split["labels"]})
    width = max([len("records"), *map(len, labels)])
    rows = [["", *order], ["records", *(str(named[s]["records"]) for s in order)]]
    for label in labels:
        counts = [named[s]["labels"].get(label, {}).get("positive", 0) for s in order]
        rows.append([label, *map(str, counts)])
    columns = [max(len(row[i]) for row in rows) for i in range(1, len(order) + 1)]
    lines = []
    for row in rows:
        cells = [cell.rjust(w) for cell, w in zip(row[1:], columns, strict=True)]
        lines.append("  ".join([row[0].ljust(width), *cells]).rstrip())
    return "\n".join(lines)
