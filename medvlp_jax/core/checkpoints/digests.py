"""Digests of the files of a folder, kept in it: what is read is what was written.

``digests.json`` holds the SHA-256 of every file that lay in the folder when it was finished. To
compare costs one reading of the files (1 to 2 GB/s on a core, several cores at once); within one
process a file that was found whole is read again only if its size or time has changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etils import epath

from medvlp_jax.core.files import jsonl

FILE = "digests.json"
_CHUNK = 2**22
_THREADS = min(8, os.cpu_count() or 1)
_seen: dict[str, tuple[object, str]] = {}  # path -> (size and time, digest) when last read


def write(folder: epath.Path, names: Iterable[str], step: int | None = None) -> None:
    """Writes ``digests.json``, of the files ``names`` and of all files in folders among them; the
    last thing to do to a folder before it counts as finished.

    ``step``: of a checkpoint, the number that its folder has to bear.
    """
    names = sorted(file for name in names for file in _files(folder, name))
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda name: _sha256(folder / name), names))
    record: dict[str, Any] = {"algorithm": "sha256", "files": dict(zip(names, found, strict=True))}
    if step is not None:
        record["step"] = step
    (folder / FILE).write_text(json.dumps(jsonl.seal(record), indent=1) + "\n")


def read(folder: epath.Path) -> dict[str, str] | None:
    """``{file: digest}`` in the order of the names; None in a folder that has none.

    Raises:
      ValueError: ``digests.json`` itself is damaged, or the folder bears another step's number.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        record = jsonl.unseal(jsonl.parse(path.read_bytes()))
        known = {str(name): str(digest) for name, digest in sorted(record["files"].items())}
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{FILE} is damaged") from error
    step = record.get("step")
    if step is not None and folder.name.isdecimal() and int(folder.name) != step:
        raise ValueError(f"it holds step {step}")
    return known


def damaged(folder: epath.Path, known: Mapping[str, str]) -> dict[str, str]:
    """``{file: why}`` of those among ``known`` (file -> digest) that are not what was written."""
    with ThreadPoolExecutor(_THREADS) as pool:
        whys = list(pool.map(lambda name: _damage(folder, name, known[name]), known))
    return {name: why for name, why in zip(known, whys, strict=True) if why}


def _damage(folder: epath.Path, name: str, digest: str) -> str:
    path = folder / name
    try:
        key = _size_and_time(path)
        if _seen.get(str(path), (None, ""))[0] != key:
            _seen[str(path)] = key, _sha256(path)
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name}: {error.strerror or error}"
    return "" if _seen[str(path)][1] == digest else f"{name} differs from what was written"


def _size_and_time(path: epath.Path) -> object:
    if "://" in str(path):
        stat = path.stat()
        return stat.length, stat.mtime
    local = os.stat(path)
    return local.st_ino, local.st_size, local.st_mtime_ns


def _sha256(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _files(folder: epath.Path, name: str) -> list[str]:
    if not (folder / name).is_dir():
        return [name]
    inside = [f"{name}/{path.name}" for path in (folder / name).iterdir()]
    return [file for path in inside for file in _files(folder, path)]
