"""Records that this package exported, as items again: every field as it was."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_gen.sources.importing.base import ImageFile, Item, PixelBox
from data_gen.sources.importing.masks import MaskFile
from medvlp_jax.data.store.plain import MARK, from_plain
from medvlp_jax.data.store.record import Box

_HASH = "content_sha256"  # is taken anew of what is read
_UNREAD = b"\0"


def is_exported(told: Any) -> bool:
    """Whether a JSON value is a record that this package wrote."""
    return isinstance(told, Mapping) and MARK in told


def exported_item(
    told: Mapping[str, Any],
    where: str,
    images: Sequence[ImageFile],
    masks: Sequence[Callable[[str, int], MaskFile]],
) -> Item:
    """The item of a record's plain values (:mod:`medvlp_jax.data.store.plain`).

    Args:
      where: file and row, for messages.
      images: where each image is.
      masks: for each mask, what makes it of its label and the number of its image.

    Raises:
      RecordError: the values make no record.
    """
    record = from_plain(told, [_UNREAD] * len(images), [_UNREAD] * len(masks))
    named = [
        dataclasses.replace(file, view=image.view, modality=image.modality)
        for file, image in zip(images, record.images, strict=True)
    ]
    kept = {k: v for k, v in record.provenance.items() if k != _HASH}
    return Item(
        id=record.id,
        where=where,
        images=tuple(named),
        split=record.split,
        texts=record.texts,
        labels=record.labels,
        boxes=tuple(map(_pixel_box, record.boxes)),
        masks=tuple(
            make(mask.label, mask.image) for make, mask in zip(masks, record.masks, strict=True)
        ),
        patient_id=record.patient_id,
        provenance={"split_name": "as exported"} | kept,
        turns=record.turns,
    )


def _pixel_box(box: Box) -> PixelBox:
    width, height = box.x1 - box.x0, box.y1 - box.y0
    return PixelBox(
        box.x0, box.y0, width, height, box.label, box.phrase, box.image, frame=(1.0, 1.0)
    )
