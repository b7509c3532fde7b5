"""The contrastive task on a tiny CLIP: batches, positives, frozen towers, micro-batches, meshes."""

import functools

import jax
import jax.numpy as jnp
import loss_oracle as oracle
import numpy as np
import pytest
from task_spec import task_spec

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.core.step import init_state, make_train_step
from medvlp_jax.core.task import Task
from medvlp_jax.losses.positives import label_key
from medvlp_jax.models.clip import CLIPConfig, build_clip
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.tasks.contrastive import Embeddings
from medvlp_jax.tasks.images import normalise, standardise
from medvlp_jax.tasks.registry import TASKS, make_task

from .tiny_clip import JOINT, LENGTH, PATCH, SIZE, VOCAB, tiny_model

LABELS, BATCH, BOXES = 3, 8, 2
BASE = {"name": "contrastive", "channels": 1}
REGIONS = {"region_weight": 0.5}


@functools.cache
def weights(*args):
    return jax.jit(tiny_model(*args).init)(jax.random.key(0))


def make(**config):
    bias = -3.0 if config.get("loss") == "sigmoid" else None
    return make_task(tiny_model(bias), BASE | config), weights(bias)


def batch_of(records=BATCH, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-2, 2, (records, LABELS)).astype(np.int8)
    corners = np.sort(rng.uniform(size=(records, BOXES, 2, 2)), axis=2).reshape(records, BOXES, 4)
    return {
        "image": rng.integers(0, 256, (records, SIZE, SIZE, 1)).astype(np.uint8),
        "text": rng.integers(0, VOCAB, (records, LENGTH)).astype(np.int32),
        "text_mask": np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (records, 1)),
        "text_key": rng.integers(0, 5, records).astype(np.uint32),
        "labels": labels,
        "text_labels": ((labels == 1) & rng.integers(0, 2, labels.shape)).astype(np.uint8),
        "boxes": corners.astype(np.float32),
        "box_label": rng.integers(-1, LABELS, (records, BOXES)).astype(np.int32),
        "valid": np.arange(records) < records - 1,
    }


def spec_of(task, rows=BATCH):
    return task_spec(task, rows, LENGTH, size=SIZE, labels=LABELS, boxes=BOXES)


def whole_loss(task, trained, frozen, buffers, batch, rng=None):
    model = task.model_def.merge({**frozen, **trained}, buffers)
    return task.loss(model, task.embed(model, batch, rng), batch)


def close(got, want, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), got, want)


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        ({}, ()),
        ({"multi_positive": "labels"}, ("labels",)),
        ({"multi_positive": "stated"}, ("labels", "text_labels")),
        ({"multi_positive": "text"}, ("text_key",)),
        ({"multi_positive": "text_or_labels"}, ("labels", "text_key")),
        ({"text_weight": 1.0}, ("text_labels",)),
        (REGIONS, ("text_labels", "boxes", "box_label")),
    ],
    ids=str,
)
def test_columns_are_what_the_task_reads(config, extra):
    task, (params, buffers) = make(**config)
    spec = spec_of(task)
    batch = batch_of()
    assert {k: (v.shape, v.dtype) for k, v in spec.items()} == {
        k: (batch[k].shape, batch[k].dtype) for k in spec
    }
    shapes = jax.eval_shape(functools.partial(whole_loss, task), params, {}, buffers, spec)
    assert shapes[0].shape == ()
    assert set(spec) == {"image", "text", "text_mask", "valid", *extra}
    assert isinstance(task, Task)


