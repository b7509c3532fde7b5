"""One device equals eight: the losses of GLoRIA, MGCA and MedCLIP, their values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.clip import build_clip
from medvlp_jax.tasks import gloria, medclip, mgca
from medvlp_jax.tasks.registry import make_task

from ..tasks.test_methods import LENGTH, MODELS, batch_of

pytestmark = [pytest.mark.multidevice, pytest.mark.usefixtures("quick_compiles")]

ROWS, REGIONS, WIDTH = 16, 5, 6
MESHES = {"8x1x1": MeshConfig(8, 1, 1), "2x2x2": MeshConfig(2, 2, 2)}


def unit(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@functools.cache
def case(name):
    """``(task, parameters, embeddings, batch)``; two of the rows are padding."""
    rng = np.random.default_rng(4)
    options = {"block": 4} if name == "gloria" else {}
    if name == "medclip":
        options["variant"] = True
    model_def = ModelDef.of(build_clip(MODELS[name]))
    task = make_task(model_def, {"name": name, **options})
    batch = batch_of(ROWS)
    batch["valid"] = np.arange(ROWS) % 9 != 5
    whole = unit(rng, ROWS, WIDTH), unit(rng, ROWS, WIDTH)
    patches, words = unit(rng, ROWS, REGIONS, WIDTH), unit(rng, ROWS, LENGTH, WIDTH)
    if name == "gloria":
        embeddings = gloria.Embeddings(*whole, 2 * patches, 2 * words)
    elif name == "mgca":
        there = (batch["word_ids"] > 0).astype(np.float32)
        weights = np.full((ROWS, REGIONS), 1 / REGIONS, np.float32), there / 3
        embeddings = mgca.Embeddings(*whole, patches, words, *weights)
    else:
        embeddings = medclip.Embeddings(*whole, unit(rng, ROWS, WIDTH))
    return task, jax.jit(model_def.init)(jax.random.key(0)), embeddings, batch


def differentiate(name, mesh):
    task, (params, buffers), embeddings, batch = case(name)

    def loss(params, embeddings, batch):
        with sharding.use_mesh(mesh):
            return task.loss(task.model_def.merge(params, buffers), embeddings, batch)

    if mesh.size > 1:
        embeddings, batch = jax.device_put((embeddings, batch), batch_sharding(mesh))
    (value, metrics), slopes = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
        params, embeddings, batch
    )
    learned = {k: slopes[0][k] for k in ("prototypes", "logit_scale") if k in slopes[0]}
    return value, metrics, learned, slopes[1]


@functools.cache
def alone(name):
    return differentiate(name, make_mesh(MeshConfig(), jax.devices()[:1]))


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", MODELS)
def test_value_metrics_and_gradients(name, mesh, devices):
    got = differentiate(name, make_mesh(MESHES[mesh], devices))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, alone(name)
    )
    place = got[3].image.sharding
    assert place.is_equivalent_to(batch_sharding(make_mesh(MESHES[mesh], devices)), 2)


def test_no_device_holds_all_scores_of_words_and_regions(devices):
    """[images of a device, texts of a block, words, regions] at most; the batch is on none."""
    mesh = make_mesh(MeshConfig(8, 1, 1), devices)
    task, (params, buffers), embeddings, batch = case("gloria")

    def loss(embeddings, batch):
        with sharding.use_mesh(mesh):
            return task.loss(task.model_def.merge(params, buffers), embeddings, batch)[0]

    place = batch_sharding(mesh)
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), (embeddings, batch)
    )
    text = jax.jit(jax.grad(loss)).lower(*arguments).compile().as_text()
    per_device = ROWS // 8
    sizes = [
        np.prod([int(n) for n in shape.split(",") if n])
        for line in text.splitlines()
        for shape in [line.partition("f32[")[2].partition("]")[0]]
        if shape.replace(",", "").isdigit()
    ]
    assert max(sizes) < per_device * ROWS * LENGTH * REGIONS


def test_a_batch_that_does_not_divide_is_an_error(devices):
    task, (params, buffers), embeddings, batch = case("gloria")
    few = jax.tree.map(lambda x: x[:12], (embeddings, batch))
    with (
        sharding.use_mesh(make_mesh(MeshConfig(8, 1, 1), devices)),
        pytest.raises(ConfigError, match="12 records does not divide into the 8 shards"),
    ):
        jax.eval_shape(lambda e, b: task.loss(task.model_def.merge(params, buffers), e, b), *few)


def test_labels_of_padding_do_not_matter():
    """MedCLIP's targets are taken over valid records alone."""
    task, (params, buffers), embeddings, batch = case("medclip")
    model = task.model_def.merge(params, buffers)
    other = dict(batch)
    other["labels"] = np.where(batch["valid"][:, None], batch["labels"], 1).astype(np.int8)
    assert (other["labels"] != batch["labels"]).any()
    first, second = (task.loss(model, embeddings, jax.tree.map(jnp.asarray, b))[0]
                     for b in (batch, other))  # fmt: skip
    assert float(first) == pytest.approx(float(second), rel=1e-6)
