"""Partition, combine, and the boundary between modules and trees."""

import core_toy as toy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from medvlp_jax.core.state import (
    ModelDef,
    TrainState,
    combine,
    flatten,
    param_count,
    partition,
    unflatten,
)

TREE = {"vision": {"blocks": {"up": 1, "down": 2}, "head": 3}, "text": {"head": 4}, "scale": 5}


def test_flatten_and_back():
    flat = flatten(TREE)
    assert flat[("vision", "blocks", "up")] == 1
    assert unflatten(flat) == TREE


@pytest.mark.parametrize(
    ("patterns", "matched"),
    [
        ((), {}),
        (("vision/blocks",), {"vision": {"blocks": {"up": 1, "down": 2}}}),
        ((".*head", "scale"), {"vision": {"head": 3}, "text": {"head": 4}, "scale": 5}),
        ((".*",), TREE),
    ],
)
def test_partition_and_combine(patterns, matched):
    rest, found = partition(TREE, patterns)
    assert found == matched
    assert combine(rest, found) == TREE
    assert not flatten(rest).keys() & flatten(found).keys()


def test_patterns_match_from_the_start():
    _, found = partition(TREE, ("text",))
    assert found == {"text": {"head": 4}}
    with pytest.raises(ValueError, match=r"'head' matches no parameter.*scale, text, vision"):
        partition(TREE, ("head",))


def test_combine_refuses_an_overlap():
    with pytest.raises(ValueError, match="'text/head' occurs in two partitions"):
        combine(TREE, {"text": {"head": 1}})


def test_model_def_traces_and_merges():
    model = toy.model_def()
    assert all(
        isinstance(x, jax.ShapeDtypeStruct)
        for x in jax.tree.leaves((model.abstract_params, model.abstract_buffers))
    )
    assert flatten(model.logical_axes)[("vision", "blocks", "up")] == ("embed", "mlp")
    assert model.abstract_params["vision"]["blocks"]["up"].shape == (3, 16, 32)
    params, buffers = model.init(jax.random.key(0))
    module = model.merge(params, buffers)
    assert isinstance(module, toy.TwoTower)
    x = jnp.ones((2, toy.PIXELS))
    module.vision(x, train=True)  # moves the running mean of the merged module only
    changed = model.buffers_of(module)
    assert np.abs(changed["vision"]["mean"] - buffers["vision"]["mean"]).max() > 0


def test_merge_is_strict():
    model = toy.model_def()
    params, buffers = model.init(jax.random.key(0))
    with pytest.raises(KeyError, match="lacks 'logit_scale'"):
        model.merge({k: v for k, v in params.items() if k != "logit_scale"}, buffers)
    with pytest.raises(KeyError, match="1 leaves that the model lacks: extra"):
        model.merge(params | {"extra": jnp.ones(3)}, buffers)


def test_lists_of_layers_have_string_keys():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Param(jnp.ones(2)) for _ in range(2)])

    model = ModelDef.of(Net)
    assert set(flatten(model.abstract_params)) == {("layers", "0"), ("layers", "1")}
    params, buffers = model.init(jax.random.key(0))
    assert model.merge(params, buffers).layers[1][...].shape == (2,)


def test_train_state_joins_frozen_and_averaged():
    state = TrainState(0, {"a": {"x": 1}}, {"a": {"y": 2}}, {}, (), {"a": {"x": 10}})
    assert state.model_params() == {"a": {"x": 1, "y": 2}}
    assert state.model_params(use_ema=True) == {"a": {"x": 10, "y": 2}}
    state.ema = {}
    assert state.model_params(use_ema=True) == {"a": {"x": 1, "y": 2}}


def test_param_count():
    assert param_count({"a": jax.ShapeDtypeStruct((3, 4), jnp.float32), "b": jnp.ones(5)}) == 17
