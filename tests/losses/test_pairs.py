"""The losses against loops, in value, gradient and metrics; what they promise at the edges."""

import functools

import jax
import jax.numpy as jnp
import loss_oracle as oracle
import numpy as np
import pytest

from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.pairs import (
    PairKeys,
    dense_sigmoid_pairs,
    dense_softmax_pairs,
    either,
    equality,
)
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

RECORDS, WIDTH = 8, 5
KEYS = {
    "own pair": None,
    "groups": np.array([[3], [1], [3], [2], [1], [3], [7], [8]]),
    "two words": np.array([[3, 1], [3, 2], [3, 1], [2, 2], [2, 2], [2, 1], [0, 0], [0, 1]]),
    # What each text states, a bit a finding; the image shows that and more.
    "stated": PairKeys(
        np.array([[1], [3], [3], [6], [4], [7], [2], [5]], np.uint32),
        np.array([[1], [1], [2], [6], [4], [5], [2], [4]], np.uint32),
    ),
    # The text or the labels: 0 and 2 share the one, 2 and 5 the other, 0 and 5 neither.
    "either": [
        np.array([[3], [1], [3], [2], [1], [8], [7], [9]]),
        np.array([[1, 1], [3, 2], [4, 1], [2, 2], [2, 2], [4, 1], [0, 0], [0, 1]]),
    ],
    "all the same": np.zeros((RECORDS, 1)),
    "all different": np.arange(RECORDS)[:, None] + 5,
}
VALID = {"whole": np.ones(RECORDS, bool), "padded": np.arange(RECORDS) % 4 != 2}
CASES = [(key, "whole") for key in KEYS] + [
    (key, "padded") for key in ("own pair", "groups", "stated", "either")
]
PAIRS = {
    "dense": {"infonce": dense_softmax_pairs, "sigmoid": dense_sigmoid_pairs},
    "tiles": {
        "infonce": ring_softmax_pairs(Ring(block=4)),
        "sigmoid": ring_sigmoid_pairs(Ring(block=2)),
    },
}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def embeddings(seed=0, records=RECORDS, width=WIDTH):
    rng = np.random.default_rng(seed)
    return oracle.unit(rng, records, width), oracle.unit(rng, records, width)


def words(key):
    if isinstance(key, list):
        return either(*map(words, key))
    if key is None or isinstance(key, PairKeys):
        return jax.tree.map(jnp.asarray, key)
    return equality(jnp.asarray(key, jnp.uint32))


def value_and_gradients(function, *arguments):
    wrt = tuple(range(len(arguments)))
    run = jax.jit(jax.value_and_grad(function, argnums=wrt, has_aux=True))
    return jax.tree.map(np.asarray, run(*arguments))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("how", PAIRS)
@pytest.mark.parametrize(("key", "valid"), CASES)
def test_infonce_equals_a_loop(key, valid, how):
    key, valid = KEYS[key], VALID[valid]
    image, text = embeddings()
    arguments = (image, text, np.float64(7.0))
    run = functools.partial(
        losses.infonce,
        image_weight=0.7,
        keys=words(key),
        valid=jnp.asarray(valid),
        pairs=PAIRS[how]["infonce"],
    )
    (loss, metrics), slopes = value_and_gradients(run, *arguments)
    loop = functools.partial(oracle.infonce, image_weight=0.7, key=key, valid=valid)
    assert loss.dtype == np.float64
    np.testing.assert_allclose(loss, loop(*arguments), rtol=1e-12, atol=1e-12)
    for got, want in zip(slopes, oracle.gradients(loop, arguments), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-9)
    expected = oracle.metrics(image, text, key, valid)
    assert metrics.keys() == expected.keys()
    for name, want in expected.items():
        np.testing.assert_allclose(metrics[name], want, atol=1e-12, err_msg=name)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("how", PAIRS)
