"""Files that appear whole or not at all: written under another name, then renamed."""

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

#: The names of such files while they are written; what a killed process leaves has one of them.
TEMPORARY = re.compile(r"\..+\.tmp-\d+")


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str],
    sync: bool = False,
    errors: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside ``path`` that is renamed to it on success.

    On any error the temporary file is removed and what stood under ``path`` stays as it was.

    Args:
      path: of the file; its folder is made if need be.
      sync: wait until the file is on the disk, so that a power cut cannot lose it either.
      errors: a context for what is done before and after the caller writes.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with errors():
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        with errors():
            if sync:
                _sync(temporary)
            os.replace(temporary, path)
            if sync:
                _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made
            temporary.unlink()


def replace(path: str | os.PathLike[str], content: str | bytes) -> pathlib.Path:
    """Writes a file of bytes, or of text in UTF-8; see :func:`replacing`. Returns its path."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return pathlib.Path(path)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
