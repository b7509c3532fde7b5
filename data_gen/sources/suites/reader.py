"""A set of the suite as items: one reader for tables, folders and names of files."""

import ast
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.suites.layouts import LAYOUTS, SPLITS, Column, Layout
from data_gen.sources.tables.encoding import has_bad_bytes
from data_gen.sources.tables.reader import Row, Table, find_or_none
from medvlp_jax.core.config import unknown_word
from medvlp_jax.core.fields import Fraction
from medvlp_jax.eval.suites import unimed
from medvlp_jax.eval.suites.base import SuiteSet

SETS = {one.name: one for one in unimed.SETS}
_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".bmp")


def _published(one: SuiteSet) -> NamedSplit:
    positives = dict(zip(one.classes, one.per_class, strict=False))
    count = Count(records=one.test, positives=positives)
    return NamedSplit("UniMed-CLIP (Khattak et al. 2024) and the set's publishers", "own",
                      {"test": count})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SuiteConfig(SourceConfig):
    """The keys of every importer, and these.

    Attributes:
      set: which set, e.g. ``acl_mri``; see ``medvlp_jax.eval.suites.unimed``.
      table: its table, or the folder of its images, relative to ``root``; empty looks for the
        published name. It becomes split ``test``, unless it has a column that says the split.
      image, label, split: columns of the table; empty takes the published names or places.
      images: folder that the paths of the table begin in, relative to ``root``; empty tries those
        of the published layout.
      split_fractions: of the images where the set has one split alone; by default all are ``test``.
    """

    name: str = "suite"
    set: str = ""
    table: str = ""
    image: str = ""
    label: str = ""
    split: str = ""
    images: str = ""
    split_fractions: dict[str, Fraction] = dataclasses.field(default_factory=lambda: {"test": 1.0})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.set not in LAYOUTS:
            raise ValueError(unknown_word("set", self.set, LAYOUTS, "set of the suite"))


def items(config: SuiteConfig, rejects: Rejects) -> Iterator[Item]:
    """One item an image, with every class of the set as a label: 1 of its own, 0 of the others."""
    layout, one = _layout(config), SETS[config.set]
    root = pathlib.Path(config.root)
    tables = {split: find_or_none(root, patterns) for split, patterns in layout.tables.items()}
    if config.table:
        split = "" if layout.split else "test"
        tables = {split: root / config.table}
    needed = "" if "" in tables else "test"
    if tables[needed] is None:
        wanted = " or ".join(layout.tables[needed])
        raise SourceError(
            f"{root} has no {wanted}, by which {config.set} is known; check config.root, or set "
            "config.table"
        )
    read = {"table": _table, "one_hot": _table, "folders": _folders, "names": _names}[layout.kind]
    found: dict[str, int] = {}
    alone = [path for path in tables.values() if path is not None]
    for split, path in tables.items():
        if path is None:
            continue
        for item, name in read(config, layout, path, rejects):
            place = item.split or split
            if len(alone) == 1 and place == "test":
                place = patient_split(item.id, config.split_fractions, config.split_seed)
            labels = {c: int(c == name) for c in one.classes}
            found[name] = found.get(name, 0) + 1
            image = dataclasses.replace(item.images[0], modality=one.modality)
            yield dataclasses.replace(
                item,
                id=f"{place}/{item.id}",
                split=place,
                labels=labels,
                images=(image,),
                provenance={"source": config.set, "split_name": config.set},
            )
    missing = [c for c in one.classes if c not in found]
    if missing and found:
        spelled = "; ".join(f"{c} (as {' or '.join(layout.spelled[c][:-1])})" for c in missing)
        rejects.note(f"{config.set} has no image of {len(missing)} of its classes: {spelled}")


def _layout(config: SuiteConfig) -> Layout:
    """The published layout with the columns of the config."""
    layout = LAYOUTS[config.set]
    own = {key: getattr(config, key) for key in ("image", "label", "split") if getattr(config, key)}
    images = (config.images,) if config.images else layout.images
    return dataclasses.replace(layout, images=images, **own)


def _class(cell: str, layout: Layout) -> str | None:
    """The class that a cell, a folder or a part of a name spells; a list of one counts as it."""
    word = cell.strip()
    if word.startswith("["):
        try:
            listed = ast.literal_eval(word)
        except (ValueError, SyntaxError):
            return None
        if not isinstance(listed, list) or len(listed) != 1:
            return None
        word = str(listed[0])
    word = re.sub(r"^(\d+)\.0+$", r"\1", word.strip()).lower()
    for name, spellings in layout.spelled.items():
        if word in (s.lower() for s in spellings):
            return name
    return None


def _table(
    config: SuiteConfig, layout: Layout, path: pathlib.Path, rejects: Rejects
) -> Iterator[tuple[Item, str]]:
    """``(item, class)`` of the rows of a table."""
    table = Table(path, config, rejects, records=True)
    one_hot = layout.kind == "one_hot"
    image = _column(table, layout.image, "image")
    label = "" if one_hot else _column(table, layout.label, "label")
    classes = [layout.spelled[c][0] for c in layout.spelled] if one_hot else []
    hot = {c: _anyhow(table, c) for c in classes}
    split = ""
    if layout.split:
        split = _anyhow(table, layout.split)
        table.require((split,), "config.split")
    rows: Iterator[tuple[int, Row]] = iter(table)
    if label and _class(label, layout) is not None and pathlib.Path(image).suffix:
        # BACH's table has no header: what stands in its place is the first image.
        rejects.rows += 1
        rejects.note(f"{path.name} has no header; its first line is an image too")
        yield from _row(config, layout, {image: image, label: label}, table.where(1),
                        image, label, "", {}, rejects)  # fmt: skip
    for number, row in rows:
        yield from _row(config, layout, row, table.where(number), image, label, split, hot, rejects)


