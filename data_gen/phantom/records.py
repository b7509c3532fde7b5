"""How a drawn study becomes a record: files of its picture and masks, captions, provenance."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np

import medvlp_jax
from data_gen.phantom.base import Phantom, Rendered, Report, Study, Switched
from data_gen.phantom.registry import without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.record import (
    COUNTERFACTUAL,
    Box,
    Image,
    Mask,
    Record,
    Text,
    with_content_hash,
)

#: ``provenance["generator"]`` of a record that a phantom made.
GENERATOR = "phantom"


def record_of(
    phantom: Phantom,
    study: Study,
    rendered: Rendered,
    i: int,
    *,
    name: str,
    split: str,
    seed: int,
    file: Literal["jpeg", "png"],
    quality: int,
    switched: Switched | None = None,
) -> Record:
    """The record of the ``i``-th of the studies that were rendered together.

    Args:
      name: id of the study and of its patient.
      seed: of the words of the report.
      file, quality: see :func:`image_of`.
      switched: given where ``study`` is the counterfactual of the study ``name``.
    """
    report = phantom.report(study, seed)
    about = provenance(phantom, study, report)
    if switched is not None:
        of = {"of": name, "label": switched.label, "present": switched.present}
        about |= {COUNTERFACTUAL: of}
    return with_content_hash(
        Record(
            id=name if switched is None else f"{name}-switched",
            patient_id=name,
            split=split,
            images=(image_of(rendered.images[i], file, quality, study.view, phantom.modality),),
            texts=(
                Text(report.findings, "findings", "grammar"),
                Text(report.impression, "impression", "grammar"),
                *captions(study, report, phantom.no_finding),
            ),
            labels=study.labels(),
            boxes=tuple(
                Box(b.x0, b.y0, b.x1, b.y1, b.label, report.phrases[b.finding])
                for b in rendered.boxes[i]
            ),
            masks=joined_masks({k: v[i] for k, v in rendered.masks.items()}, study),
            provenance=about,
        )
    )


def encode(extension: str, pixels: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """uint8 pixels as a file; ``extension`` with its dot, ``options`` of OpenCV."""
    done, data = cv2.imencode(extension, pixels, list(options))
    if not done:
        raise RuntimeError(f"OpenCV cannot encode an array of {pixels.shape} as {extension}")
    return data.tobytes()


def image_of(
    pixels: np.ndarray, file: Literal["jpeg", "png"], quality: int, view: str, modality: str
) -> Image:
    """A gray or RGB picture as a record holds it; ``quality`` is JPEG's, 1 to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if file == "jpeg" else []
    height, width = pixels.shape[:2]
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]  # OpenCV's order
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
