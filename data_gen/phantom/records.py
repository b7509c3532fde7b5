"""How a drawn study becomes a record: files of its picture and masks, captions, provenance."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np

import medvlp_jax
from data_gen.phantom.base import Phantom, Report, Study
from data_gen.phantom.registry import without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.record import Image, Mask, Text

#: ``provenance["generator"]`` of a record that a phantom made.
GENERATOR = "phantom"


def encode(extension: str, pixels: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """uint8 pixels as a file; ``extension`` with its dot, ``options`` of OpenCV."""
    done, data = cv2.imencode(extension, pixels, list(options))
    if not done:
        raise RuntimeError(f"OpenCV cannot encode an array of {pixels.shape} as {extension}")
    return data.tobytes()


def image_of(
    pixels: np.ndarray, file: Literal["jpeg", "png"], quality: int, view: str, modality: str
) -> Image:
    """A picture of one channel as a record holds it; ``quality`` is JPEG's, 1 to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if file == "jpeg" else []
    height, width = pixels.shape
    return Image(encode(f".{file}", pixels, options), file, view, modality, width, height)


def joined_masks(masks: Mapping[str, np.ndarray], study: Study) -> tuple[Mask, ...]:
    """Organs as they come, findings joined by name, empty ones left out."""
    joined: dict[str, np.ndarray] = {}
    for name, mask in masks.items():
        if name.startswith("finding "):
            i = int(name.removeprefix("finding "))
            if i >= len(study.findings):
                continue
            name = study.findings[i].name
        joined[name] = joined[name] | mask if name in joined else mask
    return tuple(
        Mask(encode(".png", mask * np.uint8(255)), name)
        for name, mask in joined.items()
        if mask.any()
    )


def captions(study: Study, report: Report, no_finding: str) -> Iterator[Text]:
    """One caption per finding, which affirms that finding; a study without any is described by
    its impression."""
    names = {phrase: study.findings[i].name for i, phrase in report.phrases.items()}
    for phrase, name in (names or {report.impression: no_finding}).items():
        yield Text(phrase[:1].upper() + phrase[1:], "caption", "grammar", (name,))


def provenance(phantom: Phantom, study: Study, report: Report) -> dict[str, Any]:
    """Where the record comes from; the phantom gives every other parameter from it again."""
    return without_default(
        {
            "generator": GENERATOR,
            "modality": phantom.name,
            "version": medvlp_jax.__version__,
            "seed": study.seed,
            "index": study.index,
            "study": phantom.parameters(study),
            "findings": [
                {**to_plain(f), "phrase": report.phrases[i]} for i, f in enumerate(study.findings)
            ],
            "prompt": report.impression,
        }
    )
