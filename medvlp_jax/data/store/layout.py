"""How a record becomes a ``tf.train.Example`` and back."""

import json
from collections.abc import Sequence
from typing import Any

from medvlp_jax.core.errors import reason
from medvlp_jax.data.store import example
from medvlp_jax.data.store.record import JOIN, Box, Image, Mask, Record, RecordError, Text, Turn

# The one table that encoder, decoder and TFDS metadata share: field of Record -> its class and
# that class's fields with their kinds. An Example holds them as parallel lists, "images/data" etc.
_SEQUENCES: dict[str, tuple[type, tuple[tuple[str, str], ...]]] = {
    "images": (
        Image,
        (
            ("data", "bytes"),
            ("format", "str"),
            ("view", "str"),
            ("modality", "str"),
            ("width", "int"),
            ("height", "int"),
        ),
    ),
    "texts": (
        Text,
        (("text", "str"), ("section", "str"), ("source", "str"), ("labels", "names")),
    ),
    "boxes": (
        Box,
        (
            ("x0", "float"),
            ("y0", "float"),
            ("x1", "float"),
            ("y1", "float"),
            ("label", "str"),
            ("phrase", "str"),
            ("image", "int"),
        ),
    ),
    "masks": (Mask, (("data", "bytes"), ("label", "str"), ("image", "int"))),
}
#: The same of what most records lack: an Example has these features where there is any of them.
_RARE: dict[str, tuple[type, tuple[tuple[str, str], ...]]] = {
    "turns": (Turn, (("role", "str"), ("text", "str"), ("images", "numbers"))),
}
_SCALARS = ("id", "patient_id", "split")
_LISTS = ("names", "numbers")  # of strings and of integers, each stored as one string


def schema(turns: bool = False) -> dict[str, Any]:
    """Nested ``{key: kind}``, a dict being a sequence; kinds: bytes, str, int, float.

    Args:
      turns: whether some record holds a conversation; records without one have no such features,
        which ``open_dataset`` reads, and TFDS only where every record has them.
    """
    out: dict[str, Any] = dict.fromkeys(_SCALARS, "str")
    for name, (_, fields) in (_SEQUENCES | (_RARE if turns else {})).items():
        out[name] = {field: "str" if kind in _LISTS else kind for field, kind in fields}
    out["labels"] = {"name": "str", "value": "int"}
    out["provenance"] = "str"  # JSON
    return out


def to_example(record: Record) -> bytes:
    """The record as a serialized ``tf.train.Example``; equal records give equal bytes."""
    features: dict[str, tuple[str, Sequence]] = {
        name: ("bytes", [getattr(record, name).encode()]) for name in _SCALARS
    }
    for name, (_, fields) in (_SEQUENCES | _RARE).items():
        items = getattr(record, name)
        if not items and name in _RARE:
            continue
        for field, kind in fields:
            values = [getattr(item, field) for item in items]
            if kind in _LISTS:
                kind, values = "str", [JOIN.join(map(str, v)) for v in values]
            if kind == "str":
                kind, values = "bytes", [v.encode() for v in values]
            features[f"{name}/{field}"] = (kind, values)
    names = sorted(record.labels)
    features["labels/name"] = ("bytes", [n.encode() for n in names])
    features["labels/value"] = ("int", [int(record.labels[n]) for n in names])
    provenance = json.dumps(record.provenance, sort_keys=True, ensure_ascii=False)
    features["provenance"] = ("bytes", [provenance.encode()])
    return example.encode(features)


def from_example(data: bytes) -> Record:
    """Inverse of :func:`to_example`; raises :class:`RecordError` for foreign bytes."""
    try:
        features: dict[str, list[Any]] = dict(example.decode(data))
        scalars = {name: features[name][0].decode() for name in _SCALARS}
        sequences: dict[str, tuple[Any, ...]] = {}
        for name, (build, fields) in (_SEQUENCES | _RARE).items():
            if name in _RARE and f"{name}/{fields[0][0]}" not in features:
                continue
            columns = []
            for field, kind in fields:
                values = features[f"{name}/{field}"]
                if kind in ("str", *_LISTS):
                    values = [v.decode() for v in values]
                if kind in _LISTS:
                    read = int if kind == "numbers" else str
                    values = [tuple(map(read, v.split(JOIN))) if v else () for v in values]
                columns.append(values)
            sequences[name] = tuple(build(*row) for row in zip(*columns, strict=True))
        names = [n.decode() for n in features["labels/name"]]
        labels = dict(zip(names, features["labels/value"], strict=True))
        provenance = json.loads(features["provenance"][0])
    except KeyError as e:
        raise RecordError(
            f"the example has no feature {e}; it was not written by this package, import it with "
            "data_gen/sources instead"
        ) from e
    except Exception as e:  # bytes of others: what they make of the parser is not to be listed
        what = reason(e)
        raise RecordError(
            f"the example does not hold a record ({what}); regenerate its shard"
        ) from e
    arguments: dict[str, Any] = {**scalars, **sequences}
    return Record(labels=labels, provenance=provenance, **arguments)
