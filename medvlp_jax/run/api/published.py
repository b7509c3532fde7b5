"""Published weights of a whole CLIP or SigLIP, opened with their own pixels and tokenizer."""

import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from medvlp_jax.core import sharding
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.loop import LoopConfig
from medvlp_jax.core.optim import OptimConfig
from medvlp_jax.core.state import param_count
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
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import RunConfig
from medvlp_jax.weights import bare, inputs
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.source import Source, open_source
from medvlp_jax.weights.tables.open_clip_export import BESIDE

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class OpenedWeights(Opened):
    """Published weights.

    Attributes:
      run: the model as a run that trains nothing, which evaluators are built for.
      weights: folder or file of the tensors.
      note: what is taken for granted about them; mostly empty.
    """

    run: Run = dataclasses.field(kw_only=True)
    weights: pathlib.Path = dataclasses.field(kw_only=True)
    note: str = dataclasses.field(kw_only=True, default="")


def open_published(
    name: str | os.PathLike[str],
    family: str = "",
    tokenizer: str = "",
    devices: Sequence[Any] | None = None,
    *,
    eval: EvalConfig | None = None,
    labels: Sequence[str] = (),
) -> OpenedWeights:
    """Opens a folder, a weights file or a hub id that :mod:`medvlp_jax.weights.source` knows.

    Args:
      family: what it is, where its files do not say.
      tokenizer: folder or hub id, where the folder has none.
      eval: what is measured; None: as a run without sets.
      labels: that sets are read for.

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
    image = ImageConfig(
        size=vision.image_size,
        channels=vision.channels,
        resize=known.resize,
        filter=known.interpolation,
    )
    mesh = sharding.make_mesh(sharding.MeshConfig(), devices)
    seen = {"channels": image.channels, "mean": pixels.mean, "std": pixels.std}
    shown = {"image_size": image.size, **seen}
    title = f"{source.folder.name} ({source.family.name})"
    data = DataConfig(
        sources=(SourceConfig(str(source.folder)),),
        batch_size=sharding.batch_shards(mesh),
        image=image,
        text=TextConfig(tokenizer=words.name, buckets=(longest,), window=0),
        labels=tuple(labels),
    )
    run = Run(
        RunConfig(
            name=title,
            model=to_plain(config),
            task={"name": "contrastive", **seen},
            data=data,
            loop=LoopConfig(steps=1),
            optim=OptimConfig(warmup_steps=0),
            eval=eval or EvalConfig(),
        ),
        model=config,
        mesh=mesh,
    )
    model = run.model_def
    arrays = source.load(*abstract_model(model, mesh))
    about = f"{title}: {param_count(model.abstract_params) / 1e6:.1f} M parameters"
    if source.note:
        _log.warning("%s: %s", name, source.note)
        about += f"\n{source.note}"
    return OpenedWeights(
        name=title,
        about=about,
        config={
            "name": title,
            "model": to_plain(config),
            "pixels": shown,
        },
        data=data,
        eval=run.config.eval,
        tokenize=PromptTokenizer(words, min(text.prompt_length, longest), longest),
        predict=run.predictor().with_arrays(*arrays),
        temperature=math.exp(-float(np.asarray(arrays[0]["logit_scale"]))),
        run=run,
        weights=source.weights,
        note=source.note,
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
