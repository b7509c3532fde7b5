"""The FLOP formula against the products in the traced program and against XLA's count."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from model_toys import filled
from test_clip import CONFIGS, TINY, VIT

from medvlp_jax.models.clip import CLIP, clip_config
from medvlp_jax.models.flops import flops, image_flops, text_flops
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
    """Two operations per multiply-add of every product; scan bodies times their length."""

    def count(jaxpr):
        total = 0
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dot_general":
                (contracted, _), _ = eqn.params["dimension_numbers"]
                depth = math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
                total += 2 * depth * eqn.outvars[0].aval.size
            elif eqn.primitive.name == "conv_general_dilated":
                kernel = eqn.invars[1].aval
                total += 2 * eqn.outvars[0].aval.size * kernel.size // kernel.shape[-1]
            else:
                inner = [
                    getattr(v, "jaxpr", v)
                    for v in jax.tree.leaves(
                        eqn.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
                    )
                ]
                times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
                total += times * sum(count(j) for j in inner if hasattr(j, "eqns"))
        return total

    run, args = forward(config, rng)
    return count(jax.make_jaxpr(run)(*args).jaxpr)


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
    assert flops(CASES[name], BATCH, LENGTH, train=False) == traced_flops(CASES[name])


def test_patch_dropout_is_counted_in_training_only():
    config = dataclasses.replace(TINY, vision=dataclasses.replace(VIT, patch_dropout=0.5))
    assert flops(config, BATCH, LENGTH) == traced_flops(config, jax.random.key(0))
    assert flops(config, BATCH, LENGTH, train=False) == flops(TINY, BATCH, LENGTH)


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
    assert analysis["flops"] == pytest.approx(flops(config, BATCH, LENGTH), rel=0.12)


def test_published_numbers():
    """Multiply-adds as their papers and torchvision give them, in 10^9."""
    assert image_flops(VITS["vit_b16"]) / 2e9 == pytest.approx(17.56, abs=0.05)
    assert image_flops(RESNETS["resnet50"]) / 2e9 == pytest.approx(4.09, abs=0.01)
    assert image_flops(RESNETS["resnet18"]) / 2e9 == pytest.approx(1.81, abs=0.01)
    # BERT-base is said to cost 2 x 85 M parameters a token, plus attention over the text.
    per_token = text_flops(TEXTS["bert_base"], 128) / 128
    assert per_token == pytest.approx(2 * 85e6 + 12 * 4 * 128 * 768, rel=0.01)


def test_pairs_add_up():
    config = clip_config({"vision": {"name": "vit_s16"}, "text": {"name": "bert_mini"}})
    assert flops(config, 32, 64) == 32 * flops(config, 1, 64)
