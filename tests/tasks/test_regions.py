"""The region of a text: which positions of the feature map its findings' boxes cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.tasks.regions import pool, stated_region


def weights(boxes, labels, stated, size=4):
    args = np.float32([boxes]), np.int32([labels]), np.uint8([stated])
    return np.asarray(stated_region(*args, size, size))[0]


def test_a_box_covers_its_positions_by_area():
    # One whole position, half of the one on its right.
    got = weights([[0.25, 0.5, 0.625, 0.75]], [1], [0, 1])
    want = np.zeros((4, 4))
    want[2, 1], want[2, 2] = 2 / 3, 1 / 3
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_boxes_of_stated_findings_count_and_no_others():
    boxes = [[0, 0, 0.25, 0.25], [0.75, 0.75, 1, 1], [0, 0.75, 0.25, 1]]
    got = weights(boxes, [0, 1, -1], [1, 0])
    assert got[0, 0] == 1
    assert got.sum() == 1
    both = weights(boxes, [0, 1, -1], [1, 1])
    assert both[0, 0] == both[3, 3] == 0.5
    assert both[3, 0] == 0


def test_overlapping_boxes_do_not_count_twice():
    got = weights([[0, 0, 0.5, 0.25], [0.25, 0, 0.75, 0.25]], [0, 0], [1])
    np.testing.assert_allclose(got[0], [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)


@pytest.mark.parametrize("stated", [[0, 0], [0, 1]])
def test_without_a_box_of_the_text_the_whole_image_is_the_region(stated):
    np.testing.assert_allclose(weights([[0, 0, 0.5, 0.5]], [0], stated), 1 / 16)


def test_pooling_gives_unit_vectors_and_finite_slopes_at_zero():
    rng = np.random.default_rng(0)
    patches, where = rng.normal(size=(2, 3, 3, 5)), rng.uniform(size=(2, 3, 3))
    got = pool(jnp.float32(patches), jnp.float32(where))
    mean = np.einsum("bhwd,bhw->bd", patches, where)
    np.testing.assert_allclose(got, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    slope = jax.grad(lambda x: pool(x, jnp.float32(where)).sum())(jnp.zeros((2, 3, 3, 5)))
    assert np.isfinite(slope).all()
