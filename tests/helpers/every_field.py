"""Records that use every field there is, and folders of them."""

import cv2
import numpy as np

from medvlp_jax.data.store.dataset import finalise
from medvlp_jax.data.store.manifest import shard_names
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text, Turn, with_content_hash
from medvlp_jax.data.store.shards import write_shard


def encoded(value: int, width: int = 24, height: int = 16, suffix: str = ".png") -> bytes:
    """An image file: a ramp that ``value`` shifts."""
    ramp = (np.arange(width * height).reshape(height, width) + value) % 256
    return cv2.imencode(suffix, ramp.astype(np.uint8))[1].tobytes()


def mask_file(width: int = 24, height: int = 16) -> bytes:
    """A PNG of 0 and 255, written by another encoder setting than imports use."""
    region = np.zeros((height, width), np.uint8)
    region[2:9, 3:11] = 255
    return cv2.imencode(".png", region, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def full(number: int, split: str = "train") -> Record:
    """A record with two images, all kinds of truth, a conversation and an id of odd signs."""
    record = Record(
        id=f"study/{number}.a ü",
        images=(
            Image(encoded(number, suffix=".jpg"), "jpeg", "PA", "xray", 24, 16),
            Image(encoded(number + 1), "png", "LATERAL", "ct", 24, 16),
        ),
        texts=(
            Text("A small  effusion ≥ 2 cm.", "findings", "grammar", ("pleural effusion",)),
            Text("Two\nlines.", "caption"),
        ),
        labels={"pleural effusion": 1, "edema": 0, "mass": -1},
        boxes=(Box(0.1, 0.2, 0.3, 1.0, "pleural effusion", "left effusion", 1),),
        masks=(Mask(mask_file(), "left lung", 1), Mask(mask_file(), "mass")),
        patient_id="p;1",
        split=split,
        provenance={"seed": 3, "versions": {"jax": "0.10"}, "findings": [{"side": "left"}]},
        turns=(Turn("user", "What is it?", (1, 0)), Turn("assistant", "An effusion.")),
    )
    return with_content_hash(record)


def plain(number: int, split: str = "train") -> Record:
    """An image and nothing else."""
    image = Image(encoded(number), "png", "", "", 24, 16)
    return with_content_hash(Record(id=f"bare {number}", images=(image,), split=split))


def folder(path, name="toy"):
    """A data folder: train of two shards, validation of one; returns its records by id."""
    records = []
    for shard in shard_names(name, "train", 2):
        part = [full(2 * shard.index), plain(2 * shard.index + 1)]
        write_shard(path, shard, part)
        records += part
    (shard,) = shard_names(name, "validation", 1)
    write_shard(path, shard, [full(9, "validation")])
    finalise(path, "Two kinds of records.")
    return {record.id: record for record in [*records, full(9, "validation")]}
