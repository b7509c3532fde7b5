"""Opening files that others name: regular files of bounded size, or one line that says what it is.

A table, config or page of results can name anything: a named pipe blocks its reader for ever, a
device never ends, a sparse file of 50 GB fits on every disk and in no memory. Whatever comes from
outside is opened here.
"""

import os
import pathlib
import stat
from typing import BinaryIO

from medvlp_jax.core.errors import UserError, reason

#: Bytes of a file that is read whole; an image, report or JSON of more is damage or an attack.
MAX_BYTES = 1 << 30
_PIECE = 1 << 20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class FileError(UserError, OSError):
    """A file cannot be opened or read; one line that names it and what it is."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


def open_regular(path: str | os.PathLike[str], limit: int | None = None) -> BinaryIO:
    """Opens a regular file for reading, in bounded time whatever the path names.

    Args:
      path: of the file; symbolic links are followed.
      limit: bytes that the file may have; None for one that is read piece by piece.

    Raises:
      MissingFileError: nothing is there.
      FileError: a folder, pipe, socket or device, a loop of links, a path that no file can have,
        no permission, or more bytes than ``limit``.
    """
    try:
        _check_kind(path, os.stat(path).st_mode)  # before opening: a device may act on that
        # A pipe that took the file's place since would block without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{shown(path)} does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: NUL or characters that no path can have
        raise FileError(f"{shown(path)} cannot be opened ({reason(error)})") from error
    try:
        found = os.fstat(descriptor)
        _check_kind(path, found.st_mode)
        if limit is not None:
            _check_size(path, found.st_size, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; errors as :func:`open_regular`."""
    with open_regular(path, limit) as stream:
        try:
            # Not limit + 1 at once: that much memory would be taken first.
            data = stream.read(min(os.fstat(stream.fileno()).st_size, limit) + 1)
            while len(data) <= limit and (more := stream.read(_PIECE)):
                data += more  # a file that grows, or one of a kernel that says no size
        except OSError as error:
            raise FileError(f"{shown(path)} cannot be read ({reason(error)})") from error
    _check_size(path, len(data), limit)  # it may have grown
    return data


def shown(path: str | os.PathLike[str], limit: int = 300) -> str:
    """A path as one printable line."""
    text = os.fspath(path)
    text = text if len(text) <= limit else f"{text[:limit]}..."
    return "".join(c if c.isprintable() else "?" for c in text)


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file is there; False also for a path that no file can have."""
    try:
        return pathlib.Path(path).is_file()
    except (OSError, ValueError):
        return False


def _check_kind(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "of an unknown kind")
        raise FileError(f"{shown(path)} is {kind}, no regular file")


def _check_size(path: str | os.PathLike[str], size: int, limit: int) -> None:
    if size > limit:
        raise FileError(f"{shown(path)} has {size} bytes, more than the limit of {limit}")
