"""``tf.train.Example`` to and from bytes, without TensorFlow and without generated protobuf code.

The message is small and frozen (``tensorflow/core/example/{example,feature}.proto``), so the wire
format is written here directly. That keeps TFDS out of the data workers, whose import alone takes
seconds, and makes the bytes deterministic: keys are sorted, lists are packed.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Values = list[bytes] | list[float] | list[int]

_BYTES, _FLOAT, _INT64 = 1, 2, 3  # field numbers of Feature's oneof, the kinds of a list
KINDS = {"bytes": _BYTES, "float": _FLOAT, "int": _INT64}


class ExampleError(ValueError):
    """The bytes are no serialized ``tf.train.Example``."""


def encode(features: Mapping[str, tuple[str, Sequence[Any]]]) -> bytes:
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
        for message in _messages(memoryview(data), 1):
            for entry in _messages(message, 1):
                key = next(_messages(entry, 1))
                features[bytes(key).decode()] = _decode_feature(next(_messages(entry, 2)))
    except (IndexError, StopIteration, struct.error, UnicodeDecodeError) as e:
        raise ExampleError(f"not a serialized tf.train.Example ({e})") from e
    return features


def _encode_list(kind: int, values: Sequence[Any]) -> bytes:
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


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields ``(field number, payload)``: an int for a varint, else the bytes of the field."""
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        wire = tag & 7
        if wire == 0:
            number, at = _read_varint(view, at)
            yield tag >> 3, number
            continue
        if wire == 2:
            size, at = _read_varint(view, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ExampleError(f"not a serialized tf.train.Example (wire type {wire})")
        if at + size > len(view):
            raise ExampleError("not a serialized tf.train.Example (cut short)")
        yield tag >> 3, view[at : at + size]
        at += size


def _messages(view: memoryview, number: int) -> Iterator[memoryview]:
    """The length-delimited fields ``number`` of a message."""
    for found, payload in _fields(view):
        if found == number and isinstance(payload, memoryview):
            yield payload


def _decode_feature(feature: memoryview) -> Values:
    for kind, message in _fields(feature):
        if isinstance(message, memoryview):
            return _decode_list(kind, message)
    return []


def _decode_list(kind: int, message: memoryview) -> Values:
    if kind == _BYTES:
        return [bytes(p) for p in _messages(message, 1)]
    if kind == _FLOAT:  # packed by every modern writer, one fixed32 field each by old ones
        return [x for p in _messages(message, 1) for x in struct.unpack(f"<{len(p) // 4}f", p)]
    ints: list[int] = []
    for number, payload in _fields(message):
        if isinstance(payload, int):
            ints.append(_signed(payload))
        elif number == 1:
            at = 0
            while at < len(payload):
                value, at = _read_varint(payload, at)
                ints.append(_signed(value))
    return ints


def _signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n
