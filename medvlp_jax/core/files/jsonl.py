"""JSON Lines: one JSON object a line, lines end in a newline byte and in nothing else.

``str.splitlines`` also cuts at U+2028, U+0085 and others, which JSON may hold unescaped; so these
files are always cut as bytes. A last line without its newline is what a crash leaves: no line, if
it is cut; an object that is cut is none.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.core.files.opening import read_bytes

_CHECK = "check"  # the key of a record's own digest


def line(record: Any) -> str:
    """One record as a line, newline included; plain ASCII, so that no character in it is cut at."""
    return json.dumps(record) + "\n"


def parse(raw: bytes) -> dict[str, Any]:
    """The object that one line holds.

    Raises:
      ValueError: no UTF-8, no JSON, no object, or a key twice.
    """
    record = json.loads(raw.decode(), object_pairs_hook=_distinct)
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__} where an object belongs")
    return record


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {twice!r} stands twice")
    return record


def text_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file in UTF-8, with or without a byte order mark; LF or CR LF ends one.

    Raises:
      UserError: no regular file, or no UTF-8.
    """
    with one_net(path, "give a text file in UTF-8"):
        text = read_bytes(path).decode("utf-8-sig")
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def tolerant(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """``(records, {line number: what is wrong with it})``; a broken line costs no other one.

    For a file that is appended to: a last line that was cut counts as not written. Blank lines are
    left out; line numbers count from 1.

    Raises:
      UserError: the file itself cannot be read.
    """
    records, broken, last = _read(path)
    broken.pop(last, None)
    return records, broken


def _read(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], dict[int, str], int]:
    """Records, broken lines, and the number of the line behind the last newline."""
    with one_net(path, "check the path and its permissions"):
        raw = read_bytes(path)
    records: list[dict[str, Any]] = []
    broken: dict[int, str] = {}
    lines = raw.split(b"\n")
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            records.append(parse(text))
        except (ValueError, RecursionError) as error:
            broken[number] = reason(error)
    return records, broken, len(lines)


def read(
    path: str | os.PathLike[str], mend: str, error: type[UserError] = UserError
) -> list[dict[str, Any]]:
    """The records of a file in which every line must be whole.

    Args:
      mend: what the user can do about a broken line, an imperative.

    Raises:
      UserError: (or ``error``) the file cannot be read, or a line of it, named by its number.
    """
    records, broken, _ = _read(path)
    for number, what in broken.items():
        raise error(f"{path}, line {number}, cannot be read ({what}); {mend}")
    return records


def resumed(
    path: str | os.PathLike[str], mend: str, error: type[UserError] = UserError
) -> list[dict[str, Any]]:
    """The records of a file that is appended to, so that more can follow; none without the file.

    A last line that a kill cut short is taken out of the file; one that lacks nothing but its end
    gets that.

    Raises:
      UserError: (or ``error``) as :func:`read`.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with one_net(path, "check the path and its permissions", error):
        raw = path.read_bytes()
        end = raw.rfind(b"\n") + 1
        if _is_whole(raw[end:]):
            with open(path, "ab") as f:
                f.write(b"\n")
        elif end < len(raw):
            os.truncate(path, end)
    return read(path, mend, error)


def _is_whole(text: bytes) -> bool:
    try:
        return bool(parse(text))
    except (ValueError, RecursionError):
        return False


def dump(records: Iterable[Any]) -> str:
    """The text of a whole file."""
    return "".join(map(line, records))


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a digest of itself under ``check``: a bit turned on disk can be told."""
    return record | {_CHECK: _digest(record)}


def unseal(record: dict[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`seal`; a record without ``check``, of older versions, passes as it is.

    Raises:
      ValueError: the record is not what was sealed.
    """
    inner = {key: value for key, value in record.items() if key != _CHECK}
    if _CHECK in record and record[_CHECK] != _digest(inner):
        raise ValueError("it differs from what was written (checksum)")
    return inner


def _digest(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
