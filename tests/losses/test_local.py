"""The local losses against loops: value and gradient, and the cases that go wrong."""

import jax
import jax.numpy as jnp
import loss_oracle
import method_oracle as oracle
import numpy as np
import pytest

from medvlp_jax.losses.alignment import alignment_loss
from medvlp_jax.losses.prototypes import sinkhorn, swapped_prediction
from medvlp_jax.losses.scores import contrast_scores, match_scores
from medvlp_jax.losses.word_region import word_region_scores
from medvlp_jax.losses.words import clipped_weights, merge_pieces, merge_weights, present

pytestmark = pytest.mark.usefixtures("quick_compiles")

RNG = np.random.default_rng(0)
PATCHES = RNG.normal(size=(3, 6, 4))
WORDS = RNG.normal(size=(3, 5, 4))
#: A caption of one word among them.
PRESENT = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


def value_and_gradients(function, *arguments):
    wrt = tuple(range(len(arguments)))
    value, slopes = jax.jit(jax.value_and_grad(function, argnums=wrt))(*map(jnp.float32, arguments))
    return float(value), slopes


def check(function, loop, *arguments):
    """Value and every derivative."""
    value, slopes = value_and_gradients(function, *arguments)
    assert value == pytest.approx(loop(*arguments), rel=2e-5)
    for got, expected in zip(slopes, loss_oracle.gradients(loop, arguments), strict=True):
        np.testing.assert_allclose(got, expected, **CLOSE)


# --- words ----------------------------------------------------------------------------------------


def test_pieces_of_a_word_are_summed():
    ids = np.array([[0, 1, 2, 2, 3, -1, -1], [0, 1, 1, 1, -1, -1, -1], [0, -1, -1, -1, -1, -1, -1]])
    pieces = RNG.normal(size=(3, 7, 4))
    got = merge_pieces(jnp.float32(pieces), jnp.asarray(ids))
    np.testing.assert_allclose(got, oracle.merged(pieces, ids), rtol=1e-5, atol=1e-6)
    weights = merge_weights(jnp.float32(pieces[..., 0]), jnp.asarray(ids))
    np.testing.assert_allclose(weights, got[..., 0], rtol=1e-6)
    expected = np.arange(7) < np.array([4, 2, 1])[:, None]
    np.testing.assert_array_equal(present(jnp.asarray(ids)), expected)


def test_a_text_of_padding_alone_has_the_word_in_front():
    np.testing.assert_array_equal(present(jnp.full((1, 3), -1)), [[True, False, False]])


def test_weights_are_clipped_to_quantiles_of_what_is_there():
    attention = np.zeros((4, 12))
    attention[0, :10] = RNG.random(10)
    attention[1, 3] = 0.7
    attention[2] = RNG.random(12)
    before = jnp.float32(attention)
    got = clipped_weights(before)
    np.testing.assert_allclose(got, oracle.clipped(attention), rtol=1e-5, atol=1e-7)
    assert got[1, 3] == 1
    assert not got[3].any()
    np.testing.assert_array_equal(before, np.float32(attention))  # nothing was changed in place


# --- GLoRIA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_scores_of_words_and_regions(reduce):
    got = word_region_scores(PATCHES, WORDS, PRESENT, reduce=reduce)
    expected = oracle.word_region(PATCHES, WORDS, PRESENT, 4.0, 5.0, reduce)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_first_softmax_runs_over_words():
    """With it gone (the paper's formula), or over the regions twice, the scores are others."""
    got = np.asarray(word_region_scores(PATCHES, WORDS, PRESENT))
    raw = np.einsum("jrd,itd->jitr", PATCHES, WORDS)
    for weights in (raw, np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)):
        a = np.exp(4 * weights)
        a /= a.sum(-1, keepdims=True)
        context = np.einsum("jitr,jrd->jitd", a, PATCHES)
        norms = np.linalg.norm(context, axis=-1) * np.linalg.norm(WORDS, axis=-1)
        cosine = np.einsum("jitd,itd->jit", context, WORDS) / norms
        other = np.log(np.where(PRESENT[None], np.exp(5 * cosine), 0).sum(-1))
        assert np.abs(got - other).max() > 0.01


