"""The decoder: padding, packing, positions, remat, sharding, LoRA, int8."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_toys import arrays

from medvlp_jax.core.sharding import (
    MeshConfig,
    batch_sharding,
    bytes_per_device,
    make_mesh,
    tree_shardings,
    use_mesh,
)
from medvlp_jax.core.state import ModelDef, combine, flatten, partition, path_str
from medvlp_jax.models.attention import Segments
from medvlp_jax.models.lm.config import PRESETS, LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.models.lm.linear import (
    FREEZE_ALL_BUT_LORA,
    LoraConfig,
    merge_lora,
    quantize,
    unmerge_lora,
)

CONFIG = LMConfig(
    vocab=40, width=32, depth=3, heads=4, kv_heads=2, head_dim=8, mlp_width=48, qk_norm=True
)
IDS = np.random.default_rng(0).integers(1, 40, (4, 12))


def made(config=CONFIG):
    model = ModelDef.of(build_lm(config))
    return model, arrays(model)[0]


def logits(model, params, ids, **kwargs):
    run = jax.jit(lambda p, ids, kw: model.merge(p, {})(ids, **kw))
    return np.asarray(run(params, ids, kwargs))


def close(ours, expected, atol=2e-5):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=atol)


def test_no_token_sees_what_follows():
    model, params = made()
    other = IDS.copy()
    other[:, 7:] = 1
    one, two = logits(model, params, IDS), logits(model, params, other)
    np.testing.assert_array_equal(one[:, :7], two[:, :7])
    assert np.abs(one[:, 7:] - two[:, 7:]).max() > 0.1


def test_padding_on_either_side_changes_nothing():
    model, params = made()
    plain = logits(model, params, IDS[:, :8])
    mask = np.arange(12) < 8
    right = logits(model, params, IDS, mask=np.broadcast_to(mask, IDS.shape))
    close(right[:, :8], plain)
    left_mask = np.broadcast_to(mask[::-1], IDS.shape)
    left = logits(
        model,
        params,
        np.roll(IDS, 4, axis=1),
        mask=left_mask,
        positions=np.maximum(np.cumsum(left_mask, axis=1) - 1, 0),
    )
    close(left[:, 4:], plain)


def test_packed_texts_do_not_see_each_other():
    model, params = made()
    packed = np.concatenate([IDS[0, :5], IDS[1, :7]])[None]
    ids = np.repeat([0, 1], [5, 7])[None]
    positions = np.concatenate([np.arange(5), np.arange(7)])[None]
    run = jax.jit(
        lambda p: model.merge(p, {})(packed, segments=Segments(ids, ids), positions=positions)
    )
    out = np.asarray(run(params))
    close(out[0, :5], logits(model, params, IDS[:1, :5])[0])
    close(out[0, 5:], logits(model, params, IDS[1:2, :7])[0])


def value_and_grads(config, params):
    model = ModelDef.of(build_lm(config))

    def loss(params):
        logp = jax.nn.log_softmax(model.merge(params, {})(IDS[:, :-1]))
        return -jnp.take_along_axis(logp, IDS[:, 1:, None], axis=-1).mean()

    return jax.jit(jax.value_and_grad(loss))(params)


def test_remat_and_unrolling_change_nothing():
    _, params = made()
    value, grads = value_and_grads(CONFIG, params)
    for changes in ({"remat": "save_attention"}, {"remat": "full", "unroll": 3}):
        other = value_and_grads(dataclasses.replace(CONFIG, **changes), params)
        close(other[0], value, 1e-6)
        jax.tree.map(lambda a, b: close(a, b, 1e-5), other[1], grads)


@pytest.mark.multidevice
@pytest.mark.parametrize(
    "mesh", [MeshConfig(data=2, fsdp=2, tensor=2), MeshConfig(data=1, fsdp=1, tensor=8)]
)
def test_eight_devices_equal_one(devices, mesh):
    """Eight-fold tensor parallelism splits heads unevenly; it must still fit."""
    model, params = made()
    value, grads = value_and_grads(CONFIG, params)
    mesh = make_mesh(mesh, devices)
    places = tree_shardings(model.abstract_params, model.logical_axes, mesh)
    held = bytes_per_device(model.abstract_params, places)
    whole = sum(4 * x.size for x in jax.tree.leaves(model.abstract_params))
    assert held < 0.4 * whole

    def loss(params, ids):
        logp = jax.nn.log_softmax(model.merge(params, {})(ids[:, :-1]))
        return -jnp.take_along_axis(logp, ids[:, 1:, None], axis=-1).mean()

    with use_mesh(mesh):
        sharded = jax.device_put(params, places)
        ids = jax.device_put(IDS, batch_sharding(mesh))
        other = jax.jit(jax.value_and_grad(loss), out_shardings=(None, places))(sharded, ids)
    close(other[0], value, 1e-6)
    jax.tree.map(lambda a, b: close(a, b, 1e-5), other[1], grads)


LORA = LoraConfig(rank=3, alpha=6.0, targets=("q", "v", "down"))


def test_lora_starts_as_the_base_model_and_trains_alone():
    model = ModelDef.of(build_lm(dataclasses.replace(CONFIG, lora=LORA)))
    params, _ = jax.jit(model.init)(jax.random.key(0))
    trained, frozen = partition(params, [FREEZE_ALL_BUT_LORA])
    assert {path_str(p) for p in flatten(trained)} == {
        f"blocks/{layer}/lora_{side}" for layer in ("attn/q", "attn/v", "mlp/down") for side in "ab"
    }
    base = ModelDef.of(build_lm(CONFIG))
    np.testing.assert_array_equal(logits(model, params, IDS), logits(base, frozen, IDS))


def test_lora_merges_and_comes_out_again():
    model, params = made(dataclasses.replace(CONFIG, lora=LORA))
    merged = merge_lora(params, LORA)
    base = ModelDef.of(build_lm(CONFIG))
    ours = logits(model, params, IDS)
    close(logits(base, merged, IDS), ours, 5e-5)
    lora, plain = partition(params, [FREEZE_ALL_BUT_LORA])
    assert np.abs(logits(base, plain, IDS) - ours).max() > 0.1
    restored = unmerge_lora(merged, lora, LORA)
    assert flatten(restored).keys() == flatten(params).keys()
    jax.tree.map(lambda a, b: close(a, b, 1e-6), restored, dict(params))


def test_lora_into_int8_is_refused():
    _, params = made(dataclasses.replace(CONFIG, lora=LORA))
    with pytest.raises(ValueError, match="merge the update into the float"):
        merge_lora(quantize(params), LORA)


def test_int8_has_the_right_tree_and_is_near():
    model, params = made()
    int8 = ModelDef.of(build_lm(dataclasses.replace(CONFIG, storage="int8")))
    small = jax.jit(quantize)(params)
    shapes = jax.tree.map(lambda x: (x.shape, str(x.dtype)), small)
    assert shapes == jax.tree.map(lambda x: (x.shape, str(x.dtype)), int8.abstract_params)
    # Half a step of 1/127 of the largest weight, per channel.
    for path, scale in flatten(small).items():
        if path[-1] == "kernel_scale":
            kernel = flatten(params)[(*path[:-1], "kernel")]
            back = flatten(small)[(*path[:-1], "kernel")] * np.asarray(scale)[..., None, :]
            assert np.abs(back - kernel).max() <= 0.5001 * np.asarray(scale).max()
    ours, plain = logits(int8, small, IDS), logits(model, params, IDS)
    assert np.abs(ours - plain).max() < 0.05 * np.abs(plain).max()


def test_int8_with_lora_trains_on_the_small_kernels():
    """A frozen int8 base under float updates, whose gradients flow through the base."""
    config = dataclasses.replace(CONFIG, storage="int8", lora=LORA)
    model = ModelDef.of(build_lm(config))
    params = quantize(made(dataclasses.replace(CONFIG, lora=LORA))[1])
    trained, frozen = partition(params, [FREEZE_ALL_BUT_LORA])

    def loss(trained, frozen):
        return jnp.var(model.merge(combine(trained, frozen), {})(IDS))

    grads = jax.jit(jax.grad(loss))(trained, frozen)
    assert all(np.abs(g).max() > 1e-8 for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
        ({"head_dim": 7}, "head_dim 7 must be even"),
        ({"remat": "most"}, "'most' is not one of none"),
        ({"depth": 0}, "must be positive"),
        ({"kernel_layout": "out_in", "storage": "int8"}, "out_in.*is for float kernels"),
    ],
)
def test_bad_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_presets_have_the_size_in_their_name():
    for name, config in PRESETS.items():
        shapes = ModelDef.of(build_lm(config)).abstract_params
        size = sum(x.size for x in jax.tree.leaves(shapes))
        number, unit = re.fullmatch(r".*_([\d.]+)([mb])", name).groups()
        assert size == pytest.approx(float(number) * {"m": 1e6, "b": 1e9}[unit], rel=0.25), name
