"""What a data folder holds, in numbers and in one picture: ``summary.json`` and ``preview.png``.

Each shard's job tallies its records while it makes them and keeps the tally in the shard's manifest
line, so a summary of a million studies reads no image.
"""

import errno
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from data_gen.jobs.preview import write_preview
from data_gen.jobs.tally import Tally
from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.dataset import (
    damaged_beside,
    finalise,
    keep_digests,
    open_dataset,
    splits,
)
from medvlp_jax.data.store.manifest import LabelCounts
from medvlp_jax.data.store.shards import whole_file

SUMMARY = "summary.json"
PREVIEW = "preview.png"
_EXAMPLES = 4  # records quoted per split
_PICTURES = 24


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
            **({"notes": counted["notes"]} if "notes" in counted else {}),
            "words": tally.lengths(),
            "examples": _examples(directory, split),
        }
    return out


def _examples(directory: str | os.PathLike[str], split: str) -> list[dict[str, Any]]:
    source = open_dataset(directory, split)
    out = []
    for i in range(min(_EXAMPLES, len(source))):
        try:
            record = source[i]
        except UserError as error:
            logging.warning("no example of split %s: %s", split, error)
            continue
        out.append(
            {
                "id": record.id,
                "positive": sorted(name for name, value in record.labels.items() if value == 1),
                "texts": {text.section: text.text for text in record.texts},
            }
        )
    return out


def finish(
    directory: str | os.PathLike[str],
    description: str,
    more: Mapping[str, Any] | None = None,
    origin: Origin | None = None,
) -> dict[str, Any]:
    """Ends a job: metadata for TFDS and Croissant, then ``preview.png``, then ``summary.json``.

    Args:
      description: a sentence for the metadata.
      more: what else the summary is to hold, by key.
      origin: licence and citation, where they are known.

    Returns:
      the summary.

    Raises:
      ShardError: the folder is not complete, or the disk is full.
    """
    directory = Path(directory)
    finalise(directory, description, origin)
    _preview(directory)
    whole = {**summarise(directory, description), **(more or {})}
    with whole_file(directory / SUMMARY) as temporary:
        temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    keep_digests(directory)
    return whole


def _preview(directory: Path) -> None:
    source = open_dataset(directory, _largest_split(directory))
    try:
        with whole_file(directory / PREVIEW) as temporary:
            write_preview(source, temporary, _PICTURES)
    except UserError:
        raise
    except Exception as error:  # the shards are made: a picture of them must not cost the job
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        logging.warning("%s is left out (%s); the data are whole", PREVIEW, reason(error))


def _largest_split(directory: Path) -> str:
    sizes = {split: sum(i.records for i in infos) for split, infos in splits(directory).items()}
    return max(sizes, key=lambda split: sizes[split])


def exists(directory: str | os.PathLike[str]) -> bool:
    """Whether a job has been brought to its end in this folder, and its summary is whole."""
    path = Path(directory) / SUMMARY
    if not path.exists():
        return False
    try:
        read(directory)
    except UserError as error:
        logging.warning("%s", error)
        return False
    return True


def read(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary that :func:`finish` wrote.

    Raises:
      UserError: it is damaged.
    """
    mend = "rerun the command that made the folder, it writes it anew"
    for why in damaged_beside(directory, [SUMMARY]):
        raise UserError(f"{why}; {mend}")
    path = Path(directory) / SUMMARY
    with one_net(path, mend):
        return jsonl.parse(path.read_bytes())


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
    notes: Counter[str] = Counter()
    for split in named.values():
        notes.update(split.get("notes", {}))
    lines += [f"note: {count} x {note}" for note, count in sorted(notes.items())]
    return "\n".join(lines)
