"""Published splits by name: who made them, how, and how large their parts must be.

Numbers on the same data set but another split do not compare (RSNA alone has four), so a split has
a name that stays with every record (``provenance["split_name"]``), and its parts are counted before
anything is written. A split comes from the list files that its authors published, from a seeded
recipe, or from the data set's own tables. Lists hold ids of other people's data and are not part of
this package: ``config.split_lists`` says where they are.
"""

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from data_gen.sources.importing.base import Item, Rejects, SourceConfig, SourceError
from data_gen.sources.tables.encoding import text_lines
from data_gen.sources.tables.rows import RowShape, cells_of, find_delimiter, read_rows

#: Columns of list files that hold ids or paths, in the order in which they are looked for.
_COLUMNS = (
    *("dicom_id", "image_id", "imageid", "image index", "patientid", "id"),
    *("path", "filepath", "filename", "file", "img_path", "image_path", "image"),
)
_IMAGE = re.compile(r"\.(png|jpe?g|dcm|dicom)$", re.IGNORECASE)
#: An id that several lists name goes to the first of these, so that nothing is trained on that is
#: tested on.
_STRICT = ("test", "validation", "train")


@dataclasses.dataclass(frozen=True)
class Count:
    """How large a part of a split is; 0 where it is not published.

    Attributes:
      records: studies, or images where each image is a record.
      images: of the tables, whether or not their files are there.
      patients: different patient ids.
      positives: label -> records with value 1.
      phrases: different pairs of image and phrase among the boxes.
      rows, unique: of the list file, and of the different ids in it.
      slack: by which ``records`` and ``rows`` may differ.
    """

    records: int = 0
    images: int = 0
    patients: int = 0
    positives: Mapping[str, int] = dataclasses.field(default_factory=dict)
    phrases: int = 0
    rows: int = 0
    unique: int = 0
    slack: int = 0


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """Parts cut off a shuffled list, as scikit-learn's ``train_test_split`` does it, twice.

    Attributes:
      held_out: records, or the fraction of them, that are not for training.
      parts: what becomes of them, halved: the first is what the second cut leaves, the second what
        it takes (the larger half, where they are not equal).
      seed: of both shuffles.
    """

    held_out: float
    parts: tuple[str, str]
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class NamedSplit:
    """A published split.

    Attributes:
      source: who published it.
      how: "own", the importer reads it from the data set; "lists" of the authors; or a recipe.
      counts: split, several joined by "+", or "all" -> how large it is.
    """

    source: str
    how: Literal["own", "lists"] | Shuffle
    counts: Mapping[str, Count] = dataclasses.field(default_factory=dict)


def stem(cell: str) -> str:
    """``"images_001/images/00000001_000.png "`` -> ``"00000001_000"``."""
    return _IMAGE.sub("", cell.strip().replace("\\", "/").rsplit("/", 1)[-1])


def read_list(path: pathlib.Path, encoding: str = "") -> list[str]:
    """The cells of a list file that name images, in order, repeated ones too.

    A ``.csv`` or ``.tsv`` with a header gives the first known column; any other text file gives,
    per line, the first word that ends like an image, or else the first word. Empty lines are no
    rows.

    Raises:
      SourceError: no such file, a table without a column of ids, a file that is no text, or a row
        of a table that lacks its id.
    """
    if not os.path.exists(path):
        raise SourceError(f"split list {path} is missing; check config.split_lists")
    lines = text_lines(path, encoding)
    start = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    header = lines[start].lower() if start < len(lines) else ""
    if path.suffix in (".csv", ".tsv") and not _IMAGE.search(header.split(" ")[-1]):
        delimiter = find_delimiter(header)
        columns = [name.strip().lower() for name in cells_of(header, delimiter)]
        found = [name for name in _COLUMNS if name in columns]
        if found:
            return _column(path, lines, start, delimiter, len(columns), columns.index(found[0]))
        if len(columns) > 1:
            raise SourceError(f"split list {path} has no column of ids; name it 'id' or 'path'")
    return [_word(line) for line in lines if line.strip()]


def _column(
    path: pathlib.Path, lines: Sequence[str], start: int, delimiter: str, width: int, place: int
) -> list[str]:
    """One column of a list; a row that cannot be read is an error: its id would change split."""
    found, rest = [], lines[start + 1 :]
    for row in read_rows(iter(rest), delimiter, RowShape.of(rest, delimiter, width)):
        if row.cells is None or len(row.cells) <= place:
            what = row.detail or "too short"
            raise SourceError(
                f"split list {path} line {start + 1 + row.line} cannot be read ({what}); correct it"
            )
        if row.cells[place].strip():
            found.append(row.cells[place])
    return found


def _word(line: str) -> str:
    words = [word for word in re.split(r"[\s,;]+", line) if word]
    return next((word for word in words if _IMAGE.search(word)), words[0] if words else line)