def test_a_caption_of_one_word_sees_all_regions_alike():
    """The softmax over one word is 1 everywhere, so attention is flat."""
    context, word = PATCHES.mean(1), WORDS[1, 0]
    got = word_region_scores(PATCHES, WORDS, PRESENT)[:, 1]
    np.testing.assert_allclose(got, [5 * oracle.cosine(c, word) for c in context], rtol=1e-4)


@pytest.mark.parametrize("wide", [False, True], ids=["regions > channels", "channels > regions"])
def test_gradient_of_the_scores(wide):
    patches = RNG.normal(size=(3, 3, 4)) if wide else PATCHES
    mix = RNG.normal(size=(3, 3))

    def loss(patches, words):
        return jnp.sum(mix * word_region_scores(patches, words, PRESENT))

    def loop(patches, words):
        return np.sum(mix * oracle.word_region(patches, words, PRESENT, 4.0, 5.0, "sum"))

    check(loss, loop, patches, WORDS)


@pytest.mark.parametrize("block", [1, 2])
def test_blocks_change_nothing(block):
    def run(block):
        def loss(patches, words):
            return jnp.sum(word_region_scores(patches, words, PRESENT, block=block) ** 2)

        return value_and_gradients(loss, PATCHES, WORDS)

    whole, parts = run(16), run(block)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), parts, whole)


def test_padding_changes_nothing_and_gets_no_gradient():
    @jax.jit
    def loss(words, present):
        return jnp.sum(word_region_scores(PATCHES, words, present) ** 2)

    longer = np.concatenate([WORDS, RNG.normal(size=(3, 2, 4))], axis=1)
    padded = np.pad(PRESENT, ((0, 0), (0, 2)))
    short, long = loss(jnp.float32(WORDS), PRESENT), loss(jnp.float32(longer), padded)
    assert float(short) == pytest.approx(float(long), rel=1e-6)
    slope = jax.jit(jax.grad(loss))(jnp.float32(longer), padded)
    assert not np.asarray(slope)[~padded].any()


def test_zero_vectors_are_finite():
    """Words of an empty text, regions of a black image."""

    def loss(patches, words):
        return jnp.sum(word_region_scores(patches, words, PRESENT))

    value, slopes = value_and_gradients(loss, np.zeros((3, 6, 4)), np.zeros((3, 5, 4)))
    assert all(np.isfinite(x).all() for x in (value, *slopes))


# --- matrices of scores ---------------------------------------------------------------------------

LOGITS = 3 * RNG.normal(size=(5, 5))
VALID = np.array([1, 1, 0, 1, 1], bool)


def test_contrast_of_given_scores():
    """Twice its mean is the sum of both cross-entropies."""
    check(
        lambda z: 2 * contrast_scores(z, valid=jnp.asarray(VALID))[0],
        lambda z: oracle.both_directions(z, VALID),
        LOGITS,
    )


def test_soft_targets():
    labels = RNG.integers(-1, 2, (2, 5, 7)).astype(float)
    labels[0, 1] = labels[1, 3] = 0  # says nothing: uniform row and column
    affinity = labels[0] @ labels[1].T
    check(
        lambda z: match_scores(z, jnp.float32(affinity), jnp.asarray(VALID))[0],
        lambda z: oracle.matching(z, affinity, VALID),
        LOGITS,
    )


def test_without_labels_every_pair_is_as_good():
    """Uniform targets: the gradient vanishes where all logits are equal, and only there."""
    valid = jnp.ones(4, bool)

    @jax.jit
    @jax.value_and_grad
    def loss(z):
        return match_scores(z, jnp.zeros((4, 4)), valid)[0]

    value, slope = loss(jnp.zeros((4, 4)))
    assert float(value) == pytest.approx(np.log(4))
    np.testing.assert_allclose(slope, 0, atol=1e-7)
    assert float(jnp.abs(loss(10 * jnp.eye(4))[1]).max()) > 0.1


def test_nothing_valid_is_zero_and_finite():
    nothing = jnp.zeros(5, bool)
    for loss in (
        lambda z: contrast_scores(z, valid=nothing)[0],
        lambda z: match_scores(z, jnp.zeros((5, 5)), nothing)[0],
    ):
        value, (slope,) = value_and_gradients(loss, LOGITS)
        assert value == 0
        assert not np.asarray(slope).any()


