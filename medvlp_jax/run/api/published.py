"""Published weights of a whole CLIP or SigLIP, opened with their own pixels and tokenizer."""

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from medvlp_jax.core import sharding
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.core.step import abstract_model
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.tokenizer import SAMPLE, Tokenizer
from medvlp_jax.eval.config import EvalConfig
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.text_encoder import TextConfig as TowerConfig
from medvlp_jax.run.api.opened import Opened
from medvlp_jax.tasks.registry import make_task
from medvlp_jax.weights import bare, inputs
from medvlp_jax.weights.families import build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.source import Source, open_source
from medvlp_jax.weights.tables.open_clip_export import BESIDE

_log = logging.getLogger(__name__)


def open_published(
    name: str | os.PathLike[str],
    family: str = "",
    tokenizer: str = "",
    devices: Sequence[Any] | None = None,
) -> Opened:
    """Opens a folder, a weights file or a hub id that :mod:`medvlp_jax.weights.source` knows.

    Args:
      family: what it is, where its files do not say.
      tokenizer: folder or hub id, where the folder has none.

    Raises:
      WeightsError: nothing is there, it is no model of images and texts, or it does not fit.
      TokenizerError: there is no tokenizer, or not that of these weights.
    """
    source = open_source(name, family)
    config = source.config
    if not isinstance(config, CLIPConfig):
        part = "two towers apart" if source.family.part == "towers" else source.family.part
        raise WeightsError(
            f"{name} is no model of images and texts (it is {part}, family {source.family.name}): "
            "give a whole CLIP or SigLIP, or start a run from it with config.model.vision.init"
        )
    known = inputs.of_folder(source.folder, source.pixels)
    text, vision, pixels = config.text, config.vision, source.pixels
    # Padding is seen by SigLIP, whose texts all have the full length.
    limit = 0 if text.see_padding else known.length
    longest = min(limit or text.max_length, text.max_length)
    words = _tokenizer(source, known, tokenizer, text)
    image = ImageConfig(size=vision.image_size, channels=vision.channels, resize=known.resize)
    model = ModelDef.of(build(config))
    mesh = sharding.make_mesh(sharding.MeshConfig(), devices)
    arrays = source.load(*abstract_model(model, mesh))
    seen = {"channels": image.channels, "mean": pixels.mean, "std": pixels.std}
    shown = {"image_size": image.size, **seen}
    task = make_task(model, {"name": "contrastive", **seen})
    title = f"{source.folder.name} ({source.family.name})"
    about = f"{title}: {param_count(model.abstract_params) / 1e6:.1f} M parameters"
    if source.note:
        _log.warning("%s: %s", name, source.note)
        about += f"\n{source.note}"
    return Opened(
        name=title,
        about=about,
        config={
            "name": title,
            "model": to_plain(config),
            "pixels": shown,
        },
        data=DataConfig(
            sources=(SourceConfig(str(source.folder)),),
            batch_size=1,
            image=image,
            text=TextConfig(tokenizer=words.name, buckets=(longest,), window=0),
        ),
        eval=EvalConfig(),
        tokenize=PromptTokenizer(words, min(text.prompt_length, longest), longest),
        predict=Predictor(model, task.predict, mesh).with_arrays(*arrays),
        temperature=math.exp(-float(np.asarray(arrays[0]["logit_scale"]))),
    )


def _tokenizer(source: Source, known: inputs.Inputs, given: str, text: TowerConfig) -> Tokenizer:
    """The tokenizer that was given, of the folder, or that its settings or publication name."""
    named = bare.text_id(source.family.name, source.config)
    hub_id = known.tokenizer_id if known.tokenizer_id != BESIDE else ""
    where = given or str(known.tokenizer or "") or hub_id or named
    if not where:
        raise WeightsError(
            f"{source.folder} has no tokenizer: put its files (tokenizer.json, "
            "tokenizer_config.json) there, or name a folder or hub id with load(tokenizer=...)"
        )
    found = Tokenizer.load(where)
    ids, tail = found.encode(SAMPLE)
    if found.vocab_size > text.vocab:
        wrong = f"has {found.vocab_size} tokens, and the text tower {text.vocab}"
    elif text.pool == "last" and not text.see_padding and not _ends(ids, tail, known.end):
        wrong = f"ends a text with token {ids[-1]}, at which these weights do not pool"
    else:
        return found
    raise WeightsError(
        f"{source.folder}: the tokenizer {where} is that of another model: it {wrong}; name its "
        "own with load(tokenizer=...)"
    )


def _ends(ids: Sequence[int], tail: int, end: int | None) -> bool:
    """Whether a text ends with the token that it is pooled at."""
    if end == inputs.LARGEST:
        return ids[-1] == max(ids)
    return ids[-1] == end if end is not None else tail > 0
