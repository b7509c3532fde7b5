import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.detector import points_of
from medvlp_jax.models.heads import ClassifierConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.tasks.detection import assign, giou, known_classes
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.registry import make_task
from medvlp_jax.tasks.segmentation import (
    flat_dice,
    focal,
    known_masks,
    segmentation_loss,
)
from medvlp_jax.tasks.supervised import bce, targets

pytestmark = pytest.mark.usefixtures("all_compile_quickly")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 3, 2))
    truth = (rng.random((2, 3, 3, 2)) < 0.3).astype(float)
    return logits, truth


def test_cross_entropy_is_that_of_the_labels_that_are_known():
    logits = np.array([[0.5, -2.0, 30.0], [1.0, 0.3, -1.0]])
    labels = np.array([[1, -1, -2], [0, 1, -2]])
    target, known = targets(jnp.asarray(labels), "ignore")
    got = bce(jnp.asarray(logits), target, known.astype(float))
    want = [np.log(sigmoid(0.5)), np.log(1 - sigmoid(1.0)), np.log(sigmoid(0.3))]
    assert got == pytest.approx(-np.mean(want), abs=1e-6)
    none = jnp.zeros((2, 3))
    assert bce(jnp.asarray(logits), target, none) == 0


def test_uncertain_labels_count_as_asked():
    labels = jnp.array([[-1, -2, 0, 1]])
    for how, target, known in (
        ("ignore", [0, 0, 0, 1], [0, 0, 1, 1]),
        ("positive", [1, 0, 0, 1], [1, 0, 1, 1]),
        ("negative", [0, 0, 0, 1], [1, 0, 1, 1]),
    ):
        got = targets(labels, how)
        assert got[0][0].tolist() == target
        assert got[1][0].tolist() == [bool(k) for k in known]


def tiny_classifier():
    vision = ViTConfig(image_size=8, patch=4, channels=1, width=8, depth=1, heads=2, mlp_width=8)
    return ModelDef.of(lambda rngs: ClassifierConfig(vision, 2).build(rngs=rngs))


@pytest.mark.slow
def test_what_is_validated_has_passed_through_one_sigmoid_as_in_training():
    model_def = tiny_classifier()
    task = make_task(model_def, {"name": "supervised"})
    params, buffers = model_def.init(jax.random.key(0))
    kernel = jax.random.normal(jax.random.key(1), params["head"]["kernel"].shape)
    params["head"]["kernel"] = kernel  # it starts at zero
    model = model_def.merge(params, buffers)
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.integers(0, 255, (4, 8, 8, 1)), jnp.uint8),
        "labels": jnp.asarray([[0, 1], [1, 1], [1, 0], [0, 0]], jnp.int8),
        "valid": jnp.ones(4, bool),
    }
    trained, _ = task.loss(model, None, batch)
    p = sigmoid(np.float64(task.predict["logits"](model, batch)))
    assert p.std() > 0.01
    y = np.array(batch["labels"])
    assert trained == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-5)


def losses_by_loops(logits, truth, known):
    """(focal, Dice per mask, mean BCE) over what is known."""
    b, h, w, masks = logits.shape
    entropies, focals, dices = [], [], []
    for k in range(masks):
        both = total = 0.0
        for i, y, x in itertools.product(range(b), range(h), range(w)):
            if not known[i, k]:
                continue
            p, t = sigmoid(logits[i, y, x, k]), truth[i, y, x, k]
            right = p if t else 1 - p
            entropies.append(-np.log(right))
            focals.append((1 - right) ** 2 * -np.log(right))
            both += p * t
            total += p + t
        dices.append((2 * both + 1) / (total + 1))
    return np.mean(focals), np.array(dices), np.mean(entropies)


def test_both_segmentation_losses_equal_loops_over_pixels(pixels):
    logits, truth = pixels
    known = np.array([[1, 1], [1, 0]])
    focal_value, dice, entropy = losses_by_loops(logits, truth, known)
    arguments = [jnp.asarray(a, jnp.float32) for a in (logits, truth, known)]
    weight = arguments[2][:, None, None, :]
    assert focal(*arguments[:2], weight) == pytest.approx(focal_value, abs=1e-6)
    np.testing.assert_allclose(flat_dice(sigmoid(logits), arguments[1], weight), dice, rtol=1e-5)
    loss, mean = segmentation_loss("focal_dice", *arguments)
    assert loss == pytest.approx(10 * focal_value - np.log(dice).mean(), abs=1e-5)
    assert mean == pytest.approx(dice.mean(), abs=1e-6)
    loss, _ = segmentation_loss("bce_dice", *arguments)
    assert loss == pytest.approx(entropy + 1 - dice.mean(), abs=1e-5)


@pytest.mark.parametrize("kind", ["focal_dice", "bce_dice"])
def test_unknown_masks_do_not_touch_the_loss(kind, pixels):
    logits, truth = (jnp.asarray(a, jnp.float32) for a in pixels)
    known = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    first = segmentation_loss(kind, logits, truth, known)[0]
    other = segmentation_loss(kind, logits, truth.at[..., 1].set(1 - truth[..., 1]), known)[0]
    alone = segmentation_loss(kind, logits[..., :1], truth[..., :1], known[:, :1])[0]
    assert first == other == pytest.approx(float(alone), rel=1e-6)
    assert segmentation_loss(kind, logits, truth, jnp.zeros((2, 2)))[0] == 0


