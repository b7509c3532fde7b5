"""How a run of ours prepares images and texts, in the words of an export."""

import dataclasses
import pathlib
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.texts.tokenizer import SAMPLE
from medvlp_jax.run.build import Run
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.weights import inputs
from medvlp_jax.weights.source import open_source


def run_inputs(experiment: Run, texts: bool = True) -> inputs.Inputs:
    """How a run prepares images and, with ``texts``, texts, as its export says it."""
    data, text = experiment.config.data, experiment.model_config.text
    task: Any = experiment.task
    pixels: PixelConfig = task.config
    obstacle = ""
    if pixels.pixels == "image":
        obstacle = "it standardises the pixels of every image by themselves (task.pixels=image)"
    if pixels.upsample:
        obstacle = f"it enlarges images to {pixels.upsample} pixels (task.upsample)"
    images = inputs.Inputs(
        pixels=None if obstacle else inputs.Pixels(pixels.mean, pixels.std),
        obstacle=obstacle,
        resize=data.image.resize,
        interpolation="bicubic" if data.image.filter == "bicubic" else "bilinear",
    )
    if not texts:
        return images
    tokenizer = experiment.tokenizer()
    special, _ = tokenizer.encode("")
    ids, tail = tokenizer.encode(SAMPLE)
    folder = pathlib.Path(tokenizer.name)
    return dataclasses.replace(
        images,
        length=text.max_length if text.see_padding else data.text.max_len,
        start=special[0] if len(special) > 1 else None,
        end=ids[-1] if tail else None,
        pad=tokenizer.pad_id,
        tokenizer=folder if folder.is_dir() else None,
        text_id=_published_text(experiment),
        tokenizer_id="" if folder.is_dir() else tokenizer.name,
    )


def _published_text(experiment: Run) -> str:
    """Hub id whose settings describe the text tower; empty where there is none."""
    inits = experiment.config.init_towers
    name = inits.get("text") or inits.get("model", "")
    if not name:
        return ""
    try:
        source = open_source(name)
        text = source.tower("text").config
    except UserError:  # it is gone; the run does not need it any more
        return ""
    if text.max_length != experiment.model_config.text.max_length:
        return ""
    if "text" in inits:
        return inputs.hub_id(name, source.folder)
    return inputs.of_folder(source.folder, source.pixels).text_id
