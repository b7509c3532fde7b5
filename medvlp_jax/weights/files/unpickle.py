"""The pickles inside PyTorch's files, by an interpreter that can build plain values only.

Python's own unpickler calls what a file names and lets it write into any object, so it cannot be
made safe by what it is given to call. Here a class of the file is never looked up: tensors become
descriptions of bytes in the archive, containers plain ``dict``, ``list`` and ``tuple``, and
everything else an empty :class:`Object`. Opcodes and their arguments are decoded by the standard
library (``pickletools.genops``); what an opcode may cost is bounded, so memory and time are too.

Reference of the opcodes: https://docs.python.org/3/library/pickletools.html.
"""

import dataclasses
import io
import math
import pickletools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

#: Steps of one pickle. A checkpoint with its optimizer takes about 100 a tensor.
MAX_STEPS = 4_000_000
#: Bytes of all pickles in a file; values of tensors lie elsewhere.
MAX_BYTES = 64 * 2**20
#: No axis, offset or count of a real file is larger.
_MAX_SIZE = 2**48
_MAX_AXES = 32
#: Classes of storages -> their numbers.
DTYPES: dict[str, np.dtype] = {
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


class PickleError(ValueError):
    """The pickle is damaged, or does what none of PyTorch's does."""


class Global(NamedTuple):
    """A class or function that the pickle names; it is not looked up."""

    module: str
    name: str


class Object(dict):
    """Stands for an object of a class that is not known, as a dict of what was put into it.

    Attributes:
      kind: the class.
      state: what the object's attributes were set from, if it was a dict.
    """

    __slots__ = ("kind", "state")

    def __init__(self, kind: Global | None):
        super().__init__()
        self.kind = kind
        self.state: dict[Any, Any] = {}


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers in a row, by the name under which the file keeps them."""

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class TensorView:
    """A tensor as a view of a storage; offset and strides count elements, none is negative."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def extent(self) -> int:
        """Elements from the first to the last one, both included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


def load(stream: io.BytesIO) -> Any:
    """The value of the pickle at the stream's position, which is then behind it.

    Returns:
      Plain values, :class:`TensorView` where PyTorch would make a tensor, :class:`Object` where
      Python would make an object of any class.

    Raises:
      PickleError: see there. Damaged pickles raise other exceptions too (``ValueError``,
        ``IndexError``, ``KeyError`` ...); callers catch them all.
    """
    return _Machine().run(stream)


_MARK = object()


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self, stream: io.BytesIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            self.spend(1)
            name = opcode.name
            if name == "STOP":
                return self.pop()
            if name in _PUSH:
                self.stack.append(_PUSH[name](argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name not in _NOTHING:
                raise PickleError(f"the opcode {name}, which PyTorch does not write")
        raise PickleError("no end")

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise PickleError(f"more than {MAX_STEPS} steps")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("a mark where a value belongs")
        return value

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise PickleError("a mark where a value belongs")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])


def _whole(value: Any, largest: int = _MAX_SIZE) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise PickleError("a size, stride or offset that is none")
    return value


def _wholes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > _MAX_AXES:
        raise PickleError("a shape that is none")
    return tuple(_whole(v) for v in values)


def _tensor(arguments: Sequence[Any]) -> Any:
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Storage):
        return Object(None)  # of numbers that numpy has no type for
    view = TensorView(storage, _whole(offset), _wholes(shape), _wholes(strides))
    if len(view.shape) != len(view.strides):
        raise PickleError("a tensor with other strides than axes")
    if view.offset + view.extent > storage.count:
        raise PickleError("a tensor that reaches beyond its storage")
    if math.prod(view.shape) > storage.count:
        raise PickleError("a tensor with more elements than its storage")
    return view


def _first(arguments: Sequence[Any]) -> Any:
    return arguments[0]


#: What a pickle may call, and what we do instead.
_CALLS: dict[Global, Callable[[Sequence[Any]], Any]] = {
    Global("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Global("torch._utils", "_rebuild_tensor"): _tensor,
    Global("torch._utils", "_rebuild_parameter"): _first,
    Global("torch._utils", "_rebuild_parameter_with_state"): _first,
}
_ORDERED = Global("collections", "OrderedDict")


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(arguments, tuple):
        raise PickleError("a call whose arguments are no tuple")
    kind = function if isinstance(function, Global) else None
    if kind is not None and kind in _CALLS:
        machine.stack.append(_CALLS[kind](arguments))
        return
    made = Object(kind)
    if kind == _ORDERED and arguments:  # Python 2 gave the items at once
        for pair in arguments[0]:
            machine.spend(1)
            _put_all(made, pair[:2])
    machine.stack.append(made)


def _put_all(target: Any, items: Sequence[Any]) -> None:
    """Keys and values in turn; a key that is no plain value can be no tensor's name."""
    if not isinstance(target, dict):
        raise PickleError("items for what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key is None or isinstance(key, str | bytes | int | float):
            target[key] = value


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.pop_to_mark()
    _put_all(machine.top(), items)


def _set_item(machine: _Machine, _: Any) -> None:
    items = machine.pop_many(2)
    _put_all(machine.top(), items)


def _append_all(machine: _Machine, items: Sequence[Any]) -> None:
    target = machine.top()
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Object):
        raise PickleError("items for what is no list")


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.pop(), machine.top()
    if isinstance(target, Object) and type(state) is dict:
        target.state = state


def _stack_global(machine: _Machine, _: Any) -> None:
    module, name = machine.pop_many(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleError("a class whose name is no text")
    machine.stack.append(Global(module, name))


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(Global(module, name))


def _new(machine: _Machine, count: int) -> None:
    kind = machine.pop_many(count)[0]
    machine.stack.append(Object(kind if isinstance(kind, Global) else None))


def _unknown(machine: _Machine, _: Any) -> None:
    """A set, or an object as the oldest protocols make it."""
    machine.pop_to_mark()
    machine.stack.append(Object(None))


def _persistent(machine: _Machine, _: Any) -> None:
    reference = machine.pop()
    if not isinstance(reference, tuple) or not 5 <= len(reference) <= 6:
        raise PickleError("a reference to what is no storage")
    word, kind, key, _, count = reference[:5]
    if word != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise PickleError("a reference to what is no storage")
    if len(reference) == 6 and reference[5] is not None:
        raise PickleError("a view of a storage, which is not read")
    known = kind.module in ("torch", "torch.cuda", "torch.storage") and kind.name in DTYPES
    machine.stack.append(Storage(key, DTYPES[kind.name], _whole(count)) if known else Object(kind))


def _get(machine: _Machine, argument: int) -> None:
    machine.stack.append(machine.memo[int(argument)])


def _put(machine: _Machine, argument: int) -> None:
    machine.memo[int(argument)] = machine.top()


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _tuple(machine: _Machine, _: Any) -> None:
    machine.stack.append(tuple(machine.pop_to_mark()))


def _list(machine: _Machine, _: Any) -> None:
    machine.stack.append(machine.pop_to_mark())


def _dict(machine: _Machine, _: Any) -> None:
    made: dict[Any, Any] = {}
    _put_all(made, machine.pop_to_mark())
    machine.stack.append(made)


def _small(value: Any) -> Any:
    """A number; one of more than 64 bits, which would take time with every use, becomes None."""
    return value if not isinstance(value, int) or -(2**63) <= value < 2**64 else None


def _same(value: Any) -> Any:
    return value


_NOTHING = {"PROTO", "FRAME"}
_PUSH: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _small),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"), _same),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _same),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), bytes),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_SET": lambda _: Object(None),
    "MARK": lambda _: _MARK,
}
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.stack.append(m.top()),
    "TUPLE": _tuple,
    "TUPLE1": lambda m, _: m.stack.append(m.pop_many(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.pop_many(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.pop_many(3)),
    "LIST": _list,
    "DICT": _dict,
    "FROZENSET": _unknown,
    "APPEND": lambda m, _: _append_all(m, m.pop_many(1)),
    "APPENDS": lambda m, _: _append_all(m, m.pop_to_mark()),
    "ADDITEMS": lambda m, _: _append_all(m, m.pop_to_mark()),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "NEWOBJ": lambda m, _: _new(m, 2),
    "NEWOBJ_EX": lambda m, _: _new(m, 3),
    "OBJ": _unknown,
    "INST": _unknown,
    "BINPERSID": _persistent,
}