def test_nothing_to_find_and_nothing_found_costs_nothing():
    logits, truth = jnp.full((1, 4, 4, 1), -30.0), jnp.zeros((1, 4, 4, 1))
    for kind in ("focal_dice", "bce_dice"):
        assert segmentation_loss(kind, logits, truth, jnp.ones((1, 1)))[0] == pytest.approx(0)


def test_a_negative_label_makes_an_empty_mask_known():
    given = np.array([[True, False, False], [False, False, False], [False, False, False]])
    labels = np.array([[1, 0], [1, 0], [-2, -1]])
    # mask 0 belongs to label 0, mask 1 to label 1, mask 2 (an organ) to none
    want = [[True, True, False], [False, True, False], [False, False, False]]
    for array in (np.asarray, jnp.asarray):
        got = known_masks(array(given), array(labels), (0, 1, -1))
        assert np.asarray(got).tolist() == want
    assert known_masks(given, np.zeros((3, 0), int), (-1, -1, -1)) is given


def test_boxes_overlap_as_counted_by_hand():
    rng = np.random.default_rng(1)
    low = rng.random((50, 2, 2)) * 0.5
    boxes = np.concatenate([low, low + rng.random((50, 2, 2)) * 0.5], -1)
    got = giou(jnp.asarray(boxes[:, 0]), jnp.asarray(boxes[:, 1]))
    for value, (a, b) in zip(got, boxes, strict=True):
        width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
        union = sum(areas) - width * height
        hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
        assert value == pytest.approx(width * height / union - (hull - union) / hull, abs=1e-5)


def test_every_box_has_a_position_and_every_position_the_smallest_box():
    points = points_of([16, 8, 4])
    rng = np.random.default_rng(2)
    side = rng.uniform(0.005, 0.9, (20, 6, 2))
    low = rng.random((20, 6, 2)) * (1 - side)
    boxes = np.concatenate([low, low + side], -1).astype(np.float32)
    label = rng.integers(0, 3, (20, 6)).astype(np.int32)
    for i in range(20):
        # each box alone: somebody learns it, at one level only
        for m in range(6):
            alone = assign(points, boxes[i : i + 1, m : m + 1], label[i : i + 1, m : m + 1])
            at = np.flatnonzero(np.asarray(alone.label[0]) >= 0)
            assert len(at)
            assert len(set(points.level[at])) == 1
            assert (np.asarray(alone.centred)[0, at] > 0).all()
    together = assign(points, jnp.asarray(boxes), jnp.asarray(label))
    area = np.prod(boxes[..., 2:] - boxes[..., :2], -1)
    for i, n in zip(*np.nonzero(np.asarray(together.label) >= 0), strict=True):
        mine = [
            area[i, m]
            for m in range(6)
            if int(assign(points, boxes[i : i + 1, m : m + 1], label[i : i + 1, m : m + 1])
                   .label[0, n]) >= 0
        ] if n % 37 == 0 else []  # fmt: skip
        if mine:
            box = np.asarray(together.box)[i, n]
            assert (box[2] - box[0]) * (box[3] - box[1]) == pytest.approx(min(mine), rel=1e-5)


def test_by_area_thin_boxes_side_by_side_keep_a_position_each():
    points = points_of([32, 16, 8, 4])
    left = np.arange(10) * 0.03
    boxes = np.stack([left, np.full(10, 0.1), left + 0.025, np.full(10, 0.5)], 1)[None]
    label = jnp.zeros((1, 10), jnp.int32)

    def learnt(level):
        got = assign(points, jnp.asarray(boxes), label, level)
        return len(np.unique(np.asarray(got.box)[np.asarray(got.label) >= 0], axis=0))

    assert learnt("area") == 10
    assert learnt("longer") < 10


def test_padding_is_no_box():
    points = points_of([4])
    got = assign(points, jnp.ones((1, 2, 4)) * 0.5, jnp.full((1, 2), -1))
    assert (np.asarray(got.label) == -1).all()


def test_a_class_is_known_where_it_is_boxed_or_absent():
    labels = jnp.array([[1, 0, 1, -2]])
    got = known_classes(labels, jnp.array([[2, -1]]), 4)
    assert np.asarray(got)[0].tolist() == [False, True, True, False]


def test_the_pixels_of_a_tower_are_prepared_as_in_its_training():
    image = np.arange(2 * 4 * 4).reshape(2, 4, 4, 1).astype(np.uint8)
    plain = PixelConfig(mean=(0.4,), std=(0.2,)).prepare(jnp.asarray(image))
    np.testing.assert_allclose(plain, (image / 255 - 0.4) / 0.2, atol=1e-5)
    assert PixelConfig(upsample=6).prepare(jnp.asarray(image)).shape == (2, 6, 6, 1)
    assert abs(float(PixelConfig(pixels="image").prepare(jnp.asarray(image)).mean())) < 1e-5
    with pytest.raises(ValueError, match="std"):
        PixelConfig(std=(0.0,))


def test_a_wrong_key_of_the_task_is_named():
    with pytest.raises(ConfigError, match="los"):
        make_task(
            tiny_classifier(), {"name": "segmentation", "los": "bce_dice", "label_of_mask": (0,)}
        )
    with pytest.raises(ValueError, match="exceeds"):
        known_masks(np.zeros((2, 1), bool), np.zeros((2, 1), np.int8), (1,))