def assign(
    items: Iterable[Item],
    name: str,
    split: NamedSplit | None,
    config: SourceConfig,
    rejects: Rejects,
    key: Callable[[str], str] = stem,
) -> Iterator[Item]:
    """The items with the splits that a named split gives them; what it leaves out is rejected.

    Raises:
      SourceError: lists are needed and not given, or two items have the same key.
    """
    if split is not None and split.how == "own":
        yield from items
        return
    kept = list(items)
    keys = [key(item.id) for item in kept]
    if config.split_lists:
        places = _places(name, config, rejects, key, set(keys))
    elif split is None or not isinstance(split.how, Shuffle):
        raise SourceError(
            f"split {name!r} is made from lists; set config.split_lists.SPLIT to the file of each"
        )
    else:
        places = shuffle(keys, split.how)
    ids: dict[str, str] = {}
    for item, own in zip(kept, keys, strict=True):
        if ids.setdefault(own, item.id) != item.id:
            raise SourceError(
                f"{own!r} names both {ids[own]} and {item.id}; split {name!r} cannot tell them"
            )
    for item, own in zip(kept, keys, strict=True):
        if own in places:
            yield dataclasses.replace(item, split=places[own])
        else:
            detail = f"{item.id} is in no list of {name!r}"
            rejects.refuse(item.where, "not in the split", detail, item.rows)


def shuffle(keys: Sequence[str], how: Shuffle) -> dict[str, str]:
    """``{key: split}``; the keys are sorted first, so the order of the table does not matter."""
    ordered = np.array(sorted(set(keys)), object)
    held = how.held_out if how.held_out >= 1 else math.ceil(how.held_out * len(ordered))
    rest, train = _cut(ordered, int(held), how.seed)
    second, first = _cut(rest, math.ceil(len(rest) / 2), how.seed)
    parts = {"train": train, how.parts[0]: first, how.parts[1]: second}
    return {key: split for split, chosen in parts.items() for key in chosen}


def _cut(keys: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.RandomState(seed).permutation(len(keys))
    return keys[order[:count]], keys[order[count:]]


def strict_order(names: Iterable[str]) -> list[str]:
    """Splits in the order in which they may claim an id: special ones, test, validation, train."""
    return sorted(names, key=lambda name: _STRICT.index(name) if name in _STRICT else -1)


def list_path(config: SourceConfig, split: str) -> pathlib.Path:
    """Where the list of a split is."""
    return pathlib.Path(config.root, config.split_lists[split])


def _places(
    name: str,
    config: SourceConfig,
    rejects: Rejects,
    key: Callable[[str], str],
    present: set[str],
) -> dict[str, str]:
    places: dict[str, str] = {}
    for split in strict_order(config.split_lists):
        path = list_path(config, split)
        for own in dict.fromkeys(map(key, read_list(path, config.encoding))):
            if own not in present:
                rejects.add(path.name, "listed, not there", f"{own} of {name!r}, {split}")
            elif own in places:
                detail = f"{own} of {name!r}, {split}; kept in {places[own]}"
                rejects.add(path.name, "listed in two splits", detail)
            else:
                places[own] = split
    return places


def differences(
    name: str, split: NamedSplit, config: SourceConfig, items: Sequence[Item], key: Callable = stem
) -> list[str]:
    """What differs from the published counts, one line each: ``train: 3 images, published 5``."""
    lines = []
    for part, count in split.counts.items():
        names = part.split("+")
        chosen = [item for item in items if part == "all" or item.split in names]
        if not chosen and part not in config.split_lists:
            continue  # that part was not asked for
        found: list[tuple[str, int, int]] = [
            ("records", len(chosen), count.records),
            ("images", sum(len(item.images) for item in chosen), count.images),
            ("patients", len({item.patient_id for item in chosen}), count.patients),
            ("phrases", _phrases(chosen), count.phrases),
        ]
        for label, number in count.positives.items():
            positive = sum(item.labels.get(label) == 1 for item in chosen)
            found.append((f"records with {label}", positive, number))
        if part in config.split_lists and (count.rows or count.unique):
            cells = [key(cell) for cell in read_list(list_path(config, part), config.encoding)]
            found += [("rows in the list", len(cells), count.rows)]
            found += [("different ids in the list", len(set(cells)), count.unique)]
        for what, is_, published in found:
            slack = count.slack if what in ("records", "rows in the list") else 0
            if published and abs(is_ - published) > slack:
                shown = "the whole set" if part == "all" else f"{name}, {part}"
                lines.append(f"{shown}: {is_:,} {what}, published {published:,}")
    return lines


def hold_out(
    items: Iterable[Item], config: SourceConfig, rejects: Rejects, key: Callable[[str], str] = stem
) -> Iterator[Item]:
    """The items without those of split "train" whose patient has an image in ``config.held_out``.

    Raises:
      SourceError: no such file, or none of its images is here.
    """
    path = pathlib.Path(config.root, config.held_out)
    listed = set(map(key, read_list(path, config.encoding)))
    kept = list(items)
    patients = {i.patient_id or i.id for i in kept for f in i.images if key(f.name) in listed}
    if not patients:
        raise SourceError(f"config.held_out: no image of {path} is in {config.root}")
    for item in kept:
        if item.split == "train" and (item.patient_id or item.id) in patients:
            detail = f"{item.patient_id} is in {path.name}"
            rejects.refuse(item.where, "patient held out", detail, item.rows)
        else:
            yield item


def _phrases(items: Sequence[Item]) -> int:
    return len({(i.id, box.image, box.phrase) for i in items for box in i.boxes if box.phrase})
