"""PyTorch's own files (``pytorch_model.bin``, ``.pt``, ``.pth``, ``.ckpt``), read without PyTorch.

Many medical encoders are published in no other form. Both formats are read: the zip archive of
PyTorch 1.6 and later (TorchScript's too), and the stream of pickles before it
(``torch/serialization.py``: ``_save`` and ``_legacy_save``). No code of a file runs
(:mod:`medvlp_jax.weights.files.unpickle`), and nothing is read but bytes that lie in it.
"""

import dataclasses
import io
import math
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import open_regular
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.files import unpickle
from medvlp_jax.weights.files.unpickle import Object, TensorView

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".tar")
#: Where training programs put a model's tensors among other things, the likeliest first.
GROUPS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "teacher")
#: What holds tensors as well, and no weights.
_NO_WEIGHTS = ("optim", "scheduler", "scaler", "ema_updates", "callbacks", "loops", "rng")
#: First number of the old format.
_MAGIC = 0x1950A86A20F9469CFC6C
#: Largest list of an archive's contents; one entry takes about 100 bytes.
_MAX_DIRECTORY = 16 * 2**20
#: Several names may share one storage (tied weights), but not any number of them.
_MAX_SHARING = 8
_MAX_DEPTH = 40


@dataclasses.dataclass(frozen=True)
class PickledTensor:
    """A tensor of a file; ``start`` counts bytes from the start of the file."""

    file: pathlib.Path
    view: TensorView
    start: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def dtype(self) -> np.dtype:
        return self.view.storage.dtype

    def read(self) -> np.ndarray:
        """Reads the values.

        Raises:
          WeightsError: the file ends early.
        """
        size, count = self.dtype.itemsize, self.view.extent
        raw = np.fromfile(self.file, np.uint8, count * size, offset=self.start)
        if raw.size != count * size:
            raise WeightsError(f"{self.file} ends early: copy or download it again")
        steps = tuple(s * size for s in self.view.strides)
        values = np.lib.stride_tricks.as_strided(raw.view(self.dtype), self.shape, steps)
        return np.array(values) if _overlaps(self.view) else values


def _overlaps(view: TensorView) -> bool:
    return math.prod(view.shape) > view.extent


def read_tensors(path: pathlib.Path) -> dict[str, PickledTensor]:
    """The tensors of a file by name; their values stay on the disk.

    Raises:
      WeightsError: no file of PyTorch, a damaged one, or one without named tensors.
    """
    mend = "it is damaged or no file of PyTorch: copy or download it again"
    with one_net(path, mend, WeightsError):
        with open_regular(path) as f:
            read = _read_zip if zipfile.is_zipfile(f) else _read_stream
            f.seek(0)
            found, starts = read(f, path)
        views = _chosen(found)
        _check_total(views, path)
        if not views:
            kind = f", but a {found.kind.name}" if isinstance(found, Object) and found.kind else ""
            raise WeightsError(f"{path} holds no tensors by name{kind[:80]}")
        return {name: _placed(path, view, starts) for name, view in views.items()}


def _placed(path: pathlib.Path, view: TensorView, starts: Mapping[str, int]) -> PickledTensor:
    size = view.storage.dtype.itemsize
    return PickledTensor(path, view, starts[view.storage.key] + view.offset * size)


def _check_total(views: Mapping[str, TensorView], path: pathlib.Path) -> None:
    total = sum(math.prod(v.shape) * v.storage.dtype.itemsize for v in views.values())
    if total > _MAX_SHARING * path.stat().st_size:
        raise WeightsError(f"{path} names {total} bytes of tensors and has far fewer")


class _Measured(io.BufferedReader):
    """Refuses to read more than ``limit`` bytes at once, whatever an archive says it has."""

    limit = _MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > self.limit:
            raise ValueError(f"a part of the archive has {size} bytes")
        return super().read(size)


def _read_zip(f: BinaryIO, path: pathlib.Path) -> tuple[Any, dict[str, int]]:
    total = os.fstat(f.fileno()).st_size
    with _Measured(io.FileIO(path)) as measured, zipfile.ZipFile(measured) as archive:
        measured.limit = unpickle.MAX_BYTES
        infos = {info.filename: info for info in archive.infolist()}
        if len(infos) != len(archive.infolist()):
            raise ValueError("the archive names an entry twice")
        roots = [n.removesuffix("data.pkl") for n in infos if n.endswith("data.pkl")]
        if len(roots) != 1:
            raise ValueError(f"the archive has {len(roots)} files data.pkl")
        root = roots[0]
        if f"{root}byteorder" in infos:
            order = _entry(archive, infos[f"{root}byteorder"], total)
            if order != b"little":
                raise ValueError("the numbers are in big-endian order")
        text = _entry(archive, infos[f"{root}data.pkl"], total)
    found = unpickle.load(io.BytesIO(text))
    starts: dict[str, int] = {}
    for view in _views(found):
        key, info = view.storage.key, infos[f"{root}data/{view.storage.key}"]
        if key not in starts:
            _check_entry(info, total)
            starts[key] = _start(f, info)
        end = starts[key] + info.file_size
        if end > total or view.storage.count * view.storage.dtype.itemsize > info.file_size:
            raise ValueError(f"the archive ends within storage {key[:40]}")
    return found, starts


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, total: int) -> bytes:
    _check_entry(info, total)
    if info.file_size > unpickle.MAX_BYTES:
        raise ValueError(f"{info.filename[-40:]} has {info.file_size} bytes")
    return archive.read(info)


