"""Members of tar files by their place, so that one damaged member costs no other one.

``tarfile`` stops at the first header that it cannot read, and all that follows is lost. Here the
next whole header is looked for, and what lies between is reported by name, if one can be read.
"""

import dataclasses
import os
import pathlib
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from data_gen.sources.importing.base import ImageFile
from data_gen.sources.importing.masks import MaskFile
from medvlp_jax.core.files.opening import MAX_BYTES, FileError, open_regular, shown

_BLOCK = 512
_MAGIC, _MAGIC_AT = b"ustar", 257
_PIECE = 1 << 20
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_PAX_RECORD = re.compile(rb"\d+ (path|size)=([^\n]*)\n")
_META_BYTES = 1 << 20  # of a long name or an extended header


@dataclasses.dataclass(frozen=True)
class Member:
    """A whole member: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class Damage:
    """A member that is lost; ``name`` is "" where none can be read.

    ``end``: not a member but the rest of the archive, which stops without the zeros at its end.
    """

    name: str
    detail: str
    end: bool = False


@dataclasses.dataclass(frozen=True)
class TarImage(ImageFile):
    """An image in a tar: ``path`` is the tar."""

    member: str = ""
    offset: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        return f"{self.path}/{self.member}"

    def read(self) -> bytes:
        return read_range(self.path, self.offset, self.size, self.name)


@dataclasses.dataclass(frozen=True)
class TarMask(MaskFile):
    """A mask in a tar, as records hold them."""

    member: str = ""
    offset: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        return f"{self.path}/{self.member}"

    @property
    def stored(self) -> bool:
        return True

    def read(self) -> bytes:
        return read_range(self.path, self.offset, self.size, self.name)


def read_range(path: str | os.PathLike, offset: int, size: int, name: str) -> bytes:
    """Bytes of a part of a file, which messages call ``name``.

    Raises:
      FileError: the file is missing or special, too large a part, or shorter than that.
    """
    if size > MAX_BYTES:
        raise FileError(f"{shown(name)} has {size} bytes, more than the limit of {MAX_BYTES}")
    with open_regular(path) as stream:
        stream.seek(offset)
        data = stream.read(size)
    if len(data) < size:
        raise FileError(f"{shown(name)} is cut short: {len(data)} of {size} bytes")
    return data


def members(path: pathlib.Path) -> Iterator[Member | Damage]:
    """The regular members of an uncompressed tar, in order, and what is damaged.

    Raises:
      FileError: the file is missing or special.
    """
    with open_regular(path) as stream:
        yield from _Scan(stream, os.fstat(stream.fileno()).st_size).run()


class _Scan:
    """One pass over the headers of a tar."""

    def __init__(self, stream: BinaryIO, end: int) -> None:
        self._stream, self._end = stream, end
        self._name, self._size = "", -1  # of an extended header, for the next member

    def run(self) -> Iterator[Member | Damage]:
        at, last, ended = 0, None, False
        while at < self._end:
            header = self._header(at)
            if header is None:
                found = self._resume(at, last)
                if found is None:
                    ended = True
                    break
                at, damage, lost = found
                if last is not None and not lost:
                    yield last
                last = None
                if damage is not None:
                    yield damage
                continue
            data = at + _BLOCK
            size = self._size if self._size >= 0 and header.type in _REGULAR else header.size
            if self._extends(header, data):
                at = data + _padded(size)
                continue
            name, self._name, self._size = self._name or header.name, "", -1
            if last is not None:
                yield last
                last = None
            if data + size > self._end:
                yield Damage(name, f"cut short: {self._end - data} of {size} bytes are there")
                following = self._find(data)
                at = self._end if following is None else following
                continue
            if header.type in _REGULAR:
                last = Member(name, data, size)
            at = data + _padded(size)
        if last is not None:
            yield last
        if not ended and not self._closed():
            detail = f"the archive stops at byte {self._end} without its end; what followed is lost"
            yield Damage("", detail, end=True)

    def _closed(self) -> bool:
        """Whether the last two blocks are zeros, though a damaged member came before them."""
        start = self._end - 2 * _BLOCK
        return start >= 0 and self._zeros(start, self._end)

    def _header(self, at: int) -> tarfile.TarInfo | None:
        try:
            return tarfile.TarInfo.frombuf(self._read(at, _BLOCK), "utf-8", "replace")
        except (tarfile.HeaderError, ValueError):
            return None

    def _extends(self, header: tarfile.TarInfo, data: int) -> bool:
        """Whether a header only says the name or size of the next one, which is then kept."""
        if header.type not in (*_PAX, tarfile.GNUTYPE_LONGNAME):
            return False
        body = self._read(data, min(header.size, _META_BYTES))
        if header.type == tarfile.GNUTYPE_LONGNAME:
            self._name = body.rstrip(b"\0").decode("utf-8", "replace")
            return True
        for key, value in _PAX_RECORD.findall(body):
            if key == b"path":
                self._name = value.decode("utf-8", "replace")
            elif value.isdigit():
                self._size = int(value)
        return True

    def _resume(self, at: int, last: Member | None) -> tuple[int, Damage | None, bool] | None:
        """Where to go on behind what is no header at ``at``, what is damaged, and whether it is
        ``last``; None at the end of the archive, which is zeros."""
        within = self._find(last.offset) if last is not None else None
        if last is not None and within is not None and within < at:
            damage = Damage(last.name, f"{at - within} bytes of it are missing")
            return within, damage, True
        following = self._find(at)
        stop = self._end if following is None else following
        zeros = self._zeros(at, stop)
        if zeros and (following is None or stop - at >= 2 * _BLOCK):
            return None if following is None else (following, None, False)
        name = self._legible(at)
        self._name, self._size = "", -1
        detail = f"no readable header at byte {at}, {stop - at} bytes are skipped"
        return stop, Damage(name, detail), False

    def _find(self, at: int) -> int | None:
        """The next place from ``at`` on where a header stands, whole blocks or not."""
        overlap = _MAGIC_AT + len(_MAGIC)
        start = at
        while start < self._end:
            piece = self._read(start, _PIECE + overlap)
            place = piece.find(_MAGIC)
            while place >= 0:
                candidate = start + place - _MAGIC_AT
                if candidate >= at and self._header(candidate) is not None:
                    return candidate
                place = piece.find(_MAGIC, place + 1)
            start += _PIECE
        return None

    def _zeros(self, start: int, stop: int) -> bool:
        return all(
            not self._read(at, min(_PIECE, stop - at)).strip(b"\0")
            for at in range(start, stop, _PIECE)
        )

    def _legible(self, at: int) -> str:
        """The name in a damaged header, if there is one."""
        raw = self._read(at, 100).split(b"\0")[0].decode("utf-8", "replace")
        return raw if raw.isprintable() and "\ufffd" not in raw else ""

    def _read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
