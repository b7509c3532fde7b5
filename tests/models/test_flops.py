"""The FLOP formula against the products in the traced program and against XLA's count."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from model_toys import filled, products
from test_clip import CONFIGS, TINY, VIT

from medvlp_jax.models.clip import CLIP, clip_config
from medvlp_jax.models.resnet import PRESETS as RESNETS
from medvlp_jax.models.text_encoder import PRESETS as TEXTS
from medvlp_jax.models.vit import PRESETS as VITS

BATCH, LENGTH = 2, 6


def with_unrolled(config):
    changes = {"text": dataclasses.replace(config.text, unroll=config.text.depth)}
    if hasattr(config.vision, "unroll"):
        changes["vision"] = dataclasses.replace(config.vision, unroll=config.vision.depth)
    return dataclasses.replace(config, **changes)


def forward(config, rng=None):
    size = config.vision.image_size
    inputs = (
        jnp.zeros((BATCH, size, size, config.vision.channels)),
        jnp.zeros((BATCH, LENGTH), jnp.int32),
        jnp.ones((BATCH, LENGTH), bool),
    )

    def run(model, image, ids, mask):
        return model.image_embed(image, rng=rng), model.text_embed(ids, mask, rng=rng)

    return run, (filled(CLIP, config), *inputs)


def traced_flops(config, rng=None):
    run, args = forward(config, rng)
    return products(jax.make_jaxpr(run)(*args).jaxpr)


CASES = {
    **CONFIGS,
    "conv stem": dataclasses.replace(TINY, vision=dataclasses.replace(VIT, stem="conv")),
    "bottleneck": dataclasses.replace(
        TINY, vision=dataclasses.replace(CONFIGS["resnet"].vision, block="bottleneck")
    ),
    "odd side": dataclasses.replace(
        TINY, vision=dataclasses.replace(CONFIGS["resnet"].vision, image_size=45)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_formula_counts_every_product(name):
    assert CASES[name].flops(BATCH, LENGTH, train=False) == traced_flops(CASES[name])


def test_patch_dropout_is_counted_in_training_only():
    config = dataclasses.replace(TINY, vision=dataclasses.replace(VIT, patch_dropout=0.5))
    assert config.flops(BATCH, LENGTH) == traced_flops(config, jax.random.key(0))
    assert config.flops(BATCH, LENGTH, train=False) == TINY.flops(BATCH, LENGTH)


@pytest.mark.parametrize("name", ["class", "resnet"])
def test_formula_agrees_with_the_compiler(name):
    """XLA adds element-wise work and leaves out the padding of convolutions."""
    config = CONFIGS[name]
    wide = {"width": 64, "heads": 2, "mlp_width": 256}
    config = dataclasses.replace(
        config,
        text=dataclasses.replace(config.text, **wide),
        vision=dataclasses.replace(
            config.vision, **(wide if name == "class" else {"width": 32, "image_size": 64})
        ),
    )
    run, args = forward(with_unrolled(config))
    analysis = jax.jit(run).lower(*args).compile().cost_analysis()
    assert analysis["flops"] == pytest.approx(config.flops(BATCH, LENGTH), rel=0.12)


def test_published_numbers():
    """Multiply-adds as their papers and torchvision give them, in 10^9."""
    assert VITS["vit_b16"].flops() / 2e9 == pytest.approx(17.56, abs=0.05)
    assert RESNETS["resnet50"].flops() / 2e9 == pytest.approx(4.09, abs=0.01)
    assert RESNETS["resnet18"].flops() / 2e9 == pytest.approx(1.81, abs=0.01)
    # BERT-base is said to cost 2 x 85 M parameters a token, plus attention over the text.
    per_token = TEXTS["bert_base"].flops(128) / 128
    assert per_token == pytest.approx(2 * 85e6 + 12 * 4 * 128 * 768, rel=0.01)


def test_pairs_add_up():
    config = clip_config({"vision": {"name": "vit_s16"}, "text": {"name": "bert_mini"}})
    assert config.flops(32, 64) == 32 * config.flops(1, 64)
