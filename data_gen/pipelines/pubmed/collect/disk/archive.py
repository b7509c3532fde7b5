"""One article in an archive of strangers: looked at member by member, nothing is unpacked by name.

An archive may be a bomb, name places outside of its folder, hold links and devices. It is unpacked
into one scratch file of bounded size, and members are read from there by their place, so no name of
a member ever becomes a path; what is wrong with one member costs that member alone.
"""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.config import Limits
from data_gen.pipelines.pubmed.collect.items import CollectError
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import open_regular

#: Endings of archives that are read.
ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
_PIECE = 1 << 20
#: Bytes that every archive may hold, however small it is: text shrinks to a hundredth.
_ALWAYS = 16 << 20
_NAME_BYTES = 1 << 16  # of a long name or an extended header; real ones have hundreds
_MEND = "download it again, or leave it out"


class ArchiveError(CollectError):
    """A whole archive is refused; one line that names it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A file within a package: its plain name, its size in bytes, and how it is read."""

    name: str
    size: int
    read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Package:
    """An article on disk.

    Attributes:
      xml: the JATS.
      media: the other files that can be had, by name.
      refused: those that cannot, one line each that names file and member.
    """

    xml: Part
    media: tuple[Part, ...]
    refused: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Member:
    """What an archive says of a member; ``kind`` is "" for a regular file, or what it is."""

    path: str
    size: int
    kind: str
    read: Callable[[], bytes]


@contextlib.contextmanager
def opened(path: pathlib.Path, limits: Limits, scratch: pathlib.Path) -> Iterator[Package]:
    """The article in an archive of ``oa_package``, which can be read until the context ends.

    Args:
      path: ``tar.gz``, ``tar`` or ``zip``.
      limits: see there.
      scratch: a path that may be written to for the time being.

    Raises:
      ArchiveError: it is damaged, a bomb, or holds no article or several.
    """
    with contextlib.ExitStack() as stack:
        with one_net(path, _MEND, ArchiveError):
            if path.name.lower().endswith(".zip"):
                members = _zip(path, limits, stack)
            else:
                members = _tar(path, limits, scratch, stack)
            package = _sorted(path, members, limits)
        yield package


def _sorted(path: pathlib.Path, members: Iterable[_Member], limits: Limits) -> Package:
    texts: list[Part] = []
    media: dict[str, Part] = {}
    refused: list[str] = []
    for number, member in enumerate(members):
        if number >= 10 * limits.files:
            raise ArchiveError(f"{path} has more than {10 * limits.files} members; {_MEND}")
        if member.kind == "folder":
            continue
        name, why = _placed(member)
        limit = limits.xml if names.ending(name) in ("xml", "nxml") else limits.file
        if not why and member.size > limit:
            why = f"{member.size} bytes, more than the limit of {limit}"
        if not why and (name in media or any(text.name == name for text in texts)):
            why = "a second file of that name"
        if why:
            refused.append(f"{names.shown(path.name)}: {names.shown(member.path)}: {why}")
            continue
        part = Part(name, member.size, member.read)
        if names.ending(name) == "nxml":
            texts.append(part)
        else:
            media[name] = part
    if not texts:  # newer packages and other services call it .xml
        texts = [media.pop(n) for n in list(media) if names.ending(n) == "xml"]
    if len(texts) != 1:
        more = f" ({refused[0]})" if refused else ""
        raise ArchiveError(f"{path} holds {len(texts) or 'no'} JATS files, not one{more}; {_MEND}")
    every = tuple(media[name] for name in sorted(media))
    return Package(texts[0], every, tuple(refused))


def _placed(member: _Member) -> tuple[str, str]:
    """The plain name of a member, and why it is refused or ""."""
    parts = [part for part in re.split(r"[/\\]", member.path) if part not in ("", ".")]
    name = parts[-1] if parts else ""
    if member.kind:
        return name, member.kind
    if why := names.path_flaw(member.path):
        return name, why
    return name, "in a folder below the article's" if len(parts) > 2 else ""