@pytest.mark.parametrize(
    "config",
    [
        {"impl": "ring", "block": 4},
        {"multi_positive": "text", "image_weight": 0.25},
        {"multi_positive": "labels", "temperature": 0.2},
        {"loss": "convirt"},
        {"loss": "sigmoid", "multi_positive": "labels", "impl": "ring"},
        {"loss": "sigmoid"},
        {"multi_positive": "text_or_labels"},
        {"loss": "convirt", "multi_positive": "text_or_labels"},
        {"loss": "sigmoid", "multi_positive": "text_or_labels", "impl": "ring", "block": 4},
        {"multi_positive": "stated", "image_weight": 0.75},
        {"multi_positive": "stated", "impl": "ring", "text_weight": 0.5, **REGIONS},
    ],
    ids=str,
)
def test_loss_equals_the_loop_on_its_embeddings(config):
    task, (params, buffers) = make(**config)
    batch, model = batch_of(), task.model_def.merge(params, buffers)
    embeddings = task.embed(model, batch, None)
    loss, metrics = jax.jit(lambda: task.loss(model, embeddings, batch))()
    image, text = (np.float64(x) for x in embeddings[:2])
    key, stated = None, batch["text_labels"]
    unstated = np.where(stated.any(1), 0, np.arange(1, BATCH + 1))[:, None]
    if config.get("multi_positive") == "stated":
        key = np.c_[(batch["labels"] == 1), _own()], np.c_[stated, np.where(unstated, _own(), 0)]
    if config.get("multi_positive") == "text":
        key = batch["text_key"][:, None]
    if config.get("multi_positive") == "labels":
        said = (batch["labels"] >= 0).any(1)
        number = np.where(said, -1, np.arange(BATCH))
        key = np.concatenate([batch["labels"], number[:, None]], axis=1)
    if config.get("multi_positive") == "text_or_labels":
        # said by the names themselves: the same text, or the same judged labels
        said = (batch["labels"] >= 0).any(1)
        number = np.where(said, -1, np.arange(BATCH))
        key = [batch["text_key"][:, None], np.c_[batch["labels"], number]]
    scale = {"convirt": 10.0}.get(config.get("loss"), 1 / config.get("temperature", 0.1))
    if config.get("loss") == "sigmoid":
        wanted = oracle.sigmoid(image, text, scale, -3.0, key, batch["valid"])
        assert metrics["logit_bias"] == -3.0
    else:
        weight = config.get("image_weight", 0.75 if config.get("loss") == "convirt" else 0.5)
        wanted = oracle.infonce(image, text, scale, weight, key, batch["valid"])
    if config.get("text_weight"):
        same = np.c_[stated, unstated]
        part = oracle.infonce(text, text, scale, 0.5, same, batch["valid"])
        np.testing.assert_allclose(metrics["text_loss"], part, rtol=1e-5)
        wanted += config["text_weight"] * part
    if config.get("region_weight"):
        region = np.float64(embeddings.region)
        shown = np.c_[stated, _own()], key[1]
        part = oracle.infonce(region, text, scale, weight, shown, batch["valid"])
        np.testing.assert_allclose(metrics["region_loss"], part, rtol=1e-5)
        wanted += config["region_weight"] * part
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    np.testing.assert_allclose(metrics["logit_scale"], scale, rtol=1e-6)
    assert {"image_to_text_accuracy", "positive_similarity"} < set(metrics)


def _own():
    """One bit a record."""
    return np.eye(BATCH, dtype=int)


def test_embeddings_are_unit_vectors_of_the_normalised_image():
    task, (params, buffers) = make(mean=(0.3,), std=(0.2,))
    batch, model = batch_of(), task.model_def.merge(params, buffers)
    predict = {name: np.asarray(function(model, batch)) for name, function in task.predict.items()}
    plain = predict.pop("text_embed_unnormalised")
    assert set(predict) == {"image_embed", "text_embed", "patch_embed"}
    unit = plain / np.linalg.norm(plain, axis=-1, keepdims=True)
    np.testing.assert_allclose(unit, predict["text_embed"], atol=1e-6)
    assert predict["patch_embed"].shape == (BATCH, SIZE // PATCH, SIZE // PATCH, JOINT)
    for name, rows in predict.items():
        assert rows.dtype == np.float32, name
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1, rtol=1e-5)
    pixels = np.float32((batch["image"] / 255 - 0.3) / 0.2)
    np.testing.assert_allclose(predict["image_embed"], model.image_embed(pixels), atol=1e-5)


