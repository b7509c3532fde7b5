"""A record without its pixels, as plain values: what JSON and the columns of Parquet hold.

Images and masks are files beside it, in order; ``Plain`` says all the rest by the names that the
record's own fields have, so that a reader needs no table.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.errors import reason
from medvlp_jax.data.store.record import Box, Image, Mask, Record, RecordError, Text, Turn

#: The key that tells this layout from the JSON of others, and its version.
MARK = "medvlp_jax_record"
LAYOUT = 1
#: What the files of an image are called.
EXTENSIONS = {"png": "png", "jpeg": "jpg", "dicom": "dcm"}
_LISTS: dict[str, type[Any]] = {
    "images": Image,
    "texts": Text,
    "boxes": Box,
    "masks": Mask,
    "turns": Turn,
}


def to_plain(record: Record) -> dict[str, Any]:
    """All of a record but the bytes of its images and masks: JSON values, keys as in the record."""
    told: dict[str, Any] = {MARK: LAYOUT}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name in _LISTS:
            value = [_without_bytes(item) for item in value]
        told[field.name] = value
    return told


def from_plain(
    told: Mapping[str, Any], images: Sequence[bytes], masks: Sequence[bytes] = ()
) -> Record:
    """Inverse of :func:`to_plain`, with the bytes of all images and masks.

    Raises:
      RecordError: keys or types that no record has, another version of the layout, or another
        count of images or masks than told.
    """
    if told.get(MARK) != LAYOUT:
        raise RecordError(
            f"{MARK} is {told.get(MARK)!r}, not {LAYOUT}: written by another version; export anew"
        )
    try:
        data = {"images": images, "masks": masks}
        lists: dict[str, Any] = {
            name: tuple(
                build(
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}, **more
                )
                for entry, more in zip(told[name], _bytes(told[name], data.get(name)), strict=True)
            )
            for name, build in _LISTS.items()
        }
        scalars: dict[str, Any] = {key: str(told[key]) for key in ("id", "patient_id", "split")}
        labels = {str(name): int(value) for name, value in told["labels"].items()}
        return Record(labels=labels, provenance=dict(told["provenance"]), **scalars, **lists)
    except (
        Exception
    ) as error:  # JSON of others: what it lacks or has too much of is not to be listed
        raise RecordError(f"the values make no record ({reason(error)}); export it anew") from error


def _bytes(entries: Sequence[Any], data: Sequence[bytes] | None) -> list[dict[str, bytes]]:
    if data is None:
        return [{}] * len(entries)
    return [{"data": one} for one in data]


def _without_bytes(item: Any) -> dict[str, Any]:
    fields = (field.name for field in dataclasses.fields(item) if field.name != "data")
    values = {name: getattr(item, name) for name in fields}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
