"""Text files of others: compressed or not, in whatever encoding, as physical lines.

The encoding is the byte order mark's, else UTF-8 where all of the file (or any of its lines beyond
ASCII) is UTF-8, else UTF-16 where every other byte is 0, else Windows-1252 where what comes out
reads as a Western European language. Anything else is asked for: a guess that is wrong spoils
every text without a trace (of six short Spanish, German and French tables in Windows-1252, the
detection of charset-normalizer 3.5 took two for Big5 and four for Windows-1250).
"""

import codecs
import contextlib
import dataclasses
import gzip
import io
import pathlib
import re
from collections.abc import Iterator
from typing import IO, cast

from data_gen.sources.importing.errors import SourceError
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import open_regular

#: Characters of one physical line; a line of more is no table.
MAX_LINE = 1 << 24
_MARK = "\udcff"  # stands for bytes that are not of the encoding; no text holds it
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"(\xb5/\xfd", "compressed by zstd"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format", "an SQLite database"),
)
#: Windows-1252 beyond ASCII that Western European words and measurements use.
_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿŒœŠšŽžŸ"
_SIGNS = "\xa0¡£§©ª«®°±²³´µ·¹º»¼½¾¿×÷€‚„…†‡‰‘’“”•–—™"
_FOREIGN = re.compile(
    f"[^\x00-\x7f{_LETTERS}{_SIGNS}]|[{_LETTERS}]{{3}}|[A-Za-z][£§©«®°±²³¹º»¼½¾¿×÷¡][a-z]"
)


def _mark(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return _MARK, max(error.end, error.start + 1)
    raise error


codecs.register_error("mark-bad-bytes", _mark)


def has_bad_bytes(text: str) -> bool:
    """Whether bytes of ``text``'s file were not of its encoding, or it holds half a character."""
    return any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else False


@contextlib.contextmanager
def open_bytes(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked if it is gzip by its first bytes, whatever its name says.

    Raises:
      SourceError: another kind of file, named; FileError: no regular file, or none at all.
    """
    with open_regular(path) as stream:
        head = stream.read(16)
        stream.seek(0)
        for magic, kind in _OTHER:
            if head.startswith(magic):
                raise SourceError(f"{path} is {kind}, no text; save it as CSV in UTF-8 beside it")
        if not head.startswith(b"\x1f\x8b"):
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield cast("IO[bytes]", unpacked)  # it is one in all but its declared type


def find_encoding(path: pathlib.Path, asked: str = "") -> str:
    """The name of the file's encoding: the one asked for, or as the module's docstring says.

    Raises:
      SourceError: it cannot be told, or the file is no text or damaged.
    """
    if asked:
        return "utf-8-sig" if codecs.lookup(asked).name == "utf-8" else asked
    with one_net(path, "download it again", SourceError), open_bytes(path) as stream:
        head = stream.read(4096)
        for mark, name in _BOMS:
            if head.startswith(mark):
                return name
        if name := _wide(head):
            return name
        if head.count(0) > len(head) // 8:
            raise SourceError(f"{path} is binary, no text; download it again")
        lines = io.BytesIO(head + stream.readline(MAX_LINE))  # whole lines
        foreign = 0
        bad: list[bytes] = []
        while line := lines.readline(MAX_LINE) or stream.readline(MAX_LINE):
            if len(line) >= MAX_LINE:
                raise SourceError(f"{path} has a line of more than {MAX_LINE} bytes: no table")
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                bad.append(line)
            else:
                foreign += 1
    if not bad or foreign:
        return "utf-8"
    for line in bad:
        text = line.decode("cp1252", "replace")
        if "\ufffd" in text or _FOREIGN.search(text):
            raise SourceError(
                f"{path} is not UTF-8, and no Western European text either; set config.encoding "
                "to what it was saved in (cp1250, cp1251, gb18030, shift_jis, ...)"
            )
    return "cp1252"


def _wide(head: bytes) -> str:
    """UTF-16 without a byte order mark: of text that is mostly Latin, every other byte is 0."""
    half = max(1, len(head) // 2)
    low, high = head[0::2].count(0) / half, head[1::2].count(0) / half
    if high > 0.7 and low < 0.1:
        return "utf-16-le"
    return "utf-16-be" if low > 0.7 and high < 0.1 else ""


def physical_lines(path: pathlib.Path, encoding: str) -> Iterator[str]:
    """The lines of a text file with their ends (LF, CR LF or CR); no other character ends a line.

    Bytes that are not of the encoding become one character that :func:`has_bad_bytes` finds.

    Raises:
      SourceError: the file is damaged, or a line is longer than ``MAX_LINE``.
    """
    place = _Place(path)
    with one_net(place, "download it again", SourceError), open_bytes(path) as stream:
        text = io.TextIOWrapper(stream, encoding, "mark-bad-bytes", newline="")
        while line := text.readline(MAX_LINE):
            place.line += 1
            if len(line) >= MAX_LINE:
                raise SourceError(f"{place} has more than {MAX_LINE} characters: no table")
            yield line


@dataclasses.dataclass
class _Place:
    """Where a reader is, as messages name it."""

    path: pathlib.Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}, after line {self.line}," if self.line else str(self.path)


def text_lines(path: pathlib.Path, encoding: str = "") -> list[str]:
    """The lines of a list of names, their ends taken off; see :func:`physical_lines`.

    Raises:
      SourceError: the file is damaged, no text, or holds bytes that are not of its encoding.
    """
    lines = [line.rstrip("\r\n") for line in physical_lines(path, find_encoding(path, encoding))]
    for number, line in enumerate(lines, 1):
        if has_bad_bytes(line) or "\0" in line:
            raise SourceError(
                f"{path} line {number} holds bytes that are no text; save it as UTF-8, or set "
                "config.encoding"
            )
    if lines and lines[0].lstrip().lower().startswith(("<!doctype", "<html", "<?xml")):
        raise SourceError(f"{path} is a web page, no list; log in and download it again")
    return lines