def test_on_the_real_model():
    """CLIP has what the task calls; bf16 towers, dropout and patch dropout included."""
    small = {"width": 16, "depth": 1, "heads": 2, "mlp_width": 32, "dtype": "bfloat16"}
    vision = ViTConfig(image_size=SIZE, patch=2, channels=1, patch_dropout=0.5, **small)
    text = TextConfig(vocab=VOCAB, max_length=LENGTH, dropout=0.1, **small)
    config = CLIPConfig(vision=vision, text=text, embed_dim=JOINT, dtype="bfloat16")
    task = make_task(ModelDef.of(build_clip(config)), BASE | {"impl": "ring"})
    params, buffers = jax.jit(task.model_def.init)(jax.random.key(0))
    batch, model = batch_of(), task.model_def.merge(params, buffers)

    @jax.jit
    def everything():
        quiet, noisy = (task.embed(model, batch, rng) for rng in (None, jax.random.key(1)))
        predicted = {name: function(model, batch) for name, function in task.predict.items()}
        return quiet, noisy, predicted, task.loss(model, noisy, batch)

    quiet, noisy, predicted, (loss, metrics) = everything()
    assert {x.dtype for x in jax.tree.leaves((quiet, predicted, loss, metrics))} == {
        np.dtype(np.float32)
    }
    assert predicted["patch_embed"].shape == (BATCH, SIZE // 2, SIZE // 2, JOINT)
    np.testing.assert_allclose(quiet.image, predicted["image_embed"], atol=1e-5)
    np.testing.assert_allclose(quiet.text, predicted["text_embed"], atol=1e-5)
    assert np.abs(noisy.image - quiet.image).max() > 1e-3
    assert np.abs(noisy.text - quiet.text).max() > 1e-3
    key, weight = None, 0.5
    wanted = oracle.infonce(*map(np.float64, noisy[:2]), 1 / 0.07, weight, key, batch["valid"])
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_embedding_piece_by_piece_gives_the_whole_gradient(loss):
    """GradCache: the cotangents of one loss over all embeddings, pulled back through each piece."""
    several = {"multi_positive": "stated", "text_weight": 0.5, **REGIONS}
    config = several if loss == "infonce" else {"multi_positive": "labels"}
    task, (params, buffers) = make(loss=loss, impl="ring", block=2, **config)
    batch = batch_of()
    whole = jax.jit(jax.grad(lambda p: whole_loss(task, p, {}, buffers, batch)[0]))(params)

    def embed(params, piece):
        return task.embed(task.model_def.merge(params, buffers), piece, None)

    def head(params, embeddings):
        return task.loss(task.model_def.merge(params, buffers), embeddings, batch)[0]

    pieces = [{k: v[i : i + 2] for k, v in batch.items()} for i in range(0, BATCH, 2)]

    @jax.jit
    def pull(params, piece, cotangent):
        return jax.vjp(lambda p: embed(p, piece), params)[1](cotangent)[0]

    parts = [jax.jit(embed)(params, piece) for piece in pieces]
    joined = jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)
    grads, cotangents = jax.jit(jax.grad(head, argnums=(0, 1)))(params, joined)
    for i, piece in enumerate(pieces):
        cotangent = jax.tree.map(lambda x, i=i: x[2 * i : 2 * i + 2], cotangents)
        grads = jax.tree.map(jnp.add, grads, pull(params, piece, cotangent))
    close(grads, whole, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_frozen_tower_costs_no_backward_pass(tower):
    free, (params, buffers) = make()
    task, _ = make(frozen_towers=(tower,))
    rng, batch = jax.random.key(3), batch_of()

    def gradient(task):
        def loss(p):
            return whole_loss(task, p, {}, buffers, batch, rng)[0]

        lowered = jax.jit(jax.grad(loss)).lower(params)
        return lowered, lowered.cost_analysis()["flops"]

    (lowered, flops), (_, free_flops) = gradient(task), gradient(free)
    slopes = lowered.compile()(params)
    moved = {path[0] for path, g in flatten(slopes).items() if np.abs(g).max() > 0}
    assert moved == {"vision", "text", "vision_proj", "text_proj", "logit_scale"} - {tower}
    assert flops < 0.85 * free_flops
    side = {"vision": "image"}.get(tower, tower)
    models = [task.model_def.merge(params, buffers) for _ in range(2)]
    frozen, quiet = (task.embed(m, batch, k) for m, k in zip(models, (rng, None), strict=True))
    np.testing.assert_array_equal(getattr(frozen, side), getattr(quiet, side))  # no dropout
    seen = task.model_def.buffers_of(models[0])
    assert {name for name, count in seen.items() if count["seen"]} == {"vision", "text"} - {tower}


def test_a_fixed_temperature_leaves_the_scale_alone():
    task, (params, buffers) = make(loss="convirt")
    grads = jax.jit(jax.grad(lambda p: whole_loss(task, p, {}, buffers, batch_of())[0]))(params)
    assert grads["logit_scale"] == 0
    assert np.abs(grads["vision_proj"]).max() > 0


@pytest.mark.parametrize(("start", "used"), [(150.0, 100.0), (0.5, 1.0), (20.0, 20.0)])
def test_the_learned_scale_stays_in_its_range(start, used):
    task, (params, buffers) = make()
    params = params | {"logit_scale": jnp.log(jnp.float32(start))}
    rng = np.random.default_rng(5)
    embeddings = Embeddings(*(jnp.float32(oracle.unit(rng, BATCH, JOINT)) for _ in range(2)))
    _, metrics = task.loss(task.model_def.merge(params, buffers), embeddings, batch_of())
    np.testing.assert_allclose(metrics["logit_scale"], used, rtol=1e-5)


@pytest.mark.parametrize("labels", [1, 14, 16, 17, 40])
def test_label_keys_are_equal_for_equal_labels_only(labels):
    rng = np.random.default_rng(labels)
    rows = rng.integers(-2, 2, (6, labels))
    table = rows[rng.integers(0, 6, 40)]
    table[:5] = -2
    table[5:10] = -1
    table[10:12, -1] ^= 1  # a difference in the last label alone
    key = np.asarray(label_key(jnp.asarray(table, jnp.int8)))
    for i in range(40):
        for j in range(40):
            same = (table[i] == table[j]).all() and (table[i] >= 0).any()
            assert (key[i] == key[j]).all() == (i == j or same), (table[i], table[j])


@pytest.mark.multidevice
@pytest.mark.parametrize(
    "config",
    [
        {"loss": "infonce", "impl": "gathered", "multi_positive": "text"},
        {"loss": "convirt", "impl": "ring", "block": 2},
        {"loss": "sigmoid", "impl": "gathered"},
        {"loss": "sigmoid", "impl": "ring", "multi_positive": "labels"},
    ],
    ids=str,
)
def test_the_loss_finds_its_mesh(config, devices):
    task, (params, buffers) = make(**config)
    rng = np.random.default_rng(4)
    batch = batch_of(16)
    embeddings = Embeddings(*(np.float32(oracle.unit(rng, 16, JOINT)) for _ in range(2)))

    def run(mesh):
        def loss(embeddings):
            with sharding.use_mesh(mesh):
                return task.loss(task.model_def.merge(params, buffers), embeddings, batch)

        placed = jax.device_put(embeddings, sharding.batch_sharding(mesh))
        lowered = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(placed)
        return lowered.compile()(placed), lowered.as_text()

    one, _ = run(make_mesh(MeshConfig(1, 1, 1), devices[:1]))
    eight, program = run(make_mesh(MeshConfig(2, 2, 2), devices))
    close(eight, one, rtol=1e-5, atol=1e-6)
    moves = {"gathered": "all_gather", "ring": "collective_permute"}
    assert {impl: op in program for impl, op in moves.items()} == {
        impl: impl == config["impl"] for impl in moves
    }


@pytest.mark.multidevice
def test_training_steps_are_the_same_on_eight_devices(devices):
    task, _ = make(loss="convirt", impl="ring", multi_positive="labels")
    definition, results = task.model_def, []
    for mesh_config, count in ((MeshConfig(1, 1, 1), 1), (MeshConfig(2, 2, 2), 8)):
        mesh = make_mesh(mesh_config, devices[:count])
        optimizer = make_optimizer(
            OptimConfig(lr=1e-3), definition.abstract_params, definition.logical_axes, 4
        )
        step = make_train_step(definition, task, optimizer, mesh, micro_batches=2)
        state = init_state(definition, optimizer, jax.random.key(0), mesh)
        values = []
        for seed in range(2):
            full = batch_of(16, seed)
            batch = {k: full[k] for k in spec_of(task, 16)}
            batch = jax.device_put(batch, sharding.batch_sharding(mesh))
            state, metrics = step(state, batch, jax.random.key(7))
            values.append(jax.tree.map(np.asarray, metrics))
        results.append(values)
    close(results[1], results[0], rtol=2e-4, atol=1e-5)


def test_config_errors_name_the_key_and_the_mend():
    plain = tiny_model()
    cases = [
        ({"name": "contrastiv"}, r"config\.task\.name.*did you mean .*contrastive"),
        ({"losss": "infonce"}, r"config\.task\.losss is not a known key.*config\.task\.loss"),
        ({"loss": "infonc"}, "did you mean 'infonce'"),
        ({"loss": "sigmoid"}, r"config\.model\.logit_bias"),
        ({"loss": "sigmoid", "image_weight": 0.5}, "no meaning for the sigmoid"),
        ({"image_weight": 1.5}, r"image_weight=1\.5 must be at least 0 and at most 1"),
        ({"temperature": 0.0}, "temperature=0.* must be above 0"),
        ({"block": 16}, "goes with impl='ring'"),
        ({"channels": 2}, "channels=2 must be 1 or 3"),
        ({"mean": (0.1, 0.2)}, "mean=.* must have 1 or 1 values"),
        ({"std": (0.0,)}, r"std\[0\]=0\.0 must be above 0"),
        ({"max_logit_scale": 1.0}, "max_logit_scale=1.0 must be above 1"),
        ({"frozen_towers": ("image",)}, "must be one of"),
    ]
    for change, message in cases:
        with pytest.raises(ConfigError, match=message):
            make_task(plain, BASE | change)
    with pytest.raises(
        ConfigError, match=r"config\.task\.name is missing; one of blip, contrastive"
    ):
        make_task(plain, {})
    assert "contrastive" in TASKS


def test_images_of_the_wrong_number_of_channels():
    with pytest.raises(ValueError, match="does not fit images of 1 channels"):
        normalise(jnp.zeros((2, 4, 4, 1), jnp.uint8), (0.1, 0.2, 0.3), (1.0,))
    grey = normalise(jnp.full((1, 2, 2, 3), 51, jnp.uint8), (0.1,), (0.5,))
    np.testing.assert_allclose(grey, 0.2, rtol=1e-6)


def test_standardised_images_do_not_depend_on_exposure():
    rng = np.random.default_rng(0)
    image = rng.integers(40, 120, (3, 8, 8, 1)).astype(np.uint8)
    brighter = np.stack([image[0], image[1] + 60, image[2] * 2]).astype(np.uint8)
    x, y = np.asarray(standardise(image)), np.asarray(standardise(brighter))
    np.testing.assert_allclose(x.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((1, 2, 3)), 1, atol=1e-3)
    np.testing.assert_allclose(x, y, atol=2e-3)
    assert np.all(np.asarray(standardise(np.full((1, 4, 4, 1), 9, np.uint8))) == 0)
