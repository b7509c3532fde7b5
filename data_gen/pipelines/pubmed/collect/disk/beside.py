"""One article that lies in a folder: the JATS, and the images that it names beside it."""

import os
import pathlib
import re
import stat
from collections.abc import Iterable

from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.config import Limits
from data_gen.pipelines.pubmed.collect.disk.archive import Package, Part
from medvlp_jax.core.errors import reason
from medvlp_jax.core.files.opening import read_bytes


def gathered(path: pathlib.Path, hrefs: Iterable[str], limits: Limits) -> Package:
    """The article of a JATS file with the files that its graphics name.

    Only the folder of the JATS file is looked into: an href with a path that leaves it, a link, a
    device or a pipe is refused by one line, and so is one that names nothing.

    Args:
      path: of the JATS.
      hrefs: as they stand in it, in order.
      limits: see there.
    """
    media: dict[str, Part] = {}
    refused: list[str] = []
    entries = sorted(os.scandir(path.parent), key=lambda entry: entry.name)
    for href in dict.fromkeys(hrefs):
        if re.match(r"[a-z][a-z0-9+.-]*:", href, re.I):  # an address elsewhere
            continue
        where = f"{names.shown(path.name)}: {names.shown(href)}"
        if why := names.path_flaw(href):
            refused.append(f"{where}: {why}")
            continue
        meant = [
            entry
            for entry in entries
            if entry.name != path.name and names.names_graphic(href, entry.name)
        ]
        if not meant:
            refused.append(f"{where}: no file of that name")
        for entry in meant:
            if why := _flaw(entry, limits):
                refused.append(f"{where}: {why}")
            else:
                media[entry.name] = _part(pathlib.Path(entry.path), limits.file)
    xml = _part(path, limits.xml)
    return Package(xml, tuple(media[name] for name in sorted(media)), tuple(refused))


def _flaw(entry: os.DirEntry[str], limits: Limits) -> str:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        return reason(error)
    if stat.S_ISLNK(found.st_mode):
        return "a link"
    if not stat.S_ISREG(found.st_mode):
        return "no regular file"
    if found.st_size > limits.file:
        return f"{found.st_size} bytes, more than the limit of {limits.file}"
    return names.flaw(entry.name)


def _part(path: pathlib.Path, limit: int) -> Part:
    return Part(path.name, path.stat().st_size, lambda: read_bytes(path, limit))