@pytest.mark.parametrize(("key", "valid"), CASES)
def test_sigmoid_equals_a_loop(key, valid, how):
    key, valid = KEYS[key], VALID[valid]
    image, text = embeddings(1)
    arguments = (image, text, np.float64(6.0), np.float64(-2.0))
    run = functools.partial(
        losses.sigmoid,
        keys=words(key),
        valid=jnp.asarray(valid),
        pairs=PAIRS[how]["sigmoid"],
    )
    (loss, metrics), slopes = value_and_gradients(run, *arguments)
    loop = functools.partial(oracle.sigmoid, key=key, valid=valid)
    np.testing.assert_allclose(loss, loop(*arguments), rtol=1e-12)
    for got, want in zip(slopes, oracle.gradients(loop, arguments), strict=True):
        np.testing.assert_allclose(got, want, atol=5e-9)
    for name, want in oracle.metrics(image, text, key, valid).items():
        np.testing.assert_allclose(metrics[name], want, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
@pytest.mark.parametrize("how", PAIRS)
def test_padding_changes_nothing(how, loss):
    image, text = embeddings(2)
    pairs = PAIRS[how][loss]
    more = np.concatenate([image, image[:4] * 3.0]), np.concatenate([text, text[4:] * -2.0])
    valid = np.arange(RECORDS + 4) < RECORDS
    scalars = (5.0,) if loss == "infonce" else (5.0, -1.0)

    def run(x, y, valid):
        return getattr(losses, loss)(x, y, *scalars, valid=valid, pairs=pairs)

    grad = jax.jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))
    (padded, metrics), slopes = grad(*map(jnp.float32, more), jnp.asarray(valid))
    (plain, expected), want = grad(jnp.float32(image), jnp.float32(text), valid[:RECORDS])
    np.testing.assert_allclose(padded, plain, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), metrics, expected)
    for slope, wanted in zip(slopes, want, strict=True):
        np.testing.assert_allclose(slope[:RECORDS], wanted, atol=1e-6)
        assert not np.asarray(slope[RECORDS:]).any()


@pytest.mark.parametrize("how", PAIRS)
def test_nothing_valid_and_a_single_record(how):
    image, text = (jnp.float32(x) for x in embeddings(3))
    nothing = jnp.zeros(RECORDS, bool)
    for loss, scalars in (("infonce", (9.0,)), ("sigmoid", (9.0, -1.0))):
        run = functools.partial(getattr(losses, loss), pairs=PAIRS[how][loss])
        (value, metrics), slopes = value_and_gradients(
            lambda x, y, run=run, s=scalars: run(x, y, *s, valid=nothing), image, text
        )
        assert value == 0
        assert all(np.isfinite(v) for v in metrics.values())
        assert not any(slope.any() for slope in slopes)
    (value, _), slopes = value_and_gradients(
        lambda x, y: losses.infonce(x, y, 9.0, pairs=PAIRS[how]["infonce"]), image[:1], text[:1]
    )
    assert value == 0
    assert not any(slope.any() for slope in slopes)


def test_convirt_is_asymmetric():
    image, text = (jnp.float32(x) for x in embeddings(4))
    loss, _ = losses.convirt(image, text)
    wanted = oracle.infonce(*embeddings(4), 10.0, 0.75, None, np.ones(RECORDS, bool))
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    mirrored, _ = losses.convirt(text, image, image_weight=0.25)
    np.testing.assert_allclose(loss, mirrored, rtol=1e-6)
    assert abs(loss - losses.convirt(text, image)[0]) > 1e-3
    half, _ = losses.infonce(image, text, 10.0)
    assert abs(loss - half) > 1e-3