def _check_entry(info: zipfile.ZipInfo, total: int) -> None:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ValueError("it is compressed, which PyTorch never does")
    if info.header_offset < 0 or info.header_offset + info.file_size > total:
        raise ValueError("the archive names bytes that it does not have")


def _start(f: BinaryIO, info: zipfile.ZipInfo) -> int:
    # The local header repeats the name and has an extra field of its own length.
    f.seek(info.header_offset)
    header = f.read(30)
    if header[:4] != b"PK\x03\x04":
        raise ValueError("an entry of the archive does not begin where it should")
    name = int.from_bytes(header[26:28], "little")
    extra = int.from_bytes(header[28:30], "little")
    return info.header_offset + 30 + name + extra


def _read_stream(f: BinaryIO, path: pathlib.Path) -> tuple[Any, dict[str, int]]:
    total = path.stat().st_size
    head = io.BytesIO(f.read(unpickle.MAX_BYTES))
    # The first number is longer than any that the interpreter keeps.
    if not head.getvalue()[:16].startswith(_MAGIC_BYTES):
        raise ValueError("it does not begin as a file of PyTorch")
    for _ in ("magic", "protocol"):
        unpickle.load(head)
    system = unpickle.load(head)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ValueError("the numbers are in big-endian order")
    found, keys = unpickle.load(head), unpickle.load(head)
    storages = {view.storage.key: view.storage for view in _views(found)}
    starts: dict[str, int] = {}
    at = head.tell()
    for key in keys:
        f.seek(at)
        count = int.from_bytes(f.read(8), "little")
        storage = storages.get(key)
        if storage is None or storage.count != count:
            raise ValueError(f"{count} values where other ones belong")
        starts[key] = at + 8
        at += 8 + count * storage.dtype.itemsize
        if at > total:
            raise ValueError("it ends early")
    return found, starts


#: A protocol-2 pickle of the first number.
_MAGIC_BYTES = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")


def _views(found: Any) -> Iterator[TensorView]:
    """Every tensor, wherever it lies; containers may contain each other."""
    seen: set[int] = set()
    left = [found]
    while left:
        value = left.pop()
        if isinstance(value, TensorView):
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value
            left += [value.state] if isinstance(value, Object) else []


def _chosen(found: Any) -> dict[str, TensorView]:
    """The named tensors of a model: the largest set among those that a file holds."""
    best = _named(found)
    if isinstance(found, dict):
        groups = [found.get(key) for key in GROUPS]
        others = [
            value
            for key, value in found.items()
            if isinstance(key, str) and not any(word in key for word in _NO_WEIGHTS)
        ]
        # A stray tensor beside a group of weights is not the model; equal ones: the likelier name.
        for group in [*groups, *others]:
            inner = _chosen_below(group)
            best = inner if len(inner) > len(best) else best
    return best


def _chosen_below(group: Any) -> dict[str, TensorView]:
    if not isinstance(group, dict):
        return {}
    inner = [_named(group), *(_named(group.get(key)) for key in GROUPS)]
    return max(inner, key=len)


def _named(found: Any, prefix: str = "", depth: int = 0) -> dict[str, TensorView]:
    """The tensors of a dict, or of a module that was pickled whole (or scripted), by name."""
    if not isinstance(found, dict) or depth > _MAX_DEPTH:
        return {}
    tensors = {prefix + k: v for k, v in found.items() if _is_named_tensor(k, v)}
    if isinstance(found, Object):
        for key, value in found.state.items():
            if _is_named_tensor(key, value):
                tensors[prefix + key] = value
            elif key in ("_parameters", "_buffers"):
                tensors |= _named(value, prefix, depth + 1)
            elif key == "_modules" and isinstance(value, dict):
                tensors |= _modules(value, prefix, depth)
        tensors |= _modules(found.state, prefix, depth)
    return tensors


def _is_named_tensor(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, TensorView)


def _modules(found: Mapping[Any, Any], prefix: str, depth: int) -> dict[str, TensorView]:
    inner: dict[str, TensorView] = {}
    for key, value in found.items():
        if isinstance(key, str) and isinstance(value, Object) and not key.startswith("_"):
            inner |= _named(value, f"{prefix}{key}.", depth + 1)
    return inner
