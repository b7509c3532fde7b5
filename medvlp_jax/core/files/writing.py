"""Files that are there whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file beside ``path`` to write to, which takes its place when the block ends well.

    A process that dies in between leaves what was there before; other processes that write the
    same file at the same time have files of their own.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: str | os.PathLike[str], content: str | bytes) -> pathlib.Path:
    """Writes a whole file, text as UTF-8; returns its path."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return pathlib.Path(path)
