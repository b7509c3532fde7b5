"""BLIP as a task: what is no negative, what the queue remembers, the ramp, and what is refused."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.core.step import init_state, make_train_step
from medvlp_jax.losses.queued import Keys, hard_negatives, joined, relate, word_loss
from medvlp_jax.models.blip import momentum
from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.blip.text import empty_cache, write_step
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.tasks.registry import TASKS, make_task

pytestmark = pytest.mark.usefixtures("quick_compiles")

ROWS, SIDE, LENGTH, VOCAB = 8, 8, 6, 20
MODEL = BlipConfig(
    vision=ViTConfig(image_size=SIDE, patch=4, channels=1, width=8, depth=2, heads=2, mlp_width=8),
    text=TextConfig(
        vocab=VOCAB, max_length=12, types=0, width=12, depth=2, heads=2, mlp_width=8, dropout=0.1
    ),
    embed_dim=6,
    queue=16,
)
TASK = {"name": "blip", "cam_block": 1, "momentum": 0.5, "alpha_steps": 4, "caption_length": 5}


@functools.cache
def model_def(config=MODEL):
    return ModelDef.of(lambda rngs: config.build(rngs=rngs))


def batch_of(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    mask = np.arange(LENGTH) < rng.integers(3, LENGTH + 1, rows)[:, None]
    return {
        "image": rng.integers(0, 256, (rows, SIDE, SIDE, 1)).astype(np.uint8),
        "text": np.where(mask, rng.integers(3, VOCAB, (rows, LENGTH)), 0).astype(np.int32),
        "text_mask": mask,
        "record_key": np.arange(1, rows + 1).astype(np.uint32) + rows * (seed % 3),
        "text_key": np.arange(11, rows + 11).astype(np.uint32) + rows * (seed % 3),
        "group_key": (np.arange(rows) // 2 + 1 + rows * (seed % 3)).astype(np.uint32),
        "valid": np.arange(rows) != 5,
    }


def keys(*rows):
    return Keys(*(jnp.asarray(x, jnp.uint32) for x in np.array(rows).T))


def test_what_is_positive_and_what_is_left_out():
    # record, text, group
    rows = keys((1, 10, 100), (2, 20, 100), (3, 0, 0))
    queue = keys((1, 11, 100), (9, 20, 500), (8, 80, 0), (0, 0, 0), (7, 70, 100))
    valid = jnp.array([True, True, True, True, True, False, True, True])
    found = relate(rows, joined(rows, queue), valid)
    positive = [
        [1, 0, 0, 1, 0, 0, 0, 0],  # itself, and its old copy whose text was another one
        [0, 1, 0, 0, 1, 0, 0, 0],  # itself, and another record with its text
        [0, 0, 1, 0, 0, 0, 0, 0],
    ]
    left_out = [
        [0, 1, 0, 0, 0, 1, 0, 1],  # its figure's other panel, padding, and a third panel
        [1, 0, 0, 1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 1, 0, 0],  # of no figure; nothing is equal to 0
    ]
    np.testing.assert_array_equal(found.positive, np.array(positive, bool))
    np.testing.assert_array_equal(found.left_out, np.array(left_out, bool))


def test_negatives_are_drawn_by_similarity_and_never_from_what_is_none():
    logits = jnp.array([[9.0, 2.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
    allowed = jnp.array([[False, True, True, False], [False] * 4])
    drawn = jax.vmap(lambda key: hard_negatives(logits, allowed, key)[0])(
        jax.random.split(jax.random.key(0), 4000)
    )
    weights = np.exp([2.0, 0.0]) / np.exp([9.0, 2.0, 0.0, -1.0]).sum() + 1e-4
    share = np.bincount(drawn[:, 0], minlength=4) / 4000
    np.testing.assert_allclose(share[1:3], weights / weights.sum(), atol=0.03)
    assert share[0] == share[3] == 0
    most, some = hard_negatives(logits, allowed, None)
    assert int(most[0]) == 1
    assert some.tolist() == [True, False]


def test_word_loss_is_the_smoothed_cross_entropy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 5)).astype(np.float32)
    ids = rng.integers(0, 5, (2, 4))
    real = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
    expected = []
    for row in range(2):
        for t in range(1, 4):
            if real[row, t]:
                log_p = logits[row, t - 1] - np.log(np.exp(logits[row, t - 1]).sum())
                target = np.full(5, 0.1 / 5)
                target[ids[row, t]] += 0.9
                expected.append(-(target * log_p).sum())
    assert float(word_loss(logits, ids, real, 0.1)) == pytest.approx(np.mean(expected), abs=1e-6)


@functools.cache
def learner():
    """The real step on one device, with dropout, and the optimizer and mesh that go with it."""
    optimizer = make_optimizer(
        OptimConfig(lr=1e-2, schedule="constant"),
        model_def().abstract_params,
        model_def().logical_axes,
        100,
    )
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    return make_train_step(model_def(), make_task(model_def(), TASK), optimizer, mesh), optimizer


def train(key=1, steps=3):
    """States and metrics of some steps."""
    step, optimizer = learner()
    state = init_state(model_def(), optimizer, jax.random.key(0), step.mesh)
    state = momentum.begin(state)
    states, metrics = [jax.device_get(state)], []
    for number in range(steps):
        state, found = step(state, batch_of(number), jax.random.key(key))
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(found))
    return states, metrics


def test_averages_and_ring_follow_a_numpy_loop_through_real_steps():
    states, metrics = train()
    average = flatten(states[0].params)
    first = flatten(states[0].buffers)
    for number, (before, after) in enumerate(itertools.pairwise(states)):
        params, buffers = flatten(before.params), flatten(after.buffers)
        copies = [p for p in buffers if p[0] == "momentum" and p[1:] in params]
        assert len(copies) > 30
        for path in copies:
            average[path[1:]] = 0.5 * average[path[1:]] + 0.5 * params[path[1:]]
            np.testing.assert_allclose(buffers[path], average[path[1:]], atol=1e-6)
        place = number * ROWS % MODEL.queue
        for name in ("record", "text_key", "group"):
            column = {"record": "record_key", "group": "group_key"}.get(name, name)
            got = buffers["queue", name][place : place + ROWS]
            np.testing.assert_array_equal(got, batch_of(number)[column])
        np.testing.assert_array_equal(
            buffers["queue", "valid"][place : place + ROWS], batch_of(number)["valid"]
        )
        vectors = buffers["queue", "image"]
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        rest = np.delete(np.arange(MODEL.queue), np.arange(place, place + ROWS))
        np.testing.assert_array_equal(vectors[rest], first["queue", "image"][rest])
        first = buffers
        assert buffers["queue", "place"] == (number + 1) * ROWS % MODEL.queue
        assert buffers["momentum", "batches"] == number + 1
    assert [round(float(m["alpha"]), 6) for m in metrics] == [0.0, 0.1, 0.2]
    assert all(np.isfinite(m["loss"]) for m in metrics)


def test_a_draw_follows_the_seed_and_the_step():
    (_, first), (_, again), (_, other) = train(steps=2), train(steps=2), train(2, 2)
    assert [m["loss"] for m in again] == [m["loss"] for m in first]
    assert [m["itm_loss"] for m in other] != [m["itm_loss"] for m in first]


def test_padding_says_nothing():
    task = make_task(model_def(), TASK)
    params, buffers = jax.jit(model_def().init)(jax.random.key(0))

    @jax.jit
    def loss(batch):
        return task.loss(model_def().merge(params, buffers), None, batch)[0]

    batch, changed = batch_of(), batch_of()
    changed["image"][5] = 255 - changed["image"][5]
    changed["text"][5] = 3
    assert float(loss(batch)) == pytest.approx(float(loss(changed)), abs=1e-6)
    changed["image"][4] = 255 - changed["image"][4]
    assert float(loss(batch)) != pytest.approx(float(loss(changed)), abs=1e-4)


def test_predictions():
    task = make_task(model_def(), TASK)
    arrays = jax.jit(model_def().init)(jax.random.key(0))
    batch = batch_of() | {"end": np.full(ROWS, 2, np.int32)}

    @jax.jit
    def everything(batch):
        model = model_def().merge(*arrays)
        tokens = task.predict["image_tokens"](model, batch)
        found = {name: f(model, batch | {"image_tokens": tokens}) for name, f in
                 task.predict.items()}  # fmt: skip
        ids, mask = batch["text"], batch["text_mask"]
        found["logits"] = model.match(ids, mask, tokens)
        found["written"] = model.caption_logits(ids, jnp.ones_like(mask), tokens)
        # Word by word with a cache as all at once.
        cache, steps = empty_cache(model.text, tokens, LENGTH), []
        start = ids.at[:, 0].set(MODEL.dec_id)
        for t in range(LENGTH):
            hidden, cache = write_step(model.text, start[:, t], jnp.asarray(t), cache)
            steps.append(model.words(hidden))
        found["cached"] = jnp.stack(steps, 1)
        return found

    found = everything(batch)
    np.testing.assert_allclose(found["match_logit"], found["logits"][:, 1], atol=1e-6)
    np.testing.assert_allclose(found["cached"], found["written"], atol=2e-5)
    assert found["match_map"].shape == (ROWS, 2, LENGTH, 2, 2)
    assert (found["match_map"] >= 0).all()
    # Where one gradient is positive the other is not.
    assert (found["match_map"] > 0).any((0, 2, 3, 4)).all()
    assert found["caption"].shape == (ROWS, 5)
    np.testing.assert_allclose(np.linalg.norm(found["image_embed"], axis=1), 1, atol=1e-5)


def test_what_does_not_go_together_is_one_line():
    config = {"data": {"batch_size": 80}, "model": {"queue": 57_600}, "task": {}}
    TASKS["blip"].task.complete(config)
    config["data"]["batch_size"] = 1024
    with pytest.raises(ConfigError, match=r"model.queue=57600 must be a multiple of .*57344 would"):
        TASKS["blip"].task.complete(config)
    config = {"data": {"batch_size": 80}, "model": {}, "task": {}, "micro_batches": 2}
    with pytest.raises(ConfigError, match=r"micro_batches=2: BLIP draws negatives"):
        TASKS["blip"].task.complete(config)
    with pytest.raises(ConfigError, match=r"cam_block=8: the text side has 2 layers"):
        make_task(model_def(), {"name": "blip"})
    with pytest.raises(ValueError, match=r"text.types=2: .* types=0"):
        BlipConfig(text=TextConfig())
    plain = dataclasses.replace(MODEL, queue=0)
    with pytest.raises(ConfigError, match=r"itc_weight needs config.model.queue"):
        make_task(model_def(plain), TASK)
    # Matching and captions alone need neither.
    task = make_task(model_def(plain), TASK | {"itc_weight": 0.0})
    arrays = jax.jit(model_def(plain).init)(jax.random.key(0))
    loss, metrics = jax.jit(lambda b: task.loss(model_def(plain).merge(*arrays), None, b))(
        batch_of()
    )
    assert np.isfinite(loss)
    assert set(metrics) == {"itm_loss", "itm_accuracy", "lm_loss"}
