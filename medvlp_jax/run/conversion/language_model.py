"""A language model from one folder to another."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.run.conversion.comparison import Part
from medvlp_jax.run.conversion.converted import Converted, copy_companions, single
from medvlp_jax.weights import inputs, lm


def convert_language_model(path: pathlib.Path, to: pathlib.Path | None, dtype: str) -> Converted:
    """Reads a language model and, if ``to`` is given, writes it."""
    model = lm.load(path, dtype=dtype)
    if to is not None:
        kind = model.folder_config["model_type"]
        keys = ("eos_token_id", "bos_token_id", "pad_token_id")
        extra = {k: model.folder_config[k] for k in keys if k in model.folder_config}
        lm.save(to, model.config, model.params, model_type=kind, extra=extra)
        inputs.write_tokenizer(inputs.Inputs(tokenizer=path), to)
        copy_companions(path, to)

    def run(x: Mapping[str, np.ndarray]) -> dict[str, Any]:
        built = ModelDef.of(build_lm(dataclasses.replace(model.config, dtype="float32")))
        logits = jax.jit(lambda p, ids: built.merge(p, {})(ids))
        return {"logits": logits(single(model.params), x["ids"])}

    rng = np.random.default_rng(0)
    ids = rng.integers(0, model.config.vocab, (2, min(16, model.config.max_length)))
    part = Part("lm", to or path, {"ids": ids}, run)
    name = model.folder_config["model_type"]

    def source() -> tuple[Part, ...]:
        own = part if dtype == "float32" else convert_language_model(path, None, "float32").parts[0]
        return (dataclasses.replace(own, folder=path),)

    written = (part,) if to is not None else ()
    count = param_count(model.params)
    return Converted(f"{name} model", to or path, count, written, source=source)