def _tar(
    path: pathlib.Path, limits: Limits, scratch: pathlib.Path, stack: contextlib.ExitStack
) -> Iterator[_Member]:
    stream: BinaryIO = stack.enter_context(open_regular(path))
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if packed:
        size = os.fstat(stream.fileno()).st_size
        stack.callback(scratch.unlink, missing_ok=True)
        plain = stack.enter_context(scratch.open("w+b"))
        with gzip.GzipFile(fileobj=stream) as unpacked:
            _copy(path, unpacked, plain, size, limits)
        stream = plain
        stream.seek(0)
    return _tar_members(path, stream)


def _copy(
    path: pathlib.Path, source: gzip.GzipFile, to: BinaryIO, size: int, limits: Limits
) -> None:
    """Unpacks, as far as an archive of ``size`` bytes may."""
    budget = min(limits.archive, max(_ALWAYS, int(limits.ratio * size)))
    while piece := source.read(_PIECE):
        budget -= len(piece)
        if budget < 0:
            raise ArchiveError(
                f"{path} is refused: unpacked it has more than {to.tell()} bytes, {size} packed, "
                f"which looks like a bomb; raise config.limits if it is none"
            )
        to.write(piece)


class _Guarded:
    """A file for ``tarfile``, which reads a header's long name at once, however long it says."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _NAME_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


def _tar_members(path: pathlib.Path, stream: BinaryIO) -> Iterator[_Member]:
    end = os.fstat(stream.fileno()).st_size

    def reader(offset: int, size: int) -> Callable[[], bytes]:
        def read() -> bytes:
            stream.seek(offset)
            return stream.read(size)

        return read

    archive = tarfile.TarFile(fileobj=_Guarded(stream), mode="r")  # pyright: ignore
    while (info := archive.next()) is not None:
        if info.isreg() and info.offset_data + info.size > end:
            raise ArchiveError(f"{path} is cut short in {names.shown(info.name)}; {_MEND}")
        yield _Member(info.name, info.size, _kind(info), reader(info.offset_data, info.size))
    # tarfile takes a header that it cannot read for the end, which is two blocks of zeros.
    stream.seek(archive.offset)  # pyright: ignore
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise ArchiveError(f"{path} is damaged at byte {archive.offset}; {_MEND}")  # pyright: ignore


def _kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return f"a link to {names.shown(info.linkname)}"
    if info.ischr() or info.isblk():
        return "a device"
    if info.isfifo():
        return "a named pipe"
    if info.sparse is not None or info.type == tarfile.GNUTYPE_SPARSE:
        return "a sparse file"
    return "" if info.isreg() else "of an unknown kind"


def _zip(path: pathlib.Path, limits: Limits, stack: contextlib.ExitStack) -> Iterator[_Member]:
    stream = stack.enter_context(open_regular(path))
    size = os.fstat(stream.fileno()).st_size
    archive = stack.enter_context(zipfile.ZipFile(stream))
    budget = min(limits.archive, max(_ALWAYS, int(limits.ratio * size)))
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > budget:
        raise ArchiveError(
            f"{path} is refused: its members have more than {budget} bytes, {size} packed, which "
            "looks like a bomb; raise config.limits if it is none"
        )

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            # A member may hold more than it says; one byte more tells.
            with one_net(f"{path}: {names.shown(info.filename)}", _MEND, ArchiveError):
                with archive.open(info) as member:
                    data = member.read(info.file_size + 1)
                if len(data) != info.file_size:
                    raise ArchiveError(
                        f"{path}: {names.shown(info.filename)} is not of the size it says; {_MEND}"
                    )
                return data

        return read

    for info in infos:
        yield _Member(info.filename, info.file_size, _zip_kind(info), reader(info))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return "folder"
    kind = (info.external_attr >> 16) & 0o170000
    if kind == 0o120000:
        return "a link"
    if kind not in (0, 0o100000):
        return "a device or pipe"
    return "encrypted" if info.flag_bits & 1 else ""
