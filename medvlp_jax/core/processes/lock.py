"""One process per directory: an operating-system lock that a crash cannot leave behind."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.folders import output_folder

LOCK_NAME = ".lock"


class LockError(UserError, RuntimeError):
    """Another process works in this directory; the message is one line and names it."""


@contextlib.contextmanager
def workdir_lock(path: str | os.PathLike, purpose: str = "run") -> Iterator[pathlib.Path]:
    """Holds ``<path>/.lock`` exclusively; makes the directory if need be.

    The lock is a ``flock``: the kernel drops it when the process ends, however it ends, so a file
    left on disk never blocks anybody. Every process that opens the directory to write takes it.

    Args:
      path: the directory.
      purpose: a word for the message that a second process gets, e.g. "training".

    Yields:
      The directory.

    Raises:
      UserError: the directory cannot be written to, or is a file.
      LockError: a live process holds the lock, on this host or (on a file system that shares
        ``flock`` between hosts) on another.
    """
    directory = output_folder(path, "folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LockError(
            f"{directory} cannot be written to ({e.strerror}); choose another directory"
        ) from e
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise LockError(
                f"{directory} is in use by {_holder(fd)}; wait for it to end, stop it, or choose "
                "another directory"
            ) from e
        except OSError as e:
            raise LockError(
                f"{directory}: its file system has no locks ({e.strerror}); choose another one"
            ) from e
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "purpose": purpose}
        os.ftruncate(fd, 0)
        os.pwrite(fd, (json.dumps(owner) + "\n").encode(), 0)
        try:
            yield directory
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may still hold a copy of fd
    finally:
        os.close(fd)


def _holder(fd: int) -> str:
    try:
        owner = json.loads(os.pread(fd, 4096, 0))
        return f"process {owner['pid']} on {owner['host']} ({owner['purpose']})"
    except (ValueError, KeyError, TypeError):  # the holder has not written its line yet
        return "another process"
