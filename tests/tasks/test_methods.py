"""GLoRIA, MGCA and MedCLIP as tasks: what they read, their losses whole, padding, predictions."""

import dataclasses

import jax
import jax.numpy as jnp
import method_oracle as oracle
import numpy as np
import pytest
from task_spec import task_spec

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig, build_clip
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.tasks.gloria import GloriaTask
from medvlp_jax.tasks.images import resize_corners
from medvlp_jax.tasks.registry import make_task

pytestmark = pytest.mark.usefixtures("quick_compiles")

ROWS, SIDE, LENGTH, LABELS = 6, 16, 7, 5
HEAD = ProjectionConfig(kind="mlp_bn", hidden=8, activation="relu", bias=True)
RESNET = ResNetConfig(
    image_size=SIDE, channels=1, width=4, stage_sizes=(1, 1), block="basic", zero_init=False
)
VIT = ViTConfig(image_size=SIDE, patch=4, channels=1, width=8, depth=2, heads=2, mlp_width=16)
TEXT = TextConfig(vocab=30, max_length=16, width=8, depth=3, heads=2, mlp_width=16)
MODELS = {
    "gloria": CLIPConfig(
        vision=RESNET, text=TEXT, embed_dim=8, patch_map="middle",
        vision_proj=ProjectionConfig(bias=True), text_proj=ProjectionConfig(kind="none"),
    ),
    "mgca": CLIPConfig(
        vision=VIT, text=TEXT, embed_dim=6, patch_map="own", token_map="own", prototypes=4,
        vision_proj=HEAD, text_proj=HEAD, local_proj=HEAD,
    ),
    "medclip": CLIPConfig(vision=RESNET, text=TEXT, embed_dim=6),
}  # fmt: skip


def build(name, model=None, **options):
    """``(task, params and buffers)`` at fixed random values."""
    model_def = ModelDef.of(build_clip(model or MODELS[name]))
    if name == "gloria":
        options = {"hidden_states": 2} | options
    task = make_task(model_def, {"name": name, **options})
    return task, jax.jit(model_def.init)(jax.random.key(1))


def batch_of(rows=ROWS, seed=0):
    """Captions of 1 to 5 tokens between [CLS] and [SEP]; words of one or two pieces."""
    rng = np.random.default_rng(seed)
    count = np.arange(rows) % 5 + 1
    at = np.arange(LENGTH)
    inside = (at > 0) & (at <= count[:, None])
    word = np.cumsum(inside & ((at == 1) | (rng.random((rows, LENGTH)) < 0.6)), axis=1)
    mask = at < count[:, None] + 2
    return {
        "image": rng.integers(0, 256, (rows, SIDE, SIDE, 1), dtype=np.uint8),
        "text": np.where(mask, rng.integers(1, 30, (rows, LENGTH)), 0).astype(np.int32),
        "text_mask": mask,
        "word_ids": np.where(inside, word, np.where(at == 0, 0, -1)).astype(np.int32),
        "text_variant": np.where(mask, rng.integers(1, 30, (rows, LENGTH)), 0).astype(np.int32),
        "text_variant_mask": mask,
        "labels": rng.integers(-2, 2, (rows, LABELS)).astype(np.int8),
        "text_labels": rng.integers(0, 2, (rows, LABELS)).astype(np.uint8),
        "valid": np.ones(rows, bool),
    }


def run(task, arrays, batch):
    """Embeddings, loss and metrics of a batch, the gradient left out."""

    @jax.jit
    def whole(arrays, batch):
        model = task.model_def.merge(*arrays)
        embeddings = task.embed(model, batch, None)
        return embeddings, *task.loss(model, embeddings, batch)

    return jax.tree.map(np.asarray, whole(arrays, batch))


