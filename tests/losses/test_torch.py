"""The plain PyTorch losses of the benchmark and ours: one value, one gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.losses.alignment import alignment_loss
from medvlp_jax.losses.prototypes import swapped_prediction
from medvlp_jax.losses.scores import contrast_scores
from medvlp_jax.losses.word_region import word_region_scores
from medvlp_jax.losses.words import clipped_weights

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("quick_compiles")

ROWS, REGIONS, LENGTH, WIDTH = 4, 6, 5, 8
COUNTS = [5, 1, 3, 4]
PRESENT = np.arange(LENGTH) < np.array(COUNTS)[:, None]
VALID = jnp.ones(ROWS, bool)


def unit(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def compare(ours, theirs, arrays):
    value, slopes = jax.jit(jax.value_and_grad(ours, argnums=tuple(range(len(arrays)))))(*arrays)
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    loss = theirs(*tensors)
    loss.backward()
    assert float(value) == pytest.approx(loss.item(), rel=1e-5)
    for got, tensor in zip(slopes, tensors, strict=True):
        np.testing.assert_allclose(got, tensor.grad, rtol=1e-3, atol=2e-5)


def both(logits):
    return 2 * contrast_scores(logits, valid=VALID)[0]


def test_gloria():
    from benchmarks.torch_local_losses import gloria_loss

    rng = np.random.default_rng(0)
    whole = unit(rng, ROWS, WIDTH), unit(rng, ROWS, WIDTH)
    patches = rng.normal(size=(ROWS, REGIONS, WIDTH)).astype(np.float32)
    words = rng.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32)

    def ours(image, text, patches, words):
        local = both(10 * word_region_scores(patches, words, PRESENT))
        return local + both(10 * image @ text.T)

    def theirs(image, text, patches, words):
        return gloria_loss(
            image, text, patches, [w[:n] for w, n in zip(words, COUNTS, strict=True)]
        )

    compare(ours, theirs, (*whole, patches, words))


def test_mgca():
    from benchmarks import torch_local_losses as plain

    rng = np.random.default_rng(1)
    arrays = (
        unit(rng, ROWS, WIDTH),
        unit(rng, ROWS, WIDTH),
        unit(rng, ROWS, REGIONS, WIDTH),
        unit(rng, ROWS, LENGTH, WIDTH),
        unit(rng, 3, WIDTH),
    )
    attention = (rng.random((ROWS, LENGTH)) * PRESENT).astype(np.float32)

    def ours(image, text, patches, words, prototypes):
        by_word = clipped_weights(jnp.asarray(attention))
        flat = jnp.full((ROWS, REGIONS), 1 / REGIONS)
        cta = alignment_loss(words, patches, by_word, queries_present=PRESENT)
        cta = cta + alignment_loss(patches, words, flat, keys_present=PRESENT)
        cpa, _ = swapped_prediction(image, text, prototypes, VALID)
        return both(image @ text.T / 0.07) + jnp.mean(cta) + cpa

    def theirs(image, text, patches, words, prototypes):
        kept = [w[:n] for w, n in zip(words, COUNTS, strict=True)]
        weights = [
            plain.clipped_weights(torch.from_numpy(a[:n]))
            for a, n in zip(attention, COUNTS, strict=True)
        ]
        return plain.mgca_loss(image, text, patches, kept, weights, prototypes)

    compare(ours, theirs, arrays)
