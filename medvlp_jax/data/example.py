"""``tf.train.Example`` to and from bytes, without TensorFlow and without generated protobuf code.

The message is small and frozen (``tensorflow/core/example/{example,feature}.proto``), so the wire
format is written here directly. That keeps TFDS out of the data workers, whose import alone takes
seconds, and makes the bytes deterministic: keys are sorted, lists are packed.
"""

import struct
from collections.abc import Mapping, Sequence

Values = list[bytes] | list[float] | list[int]

_BYTES, _FLOAT, _INT64 = 1, 2, 3  # field numbers of Feature's oneof, the kinds of a list
KINDS = {"bytes": _BYTES, "float": _FLOAT, "int": _INT64}


class ExampleError(ValueError):
    """The bytes are no serialized ``tf.train.Example``."""


def encode(features: Mapping[str, tuple[str, Sequence]]) -> bytes:
    """Serializes ``{key: (kind, values)}``, kind one of ``bytes``, ``float`` (fp32), ``int``."""
    entries = []
    for key in sorted(features):
        kind, values = features[key]
        name = key.encode()
        value = _delimited(KINDS[kind], _encode_list(KINDS[kind], values))
        entries.append(_delimited(1, _delimited(1, name) + _delimited(2, value)))
    return _delimited(1, b"".join(entries))


def decode(data: bytes) -> dict[str, Values]:
    """Parses a serialized Example into ``{key: list}``; raises :class:`ExampleError`."""
    features: dict[str, Values] = {}
    try:
        view = memoryview(data)
        for number, message in _fields(view):
            if number != 1:
                continue
            for entry_number, entry in _fields(message):
                if entry_number == 1:
                    key, values = _decode_entry(entry)
                    features[key] = values
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as e:
        raise ExampleError(f"not a serialized tf.train.Example ({e})") from e
    return features


def _encode_list(kind: int, values: Sequence) -> bytes:
    if kind == _BYTES:
        return b"".join(_delimited(1, v) for v in values)
    if not values:
        return b""
    if kind == _FLOAT:
        return _delimited(1, struct.pack(f"<{len(values)}f", *values))
    # proto int64: a negative number is its 64-bit two's complement, ten bytes
    return _delimited(1, b"".join(_varint(int(v) & 0xFFFFFFFFFFFFFFFF) for v in values))


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _delimited(number: int, payload: bytes) -> bytes:
    return b"".join((_varint(number << 3 | 2), _varint(len(payload)), payload))


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        byte = view[at]
        at += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            return n, at
        shift += 7
        if shift > 63:
            raise ExampleError("not a serialized tf.train.Example (varint longer than 10 bytes)")


def _fields(view: memoryview):
    """Yields ``(field number, payload)``; scalars come as int (varint) or raw bytes (fixed)."""
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        wire = tag & 7
        if wire == 0:
            payload, at = _read_varint(view, at)
        elif wire in (1, 2, 5):
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size, at = _read_varint(view, at)
            if at + size > len(view):
                raise ExampleError("not a serialized tf.train.Example (cut short)")
            payload = view[at : at + size]
            at += size
        else:
            raise ExampleError(f"not a serialized tf.train.Example (wire type {wire})")
        yield tag >> 3, payload


def _decode_entry(entry: memoryview) -> tuple[str, Values]:
    key, values = "", []
    for number, payload in _fields(entry):
        if number == 1:
            key = bytes(payload).decode()
        elif number == 2:
            for kind, message in _fields(payload):
                values = _decode_list(kind, message)
    return key, values


def _decode_list(kind: int, message: memoryview) -> Values:
    if kind == _BYTES:
        return [bytes(p) for n, p in _fields(message) if n == 1]
    if kind == _FLOAT:
        floats: list[float] = []
        for n, p in _fields(message):  # packed by every modern writer; a single value else
            if n == 1:
                floats.extend(struct.unpack(f"<{len(p) // 4}f", p))
        return floats
    ints: list[int] = []
    for n, p in _fields(message):
        if n != 1:
            continue
        if isinstance(p, int):
            ints.append(_signed(p))
            continue
        at = 0
        while at < len(p):
            value, at = _read_varint(p, at)
            ints.append(_signed(value))
    return ints


def _signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n
