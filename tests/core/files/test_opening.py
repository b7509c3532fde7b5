"""What a path from outside may name: only regular files of bounded size are read."""

import os
import socket
import stat

import pytest

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.opening import (
    FileError,
    MissingFileError,
    is_regular,
    open_regular,
    read_bytes,
    shown,
)


def _special(folder, kind):
    path = folder / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "socket":
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(os.path.relpath(path))
        bound.close()
    elif kind == "sparse":
        with path.open("wb") as f:
            f.truncate(50 << 30)
    elif kind == "long":
        path = folder / ("x" * 5000)
    elif kind == "nul":
        path = f"{folder}/a\0b"
    elif kind == "surrogate":
        path = f"{folder}/a\ud800b"
    elif kind == "below a file":
        path.write_bytes(b"x")
        path = path / "under"
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pipe", "named pipe"),
        ("folder", "a folder"),
        ("endless", "a device"),
        ("loop", "levels of symbolic links"),
        ("socket", "a socket"),
        ("sparse", "more than the limit"),
        ("long", "name too long"),
        ("nul", "null"),
        ("surrogate", "surrogates"),
        ("below a file", "Not a directory"),
    ],
)
def test_special_files_are_refused_by_name_in_one_line(tmp_path, monkeypatch, kind, said):
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    path = _special(tmp_path, kind)
    with pytest.raises(FileError) as e:
        read_bytes(path)
    assert isinstance(e.value, (UserError, OSError))
    assert said.lower() in str(e.value).lower()
    assert str(e.value).isprintable()
    assert is_regular(path) is (kind == "sparse")


def test_a_missing_file_and_a_dangling_link_are_missing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("none.png", "link"):
        with pytest.raises(MissingFileError):
            read_bytes(tmp_path / name)


def test_regular_files_are_read_through_links_and_bounded(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_bytes(tmp_path / "b") == b"12345"
    assert read_bytes(tmp_path / "a", limit=5) == b"12345"
    with pytest.raises(FileError, match="5 bytes, more than the limit of 4"):
        read_bytes(tmp_path / "a", limit=4)
    with open_regular(tmp_path / "a") as stream:
        assert stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        assert stream.read(2) == b"12"


def test_a_file_that_says_no_size_is_bounded_by_what_it_gives():
    with pytest.raises(FileError, match="more than the limit of 10"):
        read_bytes("/proc/self/maps", limit=10)  # its size is 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(FileError, match="Permission denied"):
        read_bytes(tmp_path / "a")


def test_shown_is_one_short_printable_line():
    assert shown("a\nb\x1b[31m") == "a?b?[31m"
    assert len(shown("y" * 4000)) < 400
