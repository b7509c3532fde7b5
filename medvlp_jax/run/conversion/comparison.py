"""``launch/convert.py --check``: our model beside the one that a library builds of the same files.

Twice: the source as its own library reads it, which proves the reading, and what was written as the
layout's library reads it, which proves the writing. Both in float32, whatever was converted to.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.blip.blip import Blip
from medvlp_jax.models.clip import CLIP
from medvlp_jax.models.text_encoder import TextEncoder
from medvlp_jax.weights.families import build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.origin import inputs as origin_inputs
from medvlp_jax.weights.origin import library as origin
from medvlp_jax.weights.origin import state as origin_state
from medvlp_jax.weights.origin.library import Outputs
from medvlp_jax.weights.source import Source

#: Largest difference, of outputs around 1; of larger ones as a share of the largest.
TOLERANCE = 1e-4

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Part:
    """A model, and what it takes to compare it.

    Attributes:
      family: a key of ``weights.origin.library``.
      folder: what the library loads.
      inputs: by the names of ``weights.origin.library``.
      run: our outputs on them.
      theirs: the library's, where it does not load the folder by itself.
    """

    family: str
    folder: pathlib.Path
    inputs: dict[str, np.ndarray]
    run: Run
    theirs: Callable[[], Outputs] | None = None


def compare(parts: tuple[Part, ...], what: str) -> str:
    """One line: the largest difference between us and the library, or why there is none.

    Args:
      what: was compared, in words.

    Raises:
      WeightsError: they differ by more than rounding.
    """
    worst, lines = 0.0, []
    for part in parts:
        try:
            theirs = (
                part.theirs()
                if part.theirs
                else origin.outputs(part.family, part.folder, part.inputs)
            )
        except origin.Absent as absent:
            return f"{what}: not compared: {absent}"
        # Accelerators would multiply in fewer bits.
        with jax.default_matmul_precision("highest"):
            ours = part.run(part.inputs)
        for name, value in theirs.items():
            difference, size = _difference(np.asarray(ours[name], np.float32), value, name, part)
            worst = max(worst, difference)
            lines.append(f"{part.family} {name} {difference:.1e} of {size:.1e}")
            if not difference <= TOLERANCE * max(size, 1.0):
                raise WeightsError(
                    f"{what}: {part.folder}: {name} differs by {difference:.2e} from what its own "
                    f"library computes (largest value {size:.2e}); please report this"
                )
    return f"{what}: max abs difference {worst:.1e} ({', '.join(lines)})"


def _difference(ours: np.ndarray, theirs: np.ndarray, name: str, part: Part) -> tuple[float, float]:
    if name == "tokens" and "mask" in part.inputs:  # padding has no meaning
        real = part.inputs["mask"][..., None]
        ours, theirs = ours * real, theirs * real
    if ours.shape != theirs.shape:
        raise WeightsError(f"{part.folder}: {name} is {theirs.shape} there, {ours.shape} here")
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


def source_parts(source: Source) -> tuple[Part, ...]:
    """A published model as it lies there, read by us in float32.

    Raises:
      WeightsError: it cannot be read, or prepares images otherwise than we would.
    """
    config = in_float32(source.config)
    model = ModelDef.of(build(config))
    arrays = source.load(model.abstract_params, model.abstract_buffers, dtype="float32")
    try:
        prepared = origin_inputs.prepare(source)
    except origin.Absent as absent:
        return (_absent(source, absent),)
    theirs = None
    if not source.family.settings or not (source.folder / source.family.settings).is_file():
        theirs = lambda: origin_state.outputs(source, prepared.inputs)  # noqa: E731
    return (
        Part(
            source.family.name,
            source.folder,
            prepared.inputs,
            lambda x: jax.jit(lambda p, b, y: forward(model.merge(p, b), y))(*arrays, x),
            theirs,
        ),
    )


def _absent(source: Source, absent: origin.Absent) -> Part:
    def theirs() -> Outputs:
        raise absent

    return Part(source.family.name, source.folder, {}, lambda _: {}, theirs)


def in_float32(config: Any) -> Any:
    """The config of the same model with every computation in float32."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return config
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changed = {name: in_float32(value) for name, value in fields.items()}
    if "dtype" in changed:
        changed["dtype"] = "float32"
    return dataclasses.replace(config, **changed)


def forward(module: Any, x: Mapping[str, Any]) -> dict[str, Any]:
    """Our outputs, named as in ``weights.origin.library``; without a mask all tokens are real."""
    mask: Any = x.get("mask", x["ids"] >= 0) if "ids" in x else None
    if isinstance(module, CLIP):
        image = module.image_embed(x["image"])
        text = module.text_embed(x["ids"], mask)
        logits = jax.numpy.exp(module.logit_scale[...]) * image @ text.T
        if module.logit_bias is not None:
            logits = logits + module.logit_bias[...]
        return {"image_embed": image, "text_embed": text, "logits": logits}
    if isinstance(module, Blip):
        return _of_blip(module, x["image"], x["ids"], mask)
    if isinstance(module, TextEncoder):
        out = module(x["ids"], mask)
        return {"pooled": out.pooled, "tokens": out.tokens}
    out = module(x["image"])
    return {"pooled": out.pooled, "patches": out.patches}


def _of_blip(module: Blip, image: Any, ids: Any, mask: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tokens = module.image_tokens(image)
    if module.itm is not None:
        found["match"] = module.match(ids, mask, tokens)
        found["cosine"] = module.project_image(tokens) @ module.text_embed(ids, mask).T
    if module.lm is not None:
        found["logits"] = module.caption_logits(ids, mask, tokens)
    return found