# --- MGCA -----------------------------------------------------------------------------------------


assign = jax.jit(sinkhorn, static_argnames="iterations")


def units(*shape):
    x = RNG.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_alignment_of_words_and_of_patches():
    words, patches, weights = units(3, 5, 4), units(3, 6, 4), RNG.random((3, 5)) * PRESENT
    every, flat = np.ones((3, 6), bool), np.full((3, 6), 1 / 6)

    def loss(words, patches):
        a = alignment_loss(words, patches, jnp.float32(weights), queries_present=PRESENT)
        b = alignment_loss(patches, words, jnp.float32(flat), keys_present=PRESENT)
        return jnp.sum(a + 2 * b)

    def loop(words, patches):
        a = oracle.alignment(words, patches, weights, 0.1, PRESENT, every)
        b = oracle.alignment(patches, words, flat, 0.1, every, PRESENT)
        return float(np.sum(a + 2 * b))

    value, slopes = value_and_gradients(loss, words, patches)
    assert value == pytest.approx(loop(words, patches), rel=2e-5)
    for got, expected in zip(slopes, loss_oracle.gradients(loop, (words, patches)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-4)


def test_a_pair_with_one_word_costs_nothing_by_words():
    words, patches = jnp.float32(units(1, 3, 4)), jnp.float32(units(1, 6, 4))
    one = jnp.asarray([[True, False, False]])
    weights = one.astype(jnp.float32)
    loss = jax.jit(alignment_loss)(words, patches, weights, queries_present=one)
    np.testing.assert_allclose(loss, 0, atol=1e-6)


def test_sinkhorn_rows_sum_to_one_and_prototypes_are_used_alike():
    scores = np.clip(RNG.normal(size=(40, 8)), -1, 1) * 0.3
    got = np.asarray(assign(jnp.float32(scores), jnp.ones(40, bool)))
    np.testing.assert_allclose(got, oracle.sinkhorn(scores, 0.05, 3), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-5)
    many = assign(jnp.float32(scores), jnp.ones(40, bool), iterations=100)
    np.testing.assert_allclose(many.sum(0), 40 / 8, rtol=1e-3)


def test_sinkhorn_leaves_padding_out_and_does_not_overflow():
    scores = np.vstack([units(6, 3), 1000 * np.ones((2, 3))])
    valid = np.arange(8) < 6
    got = np.asarray(assign(jnp.float32(scores), jnp.asarray(valid)))
    np.testing.assert_allclose(got[:6], oracle.sinkhorn(scores[:6], 0.05, 3), rtol=1e-3, atol=1e-5)
    assert not got[6:].any()
    huge = assign(jnp.asarray([[100.0, -100.0], [90.0, 100.0]]), jnp.ones(2, bool))
    assert np.isfinite(huge).all()


def test_with_fewer_records_than_prototypes_assignments_are_spread():
    """Degenerate whatever the scores say: one record has to serve several prototypes."""
    prototypes, x = units(16, 8), units(2, 8)
    codes = assign(jnp.float32(x @ prototypes.T), jnp.ones(2, bool), iterations=50)
    np.testing.assert_allclose(codes.sum(0), 2 / 16, rtol=1e-2)


def test_swapped_prediction():
    image, text, prototypes = units(5, 4), units(5, 4), units(3, 4)
    rows = np.flatnonzero(VALID)
    codes = tuple(oracle.sinkhorn(x[rows] @ prototypes.T, 0.05, 3) for x in (image, text))
    value, slopes = value_and_gradients(
        lambda *a: swapped_prediction(*a, jnp.asarray(VALID))[0], image, text, prototypes
    )
    assert value == pytest.approx(oracle.swapped(image, text, prototypes, VALID), rel=1e-4)
    # Assignments are constants of the gradient.
    expected = loss_oracle.gradients(
        lambda *a: oracle.swapped(*a, VALID, codes), (image, text, prototypes)
    )
    for got, slope in zip(slopes, expected, strict=True):
        np.testing.assert_allclose(got, slope, rtol=2e-3, atol=1e-4)
