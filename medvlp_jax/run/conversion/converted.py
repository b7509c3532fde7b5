"""What a conversion wrote, and how it is compared with the library of its layout."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.run.conversion.comparison import Part, forward, in_float32
from medvlp_jax.weights.families import build
from medvlp_jax.weights.origin import library as origin

#: What lies beside weights and settings and is copied with them, next to a tokenizer.
COMPANIONS = ("preprocessor_config.json", "processor_config.json", "generation_config.json")


@dataclasses.dataclass(frozen=True)
class Converted:
    """What :func:`convert` wrote.

    Attributes:
      kind: in words, for the line that is printed.
      parameters: how many.
      notes: what a reader of the folder should know; lines that are printed.
      source: what was read, for a comparison with its own library; None for a run of ours.
    """

    kind: str
    folder: pathlib.Path
    parameters: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    source: Callable[[], tuple[Part, ...]] | None = None


def of_encoder(layout: str, to: pathlib.Path, config: Any, params: Any, buffers: Any) -> Converted:
    """A CLIP, a BLIP or a tower that was written as ``layout``, with drawn inputs for both."""
    vision, text = getattr(config, "vision", config), getattr(config, "text", config)

    built = ModelDef.of(build(in_float32(config)))

    def run(x: Mapping[str, np.ndarray]) -> dict[str, Any]:
        run = jax.jit(lambda p, b, x: forward(built.merge(p, b), x))
        if grey:
            x = {**x, "image": x["image"][..., :1]}
        return run(single(params), single(buffers), x)

    rng = np.random.default_rng(0)
    drawn: dict[str, np.ndarray] = {}
    # A whole model of grey images is written as one of colour images.
    grey = vision is not config and vision.channels == 1
    if hasattr(vision, "image_size"):
        size, channels = vision.image_size, vision.channels
        image = rng.normal(size=(2, size, size, channels)).astype(np.float32)
        drawn["image"] = np.repeat(image, 3, -1) if grey else image
    if hasattr(text, "vocab"):
        ids = rng.integers(3, text.vocab - 2, (2, min(16, text.max_length)))
        end = origin.end_of_text(to)
        ids[:, -1] = text.vocab - 1 if end is None or end >= text.vocab else end
        drawn["ids"] = ids
    part = Part(layout, to, drawn, run)
    return Converted(f"{layout} model", to, param_count(params), (part,))


def single(tree: Any) -> Any:
    """What was written, as the origin library reads it for the comparison: in float32."""
    return jax.tree.map(lambda x: x.astype("float32"), tree)


def copy_companions(source: pathlib.Path, to: pathlib.Path) -> None:
    """Copies what of :data:`COMPANIONS` the source has."""
    for name in COMPANIONS:
        if (source / name).is_file() and source.resolve() != to.resolve():
            shutil.copy(source / name, to / name)
