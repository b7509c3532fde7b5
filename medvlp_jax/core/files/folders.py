"""Folders that a command writes to, looked at before the work begins."""

import os
import pathlib

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import OnDisk


def output_folder(path: str | os.PathLike[str], flag: str = "--out") -> pathlib.Path:
    """The path of a folder that can be written to or made; nothing is made here.

    Args:
      flag: how the user gave it, for the message.

    Raises:
      UserError: an address, a file, or a place where nothing can be written.
    """
    text = os.fspath(path)
    complaint = OnDisk().complaint(text) if text.strip() else "is empty: give a folder"
    if complaint:
        raise UserError(f"{flag}={text!r} {complaint}")
    folder = pathlib.Path(text)
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UserError(f"{flag}={text}: {there} is a file, not a folder; choose another place")
    except OSError as error:  # a name that is too long, a link to itself
        raise UserError(f"{flag}={text!r} cannot be used: {error.strerror}") from error
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{flag}={text}: {there} cannot be written to; choose another place")
    return folder


def output_file(path: str | os.PathLike[str], flag: str) -> pathlib.Path:
    """The path of a file that can be written; see :func:`output_folder`."""
    file = pathlib.Path(path)
    output_folder(file.parent, flag)
    if file.is_dir():
        raise UserError(f"{flag}={file} is a folder; give a file in it")
    return file
