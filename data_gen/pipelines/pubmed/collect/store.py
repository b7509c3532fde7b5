"""Directories of articles: each appears whole, by one rename, with a file that says whence it is.

A directory is filled in ``partial/`` and renamed into ``articles/``; what is taken away is renamed
out of it first. So whatever lies in ``articles/`` is whole, whenever the process was killed.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, BinaryIO

from data_gen.pipelines.pubmed.base import LicenceGroup
from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.items import CollectError, Item
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.opening import read_bytes

ARTICLES, PARTIAL = "articles", "partial"


@dataclasses.dataclass(frozen=True)
class Kept:
    """A file of an article: name, bytes, MD5, and whether somebody stated that MD5."""

    name: str
    bytes: int
    md5: str
    stated: bool


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Whence an article is.

    Attributes:
      id, version: "PMC123" and its version, 0 where none is known.
      licence, group: code and what it allows.
      source: address of its folder in the bucket, or path below the folder it was read from.
      retrieved: date of the run, YYYY-MM-DD.
      run: number of the run that fetched it.
      digest: of what told about it (metadata, archive), to see whether that changed.
      files: that are in the directory.
      refused: that are not, each with the reason.
      unwanted: how many were not asked for.
    """

    id: str
    version: int
    licence: str
    group: LicenceGroup
    source: str
    retrieved: str
    run: int
    digest: str
    files: tuple[Kept, ...] = ()
    refused: tuple[str, ...] = ()
    unwanted: int = 0

    @property
    def name(self) -> str:
        """Of the directory."""
        return f"{self.id}.{self.version}"

    def item(self, checked: str) -> Item:
        """What became of its id; ``checked`` is the date of the run that says so."""
        return Item(
            self.id,
            "fetched",
            name=self.name,
            version=self.version,
            licence=self.licence,
            group=self.group,
            files=len(self.files),
            bytes=sum(file.bytes for file in self.files),
            refused=self.refused,
            retrieved=self.retrieved,
            checked=checked,
        )


class Draft:
    """A directory that is being filled."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.files: list[Kept] = []
        self.refused: list[str] = []
        self.unwanted = 0

    @property
    def size(self) -> int:
        """Bytes of all files so far."""
        return sum(file.bytes for file in self.files)

    def has(self, name: str) -> bool:
        """Whether a file of that name is there, upper or lower case (some systems see none)."""
        return any(file.name.lower() == name.lower() for file in self.files)

    def add(self, name: str, data: bytes, stated: bool = False) -> None:
        """Writes a file, whose name was looked at before (:func:`names.flaw`)."""
        with self.open(name) as out:
            out.write(data)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.files.append(Kept(name, len(data), md5, stated))

    def open(self, name: str) -> BinaryIO:
        """Opens a new file; the caller adds it to ``files``."""
        return open(self.folder / name, "xb")

    def drop(self, name: str, reason: str) -> None:
        """Takes back a file that was begun, and notes why."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / name).unlink()
        self.refused.append(f"{names.shown(name)}: {reason}")


class Store:
    """The directories of articles of one folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.articles, self._partial = folder / ARTICLES, folder / PARTIAL

    def make(self) -> None:
        """Makes the folders."""
        self.articles.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(exist_ok=True)

    def clean(self) -> None:
        """Removes what killed processes left; only while no other process works in the folder."""
        shutil.rmtree(self._partial, ignore_errors=True)

    def present(self) -> set[str]:
        """Names of the directories that are there."""
        return {entry.name for entry in os.scandir(self.articles)}

    @contextlib.contextmanager
    def draft(self, name: str) -> Iterator[Draft]:
        """A directory to fill; gone at the end unless it was published."""
        folder = self._partial / f"{name}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield Draft(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Draft, provenance: Provenance) -> Provenance:
        """Puts a filled directory in its place, instead of what stood there."""
        whole = dataclasses.replace(
            provenance,
            files=tuple(sorted(draft.files, key=lambda file: file.name)),
            refused=tuple(draft.refused),
            unwanted=draft.unwanted,
        )
        text = json.dumps(dataclasses.asdict(whole), indent=1) + "\n"
        (draft.folder / names.PROVENANCE).write_text(text, encoding="utf-8")
        self.remove(whole.name)
        os.rename(draft.folder, self.articles / whole.name)
        return whole

    def remove(self, name: str) -> None:
        """Takes an article away; nothing happens without it."""
        gone = self._partial / f"{name}-gone-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            self._partial.mkdir(exist_ok=True)
            os.rename(self.articles / name, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def read(self, name: str) -> Provenance | None:
        """The provenance of an article, None without it.

        Raises:
          CollectError: it was changed and cannot be read.
        """
        return read_provenance(self.articles / name)


def read_provenance(directory: pathlib.Path) -> Provenance | None:
    """The provenance of an article's directory, None where there is no such directory.

    Raises:
      CollectError: it was changed and cannot be read.
    """
    path = directory / names.PROVENANCE
    if not directory.is_dir():
        return None
    mend = "delete its folder and collect into a new one"
    with one_net(path, mend, CollectError):
        values: dict[str, Any] = jsonl.parse(read_bytes(path))
        values["files"] = tuple(Kept(**file) for file in values["files"])
        values["refused"] = tuple(values["refused"])
        return Provenance(**values)