def _row(
    config: SuiteConfig, layout: Layout, row: Row, where: str, image: str, label: str, split: str,
    hot: dict[str, str], rejects: Rejects,
) -> Iterator[tuple[Item, str]]:  # fmt: skip
    cell = row[image]
    if not cell:
        rejects.refuse(where, "no image", f"column {image!r} is empty")
        return
    place = ""
    if split:
        place = SPLITS.get(row[split].lower(), "")
        if not place:
            rejects.refuse(where, "no split", f"column {split!r} is {row[split]!r}")
            return
    if hot:
        ones = [c for c, column in hot.items() if row[column] in ("1", "1.0")]
        if len(ones) != 1:
            said = ", ".join(ones) or "none"
            rejects.refuse(where, "not one class", f"{cell} has {said} of {', '.join(hot)}")
            return
        spelled = ones[0]
    else:
        spelled = row[label]
    name = _class(spelled, layout)
    if name is None:
        if spelled.lower() in (d.lower() for d in layout.dropped):
            rejects.left_out["set"] += 1
            return
        rejects.refuse(where, "unknown class", f"column {label!r} is {spelled!r}")
        return
    yield _item(cell, where, _resolve(config, layout, cell, spelled), place), name


def _resolve(config: SuiteConfig, layout: Layout, cell: str, label: str) -> pathlib.Path:
    """The file of a path cell: below the root, or below a folder of the published layout."""
    root = pathlib.Path(config.root)
    cell = cell.replace("\\", "/").lstrip("/") if not os.path.isabs(cell) else cell
    folders = [f.format(label=label) for f in layout.images or (".",)]
    places = [root / folder / cell for folder in folders]
    places += [root / folder / pathlib.Path(cell).name for folder in folders]
    if config.set == "chexpert_5x200":  # paths begin with the name of a copy's top folder
        places += [root / re.sub(r"^[^/]*CheXpert[^/]*/", "", cell)]
    return next((p for p in places if p.exists()), places[0])


def _column(table: Table, column: Column, key: str) -> str:
    """A column by its name or place, which the table then has."""
    if isinstance(column, int):
        if column >= len(table.columns):
            raise SourceError(
                f"{table.path} has {len(table.columns)} columns, and column {column} (from 0) is "
                f"that of the {key}; set config.{key}"
            )
        return table.columns[column]
    table.require((column,), f"config.{key}")
    return column


def _anyhow(table: Table, column: str) -> str:
    """The header's spelling of a column, whatever its case."""
    same = [c for c in table.columns if c.lower() == column.lower()]
    if not same:
        table.require((column,))
    return same[0] if same else column


def _folders(
    config: SuiteConfig, layout: Layout, path: pathlib.Path, rejects: Rejects
) -> Iterator[tuple[Item, str]]:
    """``(item, class)`` of the images of a folder a class."""
    parents = [path]
    if path.name.endswith("_image_sets"):  # LC25000 has one folder for lung and one for colon
        parents = sorted(p for p in path.parent.glob("*_image_sets") if p.is_dir())
    for parent in parents:
        for folder in sorted(p for p in parent.iterdir() if p.is_dir()):
            name = _class(folder.name, layout)
            files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES)
            rejects.rows += len(files)
            if name is None and folder.name.lower() in (d.lower() for d in layout.dropped):
                rejects.left_out["set"] += len(files)
            elif name is None and files:
                detail = f"{len(files)} images of {folder.name!r}"
                rejects.refuse(f"{parent.name}/{folder.name}", "unknown class", detail, len(files))
            for file in files if name is not None else ():
                where = f"{folder.name}/{file.name}"
                if has_bad_bytes(file.name):
                    rejects.refuse(where, "bad path", "its name is not UTF-8; rename the file")
                    continue
                yield _item(f"{folder.name}/{file.name}", where, file, ""), str(name)


def _names(
    config: SuiteConfig, layout: Layout, path: pathlib.Path, rejects: Rejects
) -> Iterator[tuple[Item, str]]:
    """``(item, class)`` of images named ``<id>_<class>.png``."""
    for file in sorted(p for p in path.iterdir() if p.suffix.lower() in _IMAGES):
        rejects.rows += 1
        if has_bad_bytes(file.name):
            rejects.refuse(file.name, "bad path", "its name is not UTF-8; rename the file")
            continue
        name = _class(file.stem.rpartition("_")[2], layout)
        if name is None:
            rejects.refuse(file.name, "unknown class", "a name is <id>_<class>.png")
            continue
        yield _item(file.name, file.name, file, ""), name


def _item(name: str, where: str, file: pathlib.Path, split: str) -> Item:
    """An image before its labels are known; its id is its path without the ending."""
    path = pathlib.PurePosixPath(name.replace("\\", "/").strip("/"))
    key = str(path.with_suffix("") if path.suffix.lower() in _IMAGES else path)
    return Item(id=key, where=where, images=(ImageFile(file),), split=split)


SOURCE = Source(SuiteConfig, items, splits={name: _published(one) for name, one in SETS.items()})
