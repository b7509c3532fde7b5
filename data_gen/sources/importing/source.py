"""An importer as the job sees it: its items under a named split, and their records."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from data_gen.sources.importing.base import (
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    only_images,
    wanted_view,
)
from data_gen.sources.importing.label_text import label_texts
from data_gen.sources.importing.load import load_item
from data_gen.sources.importing.masks import MaskRuns
from data_gen.sources.importing.splits import NamedSplit, assign, differences, hold_out, stem
from medvlp_jax.data.store.croissant import Origin
from medvlp_jax.data.store.record import Record, Text

_SHOWN = 4  # differences of counts in one message


@dataclasses.dataclass(frozen=True)
class Source:
    """An importer.

    Attributes:
      config: its config class.
      items: generates its studies.
      read_report: how it reads a report file, if it has any.
      splits: the published splits of the data set, by name.
      key: what identifies an item in list files, from its id and from a cell of the list.
      origin: licence and citation of the data set, as far as they are known.
    """

    config: type[SourceConfig]
    items: Callable[[Any, Rejects], Iterator[Item]]
    read_report: Callable[[pathlib.Path], tuple[Text, ...]] | None = None
    splits: Mapping[str, NamedSplit] = dataclasses.field(default_factory=dict)
    key: Callable[[str], str] = stem
    origin: Callable[[Any], Origin] = lambda config: Origin()

    def records(self, config: SourceConfig, rejects: Rejects | None = None) -> Iterator[Record]:
        """All records of the data set in one process; for a look, a test or a small set."""
        rejects = Rejects() if rejects is None else rejects
        for item in listed(self, config, rejects):
            record = load(self, item, config, rejects)
            if record is not None:
                yield record


def listed(source: Source, config: SourceConfig, rejects: Rejects) -> list[Item]:
    """The items to load: at most ``limit``, each id once (a second one is rejected).

    Each carries ``provenance["split_name"]``: the split asked for; or what the importer says, such
    as "official"; or "patients/seed N" if the patients were divided.

    Raises:
      SourceError: the split is unknown, or needs lists.
    """
    name = config.split_name
    if name and name not in source.splits and not config.split_lists:
        known = ", ".join(source.splits) or "none"
        raise SourceError(
            f"split {name!r} is unknown here (known: {known}); another one needs split_lists"
        )
    items = _usable(source.items(config, rejects), config, rejects)
    if name:
        items = assign(items, name, source.splits.get(name), config, rejects, source.key)
    if config.held_out:
        items = hold_out(items, config, rejects, source.key)
    default = {"split_name": f"patients/seed {config.split_seed}"}
    asked = {"split_name": name} if name else {}
    seen: dict[str, Item] = {}
    for item in items:
        if item.id in seen:
            detail = f"{item.id} is also {seen[item.id].where}"
            rejects.refuse(item.where, "duplicate id", detail, item.rows)
        elif config.limit and len(seen) >= config.limit:
            rejects.left_out["limit"] += item.rows
        else:
            provenance = default | item.provenance | asked
            texts = item.texts
            if config.texts_from_labels and not texts and item.report is None:
                texts = label_texts(item.id, item.labels)
            seen[item.id] = dataclasses.replace(item, texts=texts, provenance=provenance)
    return list(seen.values())


def _usable(items: Iterable[Item], config: SourceConfig, rejects: Rejects) -> Iterator[Item]:
    """The items with those images that have a wanted view and lie in the data set's folders."""
    folders = tuple(os.path.join(os.path.abspath(f), "") for f in config.folders())

    def inside(path: pathlib.Path, item: Item) -> bool:
        if os.path.abspath(path).startswith(folders):  # abspath also takes "x/.." out
            return True
        rejects.add(item.where, "path outside of the data set", str(path))
        return False

    for item in items:
        images = [image for image in item.images if wanted_view(image.view, config.views)]
        if config.views and not images:
            rejects.left_out["views"] += item.rows
            continue
        kept = [image for image in images if inside(image.path, item)]
        if images and not kept:
            rejects.lose(item.rows)
            continue
        item = only_images(item, kept)
        masks = tuple(m for m in item.masks if isinstance(m, MaskRuns) or inside(m.path, item))
        report = item.report if item.report is not None and inside(item.report, item) else None
        yield dataclasses.replace(item, masks=masks, report=report)


def check_counts(source: Source, config: SourceConfig, items: list[Item]) -> tuple[str, ...]:
    """What differs from the published counts, as warnings; nothing if only a part is imported.

    Raises:
      SourceError: a split was asked for by name and its counts differ.
    """
    if not items or not config.check_counts or _is_a_part(config):
        return ()
    name = items[0].provenance["split_name"]
    if name not in source.splits:
        name = "all"  # the size of the data set, whatever its split
    if name not in source.splits:
        return ()
    lines = differences(name, source.splits[name], config, items, source.key)
    if lines and config.split_name:
        more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise SourceError(
            f"split {'; '.join(lines[:_SHOWN])}{more}. Complete {config.root}, or set "
            "config.check_counts=False to import a part"
        )
    return tuple(lines)


def _is_a_part(config: SourceConfig) -> bool:
    return bool(config.limit or config.views or config.held_out)


def load(source: Source, item: Item, config: SourceConfig, rejects: Rejects) -> Record | None:
    """The record of an item; see :func:`data_gen.sources.importing.load.load_item`."""
    before = len(rejects)
    record = load_item(item, config, rejects, source.read_report)
    if record is None:
        if len(rejects) == before:
            rejects.add(item.where, "no record", f"study {item.id}")
        rejects.lose(item.rows)
    return record
