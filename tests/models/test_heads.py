import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from model_toys import products

from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.models.detector import DetectorConfig, points_of
from medvlp_jax.models.heads import ClassifierConfig, Pyramid
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.segmenter import SegmenterConfig
from medvlp_jax.models.towers import build_vision
from medvlp_jax.models.vit import ViTConfig

FOLD = ResNetConfig(
    width=4, stage_sizes=(1, 1, 1), stem="fold", block="basic", channels=1, zero_init=False
)
V1 = ResNetConfig(width=4, stage_sizes=(1, 1), block="basic", channels=1, zero_init=False)
VIT = ViTConfig(image_size=16, patch=4, channels=1, width=16, depth=1, heads=2, mlp_width=16)


def image(size=16, batch=2):
    return jax.random.normal(jax.random.key(0), (batch, size, size, 1))


@pytest.mark.parametrize(
    ("config", "strides"),
    [(FOLD, [4, 8, 16]), (V1, [2, 4, 8]), (VIT, [1, 2, 4, 8])],
    ids=["fold", "v1", "vit"],
)
def test_a_pyramid_has_the_channels_and_strides_it_says(config, strides):
    levels = Pyramid.levels(config)
    assert [s for _, s in levels] == strides

    def shapes():
        rngs = nnx.Rngs(0)
        pyramid, tower = Pyramid(config, rngs=rngs), build_vision(config, rngs=rngs)
        return pyramid(tower, image(), train=False, frozen=False)

    maps = nnx.eval_shape(shapes)
    assert [m.shape for m in maps] == [(2, 16 // s, 16 // s, c) for c, s in levels]


@pytest.mark.parametrize("config", [FOLD, V1, VIT], ids=["fold", "v1", "vit"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_segmenter_answers_at_the_resolution_of_the_image(config, stride):
    def run():
        model = SegmenterConfig(config, 3, widths=(8, 4), stride=stride).build(rngs=nnx.Rngs(0))
        return model(image(), train=True)

    assert nnx.eval_shape(run).shape == (2, 16, 16, 3)


def test_a_segmenter_takes_sides_that_do_not_halve_evenly():
    def run():
        model = SegmenterConfig(V1, 1, widths=(4,)).build(rngs=nnx.Rngs(0))
        return model(image(22), train=False)

    assert nnx.eval_shape(run).shape == (2, 22, 22, 1)


def run_once(build, frozen):
    """Gradients and new buffers of one training pass."""
    model_def = ModelDef.of(build)
    params, buffers = model_def.init(jax.random.key(1))
    # A zero head would hide the tower from the gradient.
    params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape), params)

    @jax.jit
    def step(params, buffers):
        def loss(params):
            model = model_def.merge(params, buffers)
            out = model(image(), train=True, frozen=frozen)
            out = out[0].logits if isinstance(out, tuple) else out
            return jnp.mean(out**2), model_def.buffers_of(model)

        grads, new = jax.grad(loss, has_aux=True)(params)
        return grads, new

    return *step(params, buffers), buffers


@pytest.mark.parametrize(
    "build",
    [
        lambda rngs: ClassifierConfig(FOLD, 2).build(rngs=rngs),
        lambda rngs: SegmenterConfig(FOLD, 2, widths=(4,), stride=4).build(rngs=rngs),
    ],
    ids=["classifier", "segmenter"],
)
def test_a_frozen_tower_keeps_its_batch_statistics_and_has_no_gradient(build):
    grads, new, old = run_once(build, frozen=True)
    assert all(not np.any(g) for g in flatten(grads["vision"]).values())
    for path, value in flatten(new["vision"]).items():
        np.testing.assert_array_equal(value, flatten(old["vision"])[path])
    grads, new, old = run_once(build, frozen=False)
    assert any(np.any(g) for g in flatten(grads["vision"]).values())
    assert any(np.any(v != flatten(old["vision"])[p]) for p, v in flatten(new["vision"]).items())


def test_a_frozen_classifier_sees_what_evaluation_sees():
    model_def = ModelDef.of(lambda rngs: ClassifierConfig(FOLD, 2).build(rngs=rngs))
    params, buffers = model_def.init(jax.random.key(1))
    params["head"]["kernel"] += 1.0
    model = model_def.merge(params, buffers)
    frozen = model(image(), train=True, frozen=True)
    np.testing.assert_allclose(frozen, model(image(), train=False), rtol=1e-6)
    assert np.abs(frozen - model(image(), train=True)).max() > 1e-3


def test_points_lie_in_the_middle_of_their_positions():
    points = points_of([2, 1])
    want = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75], [0.5, 0.5]]
    np.testing.assert_allclose(points.centre, want)
    np.testing.assert_allclose(points.stride, [0.5] * 4 + [1.0])
    assert points.level.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("config", [FOLD, VIT], ids=["resnet", "vit"])
def test_a_detector_speaks_at_every_position(config):
    points = None

    def run():
        nonlocal points
        found, points = DetectorConfig(config, 3, width=4).build(rngs=nnx.Rngs(0))(
            image(32), train=True
        )
        return found

    found = nnx.eval_shape(run)
    n = len(points.stride)
    assert found.logits.shape == (2, n, 3)
    assert found.box.shape == (2, n, 4)
    strides = [s for _, s in Pyramid.levels(config) if s >= 3]
    assert n == sum((32 / s) ** 2 for s in strides)


def test_before_training_a_detector_expects_small_boxes_around_its_positions():
    model = DetectorConfig(FOLD, 2, width=4).build(rngs=nnx.Rngs(0))
    found, points = model(image(32), train=False)
    box = np.asarray(found.box)
    assert (box[..., 2:] > box[..., :2]).all()
    np.testing.assert_array_less(np.abs((box[..., :2] + box[..., 2:]) / 2 - points.centre), 0.5)
    assert np.asarray(jax.nn.sigmoid(found.logits)).mean() < 0.1


@pytest.mark.parametrize("vision", [FOLD, V1, VIT], ids=["fold", "v1", "vit"])
@pytest.mark.parametrize(
    "head",
    [
        lambda vision: ClassifierConfig(vision, 3),
        lambda vision: SegmenterConfig(vision, 2, widths=(8, 4)),
        lambda vision: DetectorConfig(vision, 3, width=4),
    ],
    ids=["classifier", "segmenter", "detector"],
)
def test_operations_by_formula_are_those_of_the_program(head, vision):
    config = head(vision)
    model_def = ModelDef.of(lambda rngs: config.build(rngs=rngs))
    side = vision.image_size

    def run(params, buffers, image):
        return model_def.merge(params, buffers)(image, train=False)

    shapes = (
        model_def.abstract_params,
        model_def.abstract_buffers,
        jax.ShapeDtypeStruct((2, side, side, vision.channels), jnp.float32),
    )
    assert config.flops(2, 0, train=False) == products(jax.make_jaxpr(run)(*shapes).jaxpr)
