"""Articles that lie on disk: archives of the old ``oa_package``, or JATS files with their images.

They go the same way as those of the bucket: one status for each, the same directories, the same
rules for licence and retraction. Where no table says the licence it is read in the JATS.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.article import (
    Run,
    against,
    is_wanted,
    judged,
    made_by,
    unavailable,
)
from data_gen.pipelines.pubmed.collect.choice import Wanted
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.disk import archive, beside
from data_gen.pipelines.pubmed.collect.disk.archive import Package, Part
from data_gen.pipelines.pubmed.collect.disk.file_list import Listed
from data_gen.pipelines.pubmed.collect.items import CollectError, Item
from data_gen.pipelines.pubmed.collect.licences import group_of, normal_code
from data_gen.pipelines.pubmed.collect.runs import Entry
from data_gen.pipelines.pubmed.collect.store import Draft, Provenance, Store
from data_gen.pipelines.pubmed.jats.article import read_article
from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.core.files.opening import open_regular, read_bytes

_HEAD = 1 << 17  # bytes of a JATS file in which its root and its ids stand
_ROOT = re.compile(rb"<(?:[A-Za-z0-9]+:)?article[\s>]")
_ID = re.compile(
    rb"<article-id[^>]*pub-id-type\s*=\s*[\"'](?:pmc|pmcid|pmcaid)[\"'][^>]*>\s*(?:PMC)?(\d{1,12})\s*<"
)


def listed(config: CollectConfig) -> tuple[list[Entry], dict[str, Any]]:
    """Every article of the folder by its path, and how many files are none.

    Raises:
      CollectError: there is no such folder, or a path cannot stand in a list.
    """
    root = pathlib.Path(config.path or ".")
    if not config.path or not root.is_dir():
        raise CollectError(
            f"config.path={config.path!r} is no folder; give the one of the articles"
        )
    entries, others = [], 0
    for path in _files(root):
        place = path.relative_to(root).as_posix()
        if not place.isprintable() or not _is_utf8(place):
            raise CollectError(f"{names.shown(place)} has a name that cannot be listed; rename it")
        name = path.name.lower()
        if config.source == "archives" and name.endswith(archive.ENDINGS):
            entries.append(Entry(_id_of(place, b""), place))
        elif config.source == "folder" and names.ending(name) in ("xml", "nxml"):
            head = _head(path)
            if head is None or _ROOT.search(head):
                entries.append(Entry(_id_of(place, head or b""), place))
            else:
                others += 1
    entries.sort(key=lambda entry: (entry.id, entry.path))
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        if entry.id in seen:
            entries[i] = Entry.duplicate(entry.id, entry.path)
        seen.add(entry.id)
    if config.limit:
        entries = entries[-config.limit :]
    return entries, {"other_xml": others}


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder, inner, files in os.walk(root):
        inner.sort()
        yield from (pathlib.Path(folder, name) for name in sorted(files))


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _head(path: pathlib.Path) -> bytes | None:
    """The beginning of a file; None where it cannot be read, which its status will say."""
    try:
        with open_regular(path) as stream:
            return stream.read(_HEAD)
    except UserError:
        return None


def _id_of(place: str, head: bytes) -> str:
    """The PMCID in the text or the name of the file, else a name made of its path."""
    if match := _ID.search(head):
        return f"PMC{int(match[1])}"
    if match := re.search(r"PMC(\d{1,12})(?!.*PMC\d)", place):
        return f"PMC{int(match[1])}"
    plain = re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"\.(tar|n?xml|zip|t?gz)\b", "", place)).strip("_")
    if len(plain) > 100 or not plain:
        plain = f"{plain[:80]}_{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    return plain


def take(
    run: Run,
    store: Store,
    present: Sequence[str],
    entry: Entry,
    previous: Item | None,
    table: Listed,
) -> Item:
    """Brings one article up to date and says what became of it; as :func:`article.fetch`.

    Args:
      table: what is said of archives.
    """
    if entry.is_duplicate:
        return Item(entry.id, "skipped", "duplicate: another file has that id", checked=run.date)
    path = pathlib.Path(run.config.path, entry.path)
    held = previous.name if previous is not None and previous.status == "fetched" else ""
    item = made_by(run, store, present)
    if item is None:
        if not entry.path or not path.exists():
            item = unavailable(entry.id, "absent: its file is gone", previous, run)
        else:
            try:
                item = _take(run, store, entry, path, previous, table)
            except UserError as error:
                item = Item(entry.id, "failed", f"refused: {error}", checked=run.date)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                words = f"refused: {names.shown(entry.path)}: {reason(error)}"
                item = Item(entry.id, "failed", words, checked=run.date)
    if held and held != item.name:
        store.remove(held)
    return item


def _take(
    run: Run,
    store: Store,
    entry: Entry,
    path: pathlib.Path,
    previous: Item | None,
    table: Listed,
) -> Item:
    config = run.config
    said = None
    with store.draft(entry.id) as draft, contextlib.ExitStack() as stack:
        if config.source == "archives":
            said = table.get(entry.path)
            scratch = draft.folder.with_suffix(".tar")
            package = stack.enter_context(archive.opened(path, config.limits, scratch))
            xml = package.xml.read()
            text = read_article(xml, entry.path)
        else:
            xml = read_bytes(path, config.limits.xml)
            text = read_article(xml, entry.path)
            hrefs = [href for figure in text.figures for href in figure.graphics]
            package = beside.gathered(path, hrefs, config.limits)
        licence = normal_code(said.licence if said is not None else text.licence.code)
        about = Provenance(
            entry.id,
            _version(path),
            licence,
            group_of(licence),
            entry.path,
            run.date,
            run.number,
            _digest(package, xml, licence),
        )
        if why := against(config, said is not None and said.retracted, licence, False):
            return _about(unavailable(entry.id, why, previous, run), about)
        there = store.read(about.name)
        if there is not None and there.digest == about.digest:
            return there.item(run.date)
        draft.add(f"{about.name}.xml", xml)
        draft.refused += package.refused
        wanted = judged(run, about.name, xml)
        if isinstance(wanted, Item):
            return _about(wanted, about)
        _media(config, draft, package, wanted)
        return store.publish(draft, about).item(run.date)


def _about(item: Item, about: Provenance) -> Item:
    return dataclasses.replace(
        item, id=about.id, version=about.version, licence=about.licence, group=about.group
    )


def _version(path: pathlib.Path) -> int:
    match = re.fullmatch(r"PMC\d+\.(\d{1,6})", names.stem(path.name))
    return int(match[1]) if match else 0


def _digest(package: Package, xml: bytes, licence: str) -> str:
    sizes = [(part.name, part.size) for part in package.media]
    return hashlib.md5(xml + repr((sizes, licence)).encode(), usedforsecurity=False).hexdigest()


def _media(config: CollectConfig, draft: Draft, package: Package, wanted: Wanted) -> None:
    limits = config.limits
    every = {part.name for part in package.media}
    for part in package.media:
        if not is_wanted(config, wanted, part.name) or _is_thumbnail(part, every):
            draft.unwanted += 1
        elif len(draft.files) >= limits.files or draft.size + part.size > limits.article:
            draft.refused.append(f"{names.shown(part.name)}: the article has too much already")
        elif draft.has(part.name):
            draft.refused.append(f"{names.shown(part.name)}: a second file of that name")
        else:
            try:
                draft.add(part.name, part.read())
            except UserError as error:
                draft.drop(part.name, str(error))


def _is_thumbnail(part: Part, every: set[str]) -> bool:
    """The old packages have a small GIF beside the JPEG of each figure."""
    same = names.stem(part.name)
    return names.ending(part.name) == "gif" and bool({f"{same}.jpg", f"{same}.jpeg"} & every)
