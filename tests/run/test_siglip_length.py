"""A text tower that sees its padding pools every text at one place, in training and evaluation."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

from configs import common
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.text_encoder import TextConfig, TextEncoder
from medvlp_jax.run.build import Run

pytestmark = pytest.mark.usefixtures("quick_compiles")

TEXT = {
    "name": "clip_text",
    "vocab": 50,
    "max_length": 24,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "mlp_width": 16,
    "causal": False,
    "see_padding": True,
}


def experiment(buckets, window=16, **text):
    config = common.base()
    config.model = {
        "vision": {"name": "vit_ti16"},
        "text": {**TEXT, **text},
        "dtype": "float32",
        "remat": "none",
    }
    config.data.text.buckets = buckets
    config.data.text.window = window
    return Run(config)


@pytest.mark.parametrize("buckets", [(8, 16, 24), (8, 64), (24,)])
def test_training_and_prompts_have_the_full_length(buckets, caplog):
    with caplog.at_level(logging.WARNING):
        made = experiment(buckets)
    text = made.config.data.text
    assert text.buckets == (24,)
    assert text.window == 0
    assert made.resolved["data"]["text"]["buckets"] == [24]
    assert made.model_config.text.prompt_length == text.max_len
    assert "sees its padding" in caplog.text


def test_longer_than_usual_prompts_too():
    made = experiment((128,), window=0, max_length=128)
    assert made.model_config.text.prompt_length == 128
    assert dataclasses.replace(made.model_config.text, see_padding=False).prompt_length == 64


def test_other_towers_keep_their_buckets(caplog):
    made = experiment((8, 16, 24), see_padding=False)
    assert made.config.data.text.buckets == (8, 16, 24)
    assert made.model_config.text.prompt_length == 24
    assert "sees its padding" not in caplog.text


def test_the_length_decides_about_the_vector():
    """Which is why there is one: the same text padded to 12 and to 24 gives other vectors."""
    names = {f.name for f in dataclasses.fields(TextConfig)}
    config = TextConfig(
        **{k: v for k, v in TEXT.items() if k in names},
        types=0, norm="pre", norm_embed=False, norm_final=True, pool="last", init_std=0.3,
    )  # fmt: skip
    model = ModelDef.of(lambda rngs: TextEncoder(config, rngs=rngs))
    params, _ = jax.jit(model.init)(jax.random.key(0))

    def pooled(length):
        ids = np.zeros((1, length), np.int32)
        ids[0, :3] = 7, 8, 9
        return jax.jit(lambda p: model.merge(p, {})(ids, ids > 0).pooled)(params)

    assert np.abs(pooled(12) - pooled(24)).max() > 0.1
