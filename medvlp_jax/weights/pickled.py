"""PyTorch's own files (``pytorch_model.bin``, ``.pt``, ``.pth``), read without PyTorch.

Many medical encoders are published in no other form. The pickle inside is read by an unpickler that
knows tensors and plain containers; every other class it mentions becomes an inert stand-in, so no
code of the file ever runs. Both formats are read: the zip archive of PyTorch 1.6 and later, and the
stream of pickles before it (``torch/serialization.py``: ``_save`` and ``_legacy_save``).
"""

import collections
import dataclasses
import io
import pathlib
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from medvlp_jax.weights.faults import WeightsError

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_DTYPES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
#: Where training programs put a model's tensors among other things.
_GROUPS = ("state_dict", "model_state_dict", "model", "module")
#: First number of the old format.
_MAGIC = 0x1950A86A20F9469CFC6C


@dataclasses.dataclass
class _Storage:
    """Values in a row; ``start`` is known only after the pickle has been read (old format)."""

    file: pathlib.Path
    dtype: np.dtype
    count: int
    start: int = -1


@dataclasses.dataclass(frozen=True)
class PickledTensor:
    """A view of a storage, as PyTorch describes it; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.storage.dtype

    def read(self) -> np.ndarray:
        """Reads the values.

        Raises:
          WeightsError: the file ends early.
        """
        size = self.dtype.itemsize
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        count = 0 if 0 in self.shape else last + 1
        start = self.storage.start + self.offset * size
        raw = np.fromfile(self.storage.file, np.uint8, count * size, offset=start)
        if raw.size != count * size or self.offset + count > self.storage.count:
            raise WeightsError(f"{self.storage.file} ends early: copy or download it again")
        steps = tuple(s * size for s in self.strides)
        return np.lib.stride_tricks.as_strided(raw.view(self.dtype), self.shape, steps)


class _Inert(dict):
    """Stands for an object of a class that is not known; takes anything, does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> "_Inert":
        return self

    def __setstate__(self, _: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Any) -> None:
        pass

    def add(self, _: Any) -> None:
        pass


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any
) -> PickledTensor:
    return PickledTensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: pathlib.Path):
        super().__init__(file, encoding="utf-8")
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module in ("torch", "torch.cuda", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"a storage of a type that is not known: {pid!r}")
        storage = _Storage(self._path, dtype, count)
        storage = self.storages.setdefault(str(key), storage)
        view = pid[5] if len(pid) > 5 else None
        if view is not None:
            raise pickle.UnpicklingError("views of storages are not read")
        return storage


def read_tensors(path: pathlib.Path) -> dict[str, PickledTensor]:
    """The tensors of a file by name; their values stay on the disk.

    Raises:
      WeightsError: no file of PyTorch, a damaged one, or one without named tensors.
    """
    try:
        if zipfile.is_zipfile(path):
            found = _read_zip(path)
        else:
            with path.open("rb") as f:
                found = _read_stream(f, path)
    except WeightsError:
        raise
    except Exception as error:  # a pickle of unknown origin fails in any way it likes
        raise WeightsError(
            f"{path} cannot be read as a file of PyTorch ({type(error).__name__}: {error}): it is "
            "damaged or of another kind"
        ) from error
    tensors = _named(found)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors by name")
    return tensors


def _read_zip(path: pathlib.Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        root = name.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder")
            if order != b"little":
                raise WeightsError(f"{path} is in {order.decode()}-endian order")
        reader = _Unpickler(io.BytesIO(archive.read(name)), path)
        found = reader.load()
        for key, storage in reader.storages.items():
            info = archive.getinfo(f"{root}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise WeightsError(f"{path} is compressed, which PyTorch never does")
            storage.start = _start(path, info)
    return found


def _start(path: pathlib.Path, info: zipfile.ZipInfo) -> int:
    # The local header repeats the name and has an extra field of its own length.
    with path.open("rb") as f:
        f.seek(info.header_offset + 26)
        name = int.from_bytes(f.read(2), "little")
        extra = int.from_bytes(f.read(2), "little")
    return info.header_offset + 30 + name + extra


def _read_stream(f: BinaryIO, path: pathlib.Path) -> Any:
    if _Unpickler(f, path).load() != _MAGIC:
        raise WeightsError(f"{path} is no file of PyTorch")
    for _ in ("protocol", "system"):
        _Unpickler(f, path).load()
    reader = _Unpickler(f, path)
    found = reader.load()
    for key in _Unpickler(f, path).load():
        storage = reader.storages[str(key)]
        count = int.from_bytes(f.read(8), "little")
        if count != storage.count:
            raise WeightsError(f"{path} is damaged: {count} values where {storage.count} belong")
        storage.start = f.tell()
        f.seek(count * storage.dtype.itemsize, io.SEEK_CUR)
    return found


def _named(found: Any) -> dict[str, PickledTensor]:
    if not isinstance(found, Mapping):
        return {}
    tensors = {str(k): v for k, v in found.items() if isinstance(v, PickledTensor)}
    if tensors:
        return tensors
    return next((t for key in _GROUPS if (t := _named(found.get(key)))), {})