def test_gloria_is_the_sum_of_its_parts():
    task, arrays = build("gloria")
    batch = batch_of()
    batch["valid"][2] = False
    e, loss, metrics = run(task, arrays, batch)
    exists = np.arange(LENGTH) <= batch["word_ids"].max(1)[:, None]
    expected = oracle.gloria(*map(np.float64, e), exists, batch["valid"])
    assert loss == pytest.approx(expected, rel=1e-4)
    assert metrics["local_loss"] + metrics["global_loss"] == pytest.approx(loss, rel=1e-6)
    assert e.patches.shape == (ROWS, 16, 8)  # the map below the last, 4 x 4


def test_gloria_sums_hidden_states_and_pieces():
    task, (params, buffers) = build("gloria", hidden_states=3)
    batch = batch_of()
    e, _, _ = run(task, (params, buffers), batch)
    model = task.model_def.merge(params, buffers)
    hidden = model.encode_text(batch["text"], batch["text_mask"], hidden=3).hidden
    tokens = np.asarray(hidden, np.float64).sum(0)
    np.testing.assert_allclose(e.words, oracle.merged(tokens, batch["word_ids"]), rtol=1e-4)
    mean = (tokens * batch["text_mask"][..., None]).sum(1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(e.text, expected, rtol=1e-4, atol=1e-5)


def test_glorias_score_of_inference():
    """No [CLS], the largest word, half the sum with the global cosine, nothing rescaled."""
    task, (params, buffers) = build("gloria")
    batch = batch_of()
    batch["word_ids"][3] = [0, *[-1] * (LENGTH - 1)]  # a text of no word
    model = task.model_def.merge(params, buffers)
    predict = {name: jax.jit(task.predict[name]) for name in task.predict}
    words = predict["word_embed"](model, batch)
    text = predict["text_embed"](model, batch)
    shared = {"text_embed": text, "word_embed": words}
    got = predict["pair_scores"](model, {"image": batch["image"][:4], **shared})
    assert got.shape == (4, ROWS)
    patches = model.project_patches(
        model.encode_image(task.config.prepare(batch["image"])), normalize=False
    ).reshape(ROWS, 16, 8)
    some = [i for i in range(ROWS) if i != 3]
    there = (np.arange(LENGTH) <= batch["word_ids"].max(1)[:, None]) & (np.arange(LENGTH) > 0)
    local = oracle.word_region(
        np.float64(patches), np.float64(words)[some], there[some], 4.0, 5.0, "max"
    )
    whole = np.float64(predict["image_embed"](model, batch)) @ np.float64(text).T
    np.testing.assert_allclose(got[:, some], (local + whole[:, some])[:4] / 2, rtol=1e-3)
    np.testing.assert_allclose(got[:, 3], whole[:4, 3] / 2, rtol=1e-4, atol=1e-6)
    assert not np.asarray(words)[:, LENGTH - 1].any()


@pytest.mark.parametrize("vision", ["vit", "resnet"])
def test_mgca_is_the_sum_of_its_parts(vision):
    model = MODELS["mgca"]
    if vision == "resnet":
        model = dataclasses.replace(model, vision=RESNET, patch_map="middle")
    weights = {"ita_weight": 1.0, "cta_weight": 0.7, "cpa_weight": 0.5}
    task, arrays = build("mgca", model, **weights)
    batch = batch_of()
    batch["valid"][2] = False
    e, loss, metrics = run(task, arrays, batch)
    exists = np.arange(LENGTH) <= batch["word_ids"].max(1)[:, None]
    exists[:, 0] = False
    image, text, patches, words, by_patch, by_word = map(np.float64, e)
    every, valid = np.ones(patches.shape[:2], bool), batch["valid"]
    ita = oracle.both_directions(image @ text.T / 0.07, valid)
    of_words = oracle.alignment(words, patches, by_word, 0.1, exists, every)[valid].mean()
    of_patches = oracle.alignment(patches, words, by_patch, 0.1, every, exists)[valid].mean()
    cpa = oracle.swapped(image, text, np.float64(arrays[0]["prototypes"]), valid)
    assert metrics["ita_loss"] == pytest.approx(ita, rel=1e-4)
    assert metrics["cta_word_loss"] == pytest.approx(of_words, rel=1e-4)
    assert metrics["cta_patch_loss"] == pytest.approx(of_patches, rel=1e-4)
    assert metrics["cpa_loss"] == pytest.approx(cpa, rel=1e-3)
    assert loss == pytest.approx(ita + 0.7 * (of_words + of_patches) + 0.5 * cpa, rel=1e-4)
    np.testing.assert_allclose(by_patch.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(by_word.sum(1), 1, rtol=1e-5)
    assert (np.ptp(by_patch, axis=1) == 0).all() == (vision == "resnet")


def test_mgcas_weights_are_the_last_blocks_attention():
    """Recomputed by hand from the block's parameters; padding and [CLS] weigh nothing."""
    task, (params, buffers) = build("mgca")
    batch = batch_of()
    text = params["text"]["blocks"]
    last = jax.tree.map(lambda x: np.float64(x[-1]), text["attn"])
    model = task.model_def.merge(params, buffers)
    features = model.encode_text(batch["text"], batch["text_mask"], hidden=2, attend=True)
    x = np.float64(features.hidden[-2])
    q, k = (x @ last[name]["kernel"] + last[name]["bias"] for name in "qk")
    expected = np.zeros((ROWS, LENGTH))
    for row in range(ROWS):
        seen = np.flatnonzero(batch["text_mask"][row])
        for head in (slice(0, 4), slice(4, 8)):
            scores = [float(q[row, 0, head] @ k[row, t, head]) / 2 for t in seen]
            expected[row, seen] += oracle.softmax(scores) / 2
    np.testing.assert_allclose(features.attention, expected, rtol=1e-4, atol=1e-6)
    by_word = np.zeros((ROWS, LENGTH))
    for row, t in np.argwhere(batch["word_ids"] > 0):
        by_word[row, batch["word_ids"][row, t]] += expected[row, t]
    e, _, _ = run(task, (params, buffers), batch)
    np.testing.assert_allclose(e.word_weights, oracle.clipped(by_word), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("side", ["stated", "record"])
def test_medclip(side):
    task, arrays = build("medclip", text_side=side, variant=True, label_scale=1.5)
    batch = batch_of()
    batch["labels"][1] = [0, -2, 0, -2, 0]  # says nothing
    batch["text_labels"][4] = 0
    batch["valid"][2] = False
    e, loss, metrics = run(task, arrays, batch)
    shown = np.where(batch["labels"] == -2, 0, batch["labels"]).astype(np.float64)
    said = shown if side == "record" else batch["text_labels"].astype(np.float64)
    parts = [
        oracle.matching(
            metrics["logit_scale"] * np.float64(e.image) @ np.float64(text).T,
            1.5 * shown @ said.T,
            batch["valid"],
        )
        for text in (e.text, e.variant)
    ]
    assert metrics["logit_scale"] == pytest.approx(1 / 0.07, rel=1e-5)
    np.testing.assert_allclose([metrics["text_loss"], metrics["variant_loss"]], parts, rtol=1e-4)
    assert loss == pytest.approx(np.mean(parts), rel=1e-5)


def test_medclips_text_is_the_mean_of_three_states():
    task, (params, buffers) = build("medclip")
    batch = batch_of()
    e, _, _ = run(task, (params, buffers), batch)
    model = task.model_def.merge(params, buffers)
    states = model.encode_text(batch["text"], batch["text_mask"], hidden=3).hidden
    mask = batch["text_mask"][..., None]
    mean = (np.float64(states).mean(0) * mask).sum(1) / mask.sum(1)
    vector = mean @ np.float64(params["text_proj"]["out"]["kernel"])
    expected = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    np.testing.assert_allclose(e.text, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_padding_rows_and_padding_tokens_change_nothing(name):
    """Of the loss given the embeddings, whatever stands in padding rows; and of everything, for
    longer texts: batch statistics of words leave padding out."""
    task, arrays = build(name)
    batch = batch_of()
    e, loss, _ = run(task, arrays, batch)
    model = task.model_def.merge(*arrays)
    more = {k: np.concatenate([v, v[:3]]) for k, v in batch.items()}
    more["valid"][ROWS:] = False
    rows = jax.tree.map(lambda x: np.concatenate([x, 7 * x[:3] + 1]), e)
    padded, _ = jax.jit(lambda m, e, b: task.loss(m, e, b))(model, rows, more)
    assert float(padded) == pytest.approx(float(loss), rel=1e-5)

    wide = dict(batch)
    for key in ("text", "text_mask", "word_ids", "text_variant", "text_variant_mask"):
        fill = {"text_mask": False, "text_variant_mask": False, "word_ids": -1}.get(key, 0)
        wide[key] = np.pad(batch[key], ((0, 0), (0, 3)), constant_values=fill)
    _, longer, _ = run(task, arrays, wide)
    assert float(longer) == pytest.approx(float(loss), rel=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_unit_vectors_of_every_kind(name):
    task, arrays = build(name)
    model, batch = task.model_def.merge(*arrays), batch_of()
    for kind, axes in (("image_embed", 2), ("text_embed", 2), ("patch_embed", 4)):
        got = task.predict[kind](model, batch)
        assert got.ndim == axes
        np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, rtol=1e-5)
    assert ("pair_scores" in task.predict) == isinstance(task, GloriaTask)


@pytest.mark.parametrize("name", MODELS)
def test_the_columns_are_what_is_read(name):
    task, arrays = build(name, **({"variant": True} if name == "medclip" else {}))
    spec = task_spec(task, ROWS, LENGTH, size=SIDE, labels=LABELS)
    batch = batch_of()
    assert {k: (v.shape, v.dtype) for k, v in spec.items()} == {
        k: (batch[k].shape, batch[k].dtype) for k in spec
    }

    def whole(arrays, batch):
        model = task.model_def.merge(*arrays)
        return task.loss(model, task.embed(model, batch, None), batch)[0]

    assert jax.eval_shape(whole, arrays, spec).shape == ()


def test_settings_that_do_not_fit():
    plain = ModelDef.of(build_clip(MODELS["medclip"]))
    for options, message in (
        ({"name": "mgca"}, "cpa_weight needs config.model.prototypes"),
        ({"name": "medclip", "label_scale": 0.0}, "must be above 0"),
        ({"name": "medclip", "multi_positive": "text"}, "no meaning for soft targets"),
        ({"name": "gloria", "block": 0}, "block=0 must be at least 1"),
        ({"name": "gloria", "upsample": 1}, "upsample=1 must be at least 2|two pixels or more"),
        ({"name": "mgca", "epsilon": 0.0}, "must be above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_task(plain, options)
    make_task(plain, {"name": "mgca", "cpa_weight": 0.0})


def test_a_batch_smaller_than_the_prototypes_is_said(caplog):
    task, arrays = build("mgca", dataclasses.replace(MODELS["mgca"], prototypes=7))
    task._warn(task.model_def.merge(*arrays), ROWS)
    assert "6 records for 7 prototypes" in caplog.text


def test_resizing_keeps_the_corners():
    image = np.random.default_rng(3).random((2, 5, 4, 1)).astype(np.float32)
    got = np.asarray(resize_corners(jnp.asarray(image), 9))
    np.testing.assert_allclose(got[:, ::2, 0], image[:, :, 0], rtol=1e-5)
    np.testing.assert_allclose(got[:, -1, -1], image[:, -1, -1], rtol=1e-5)
    for i, j in ((3, 2), (6, 7)):
        y, x = i * 4 / 8, j * 3 / 8
        y0, x0 = int(y), int(x)
        a, b = y - y0, x - x0
        expected = (
            (1 - a) * (1 - b) * image[:, y0, x0]
            + (1 - a) * b * image[:, y0, x0 + 1]
            + a * (1 - b) * image[:, min(y0 + 1, 4), x0]
            + a * b * image[:, min(y0 + 1, 4), x0 + 1]
        )
        np.testing.assert_allclose(got[:, i, j], expected, rtol=1e-5)