@pytest.mark.parametrize("how", PAIRS)
def test_gradient_keeps_its_precision_near_convergence(how):
    """The textbook `logsumexp - diagonal` does not: its error is that of numbers near `scale`."""
    rng = np.random.default_rng(5)
    image = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    image += 0.02 * rng.normal(size=image.shape)
    image = np.float32(image / np.linalg.norm(image, axis=1, keepdims=True))
    text = image + 0.03 * rng.normal(size=image.shape)
    text = np.float32(text / np.linalg.norm(text, axis=1, keepdims=True))

    def by_the_book(x, y, scale):
        z = scale * jnp.matmul(x, y.T, precision="highest")
        own = jnp.diagonal(z)
        rows, columns = (jax.nn.logsumexp(z, axis=axis) - own for axis in (1, 0))
        return jnp.mean(rows + columns) / 2

    def ours(x, y, scale):
        return losses.infonce(x, y, scale, pairs=PAIRS[how]["infonce"])[0]

    def error(function):
        got = jax.jit(jax.grad(function))(jnp.asarray(image), jnp.asarray(text), jnp.float32(30))
        return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)

    with jax.enable_x64(True):
        wanted = np.asarray(
            jax.jit(jax.grad(by_the_book))(np.float64(image), np.float64(text), 30.0)
        )
        value = float(by_the_book(np.float64(image), np.float64(text), 30.0))
    assert value < 1e-9  # well converged
    assert error(ours) < 1e-4
    assert error(by_the_book) > 100 * error(ours)
    np.testing.assert_allclose(ours(image, text, 30.0), value, rtol=1e-4)


def test_low_precision_embeddings_give_a_float32_loss():
    image, text = (jnp.bfloat16(x) for x in embeddings(6, 32, 16))
    for pairs in (dense_softmax_pairs, ring_softmax_pairs(Ring(block=8))):
        run = functools.partial(losses.infonce, scale=20.0, pairs=pairs)
        (loss, metrics), (slope,) = value_and_gradients(lambda x, run=run: run(x, text), image)
        exact, _ = run(jnp.float32(image), jnp.float32(text))
        assert loss.dtype == np.float32
        assert {m.dtype for m in metrics.values()} == {np.dtype(np.float32)}
        assert slope.dtype == jnp.bfloat16
        np.testing.assert_allclose(loss, exact, rtol=1e-6)


def test_a_collapsed_model_is_not_accurate():
    same = jnp.ones((6, 4)) / 2
    for pairs in (dense_softmax_pairs, ring_softmax_pairs(Ring(block=3))):
        _, metrics = losses.infonce(same, same, 10.0, pairs=pairs)
        assert metrics["image_to_text_accuracy"] == metrics["text_to_image_accuracy"] == 0


def test_clamp_blocks_only_the_way_out():
    clamp = losses.clamp_inward(0.0, 2.0)
    x = jnp.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(clamp(x), [0, 0, 1, 2, 2])
    down = jax.grad(lambda x: jnp.sum(clamp(x)))(x)  # descent makes x smaller
    np.testing.assert_allclose(down, [0, 0, 1, 1, 1])
    up = jax.grad(lambda x: -jnp.sum(clamp(x)))(x)
    np.testing.assert_allclose(up, [-1, -1, -1, 0, 0])


def test_wrong_arguments_are_named():
    image, text = (jnp.float32(x) for x in embeddings())
    with pytest.raises(ValueError, match=r"alike, not \(8, 5\) and \(7, 5\)"):
        losses.infonce(image, text[:7], 1.0)
    with pytest.raises(ValueError, match=r"keys must be \[8, words\]"):
        losses.infonce(image, text, 1.0, keys=PairKeys(*[jnp.zeros(8, jnp.uint32)] * 2))
    with pytest.raises(ValueError, match=r"valid must be \[8\]"):
        losses.sigmoid(image, text, 1.0, 0.0, valid=jnp.ones(7, bool))
    with pytest.raises(ValueError, match=r"image_weight=1\.5"):
        losses.infonce(image, text, 1.0, image_weight=1.5)
    with pytest.raises(ValueError, match="temperature=0"):
        losses.convirt(image, text, temperature=0.0)
