"""Training runs whose towers start from published weights."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from folders import change, write

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef, flatten, path_str
from medvlp_jax.core.step import init_state
from medvlp_jax.data.columns.registry import batch_spec
from medvlp_jax.models.positions import resize_positions
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import parse_config
from medvlp_jax.weights import towers
from medvlp_jax.weights.families import build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.source import open_source

CONFIG = {
    "name": "tiny",
    "model": {
        "vision": {"name": "vit_s16", "patch": 8, "width": 16, "depth": 1, "heads": 2},
        "text": {"name": "bert_mini", "vocab": 60, "width": 16, "depth": 1, "heads": 2},
        "embed_dim": 8,
        "dtype": "float32",
    },
    "task": {"name": "contrastive"},
    "data": {
        "sources": [{"path": "nowhere"}],
        "batch_size": 8,
        "image": {"size": 32, "channels": 3},
        "text": {"buckets": [12]},
    },
    "loop": {"steps": 4},
}


def config(vision=None, text=None, whole=None, size=32, **groups):
    tree = copy.deepcopy(CONFIG)
    tree["data"]["image"]["size"] = size
    if vision is not None:
        tree["model"]["vision"] = {"name": "vit_b16", "init": str(vision)}
    if text is not None:
        tree["model"]["text"] = {"name": "bert", "init": str(text)}
    if whole is not None:
        tree["model"] = {"init": str(whole), "dtype": "float32"}
    for key, group in groups.items():
        node = tree
        for part in key.split("__")[:-1]:
            node = node.setdefault(part, {})
        node[key.split("__")[-1]] = group
    return tree


def started(tree, devices):
    """The experiment, its fresh state and the state with published weights."""
    experiment = Run(tree, devices)
    e = experiment
    state = init_state(e.model_def, e.optimizer, jax.random.key(0), e.mesh)
    inits = e.config.init_towers
    return e, state, towers.start(state, e.optimizer, e.model_config, inits)


def published(folder, side=None):
    source = open_source(folder)
    source = source if side is None else source.tower(side)
    model = ModelDef.of(build(source.config))
    params, _ = source.load(model.abstract_params, model.abstract_buffers)
    return source.config, {path_str(p): x for p, x in flatten(params).items()}


def inside(state, side):
    flat = {path_str(p): x for p, x in flatten(state.model_params()).items()}
    return {p.removeprefix(f"{side}/"): x for p, x in flat.items() if p.startswith(f"{side}/")}


def test_a_config_without_init_is_untouched():
    tree = copy.deepcopy(CONFIG)
    tree["model"]["vision"]["init"] = ""
    tree["model"]["text"]["init"] = ""
    found = parse_config(tree)
    assert found == parse_config(CONFIG)
    assert found.init_towers == {}
    assert "init" not in found.model["vision"]
    assert found.data.text.tokenizer == ""
    assert "mean" not in found.task


def test_two_towers(tmp_path, devices):
    """Both towers hold the folders' weights on a mesh; projections, scale and seed's draws stay."""
    write("dinov2", tmp_path / "dino")
    write("bert", tmp_path / "bert")
    tree = config(tmp_path / "dino", tmp_path / "bert", size=48, mesh={"data": 2, "fsdp": 4})
    tree["task"]["frozen_towers"] = ["vision"]
    e, fresh, state = started(tree, devices)
    assert e.model_config.vision.image_size == 48
    assert e.model_config.vision.layer_scale == 1.0
    assert e.model_config.text.max_length == 16
    for side, folder in (("vision", "dino"), ("text", "bert")):
        source, wanted = published(tmp_path / folder)
        found = inside(state, side)
        assert found.keys() == wanted.keys()
        if side == "vision":
            table = wanted["positions"]
            resized = resize_positions(table[1:], source.grid, (6, 6))
            wanted["positions"] = jnp.concatenate([table[:1], resized])
        for path, value in wanted.items():
            np.testing.assert_array_equal(found[path], value, err_msg=path)
    assert not any(p[0] == "vision" for p in flatten(state.params))
    before, after = fresh.model_params(), state.model_params()
    for key in ("vision_proj", "text_proj", "logit_scale"):
        for x, y in zip(jax.tree.leaves(before[key]), jax.tree.leaves(after[key]), strict=True):
            np.testing.assert_array_equal(x, y)
    assert jax.tree.map(lambda x: x.sharding, before) == jax.tree.map(lambda x: x.sharding, after)
    assert state.step == 0


def test_what_is_stored_needs_no_folder(tmp_path, devices):
    """The resolved config builds the same model when the folder is gone."""
    write("dinov2", tmp_path / "dino")
    said = {"image_mean": [0.53] * 3, "image_std": [0.26] * 3}
    (tmp_path / "dino" / "preprocessor_config.json").write_text(json.dumps(said))
    first = Run(config(tmp_path / "dino"), devices[:1])
    (tmp_path / "dino").rename(tmp_path / "gone")
    again = Run(first.resolved, devices[:1])
    assert again.model_config == first.model_config
    assert again.resolved == first.resolved
    assert again.config.init_towers == {"vision": str(tmp_path / "dino")}
    # Images are normalised as the weights expect it.
    assert again.config.task["mean"] == [0.53] * 3
    with pytest.raises(WeightsError, match="does not exist"):
        Run(config(tmp_path / "dino"), devices[:1])


def test_the_tokenizer_comes_with_the_text_tower(tmp_path):
    write("bert", tmp_path)
    assert parse_config(config(text=tmp_path)).data.text.tokenizer == str(tmp_path)
    own = config(text=tmp_path, data__text={"buckets": [12], "tokenizer": "mine"})
    assert parse_config(own).data.text.tokenizer == "mine"


def test_a_whole_clip(tmp_path, devices):
    write("open_clip_bert", tmp_path)
    e, _, state = started(config(whole=tmp_path), devices[:1])
    source, wanted = published(tmp_path)
    assert e.model_config.embed_dim == source.embed_dim == 16
    assert e.model_config.text_proj.kind == "mlp"
    found = {path_str(p): x for p, x in flatten(state.model_params()).items()}
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_a_tower_out_of_a_whole_clip(tmp_path, devices):
    write("clip_quick_gelu", tmp_path)
    e, _, state = started(config(vision=tmp_path), devices[:1])
    assert e.model_config.vision.activation == "quick_gelu"
    _, wanted = published(tmp_path, "vision")
    for path, value in wanted.items():
        np.testing.assert_array_equal(inside(state, "vision")[path], value, err_msg=path)


def test_resnet_with_its_statistics(tmp_path, devices):
    tensors = write("resnet", tmp_path)
    _, _, state = started(config(vision=tmp_path), devices[:1])
    mean = tensors["embedder.embedder.normalization.running_mean"]
    np.testing.assert_array_equal(state.buffers["vision"]["stem_norm"]["mean"], mean)


def test_shorter_texts_cut_the_table(tmp_path, devices):
    write("bert", tmp_path)
    tree = config(text=tmp_path)
    tree["model"]["text"]["max_length"] = 12
    _, _, state = started(tree, devices[:1])
    _, wanted = published(tmp_path)
    table = inside(state, "text")["embed/positions"]
    np.testing.assert_array_equal(table, wanted["embed/positions"][:12])


def test_averages_start_from_the_weights_too(tmp_path, devices):
    write("dinov2", tmp_path)
    _, _, state = started(config(tmp_path, optim={"ema_decay": 0.9}), devices[:1])
    for x, y in zip(jax.tree.leaves(state.ema), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_another_pool_keeps_the_rest(tmp_path, devices):
    write("siglip_vision", tmp_path)
    tree = config(tmp_path)
    tree["model"]["vision"]["pool"] = "mean"
    _, _, state = started(tree, devices[:1])
    assert not any(p.startswith("pool/") for p in inside(state, "vision"))


@pytest.mark.parametrize(
    ("case", "where", "changes", "words"),
    [
        ("dinov2", "vision", {"width": 64}, "config.model.vision.width=64 contradicts"),
        ("dinov2", "vision", {"data__image": {"size": 32, "channels": 1}}, "channels=3"),
        ("dinov2", "text", {}, "is a vision tower, no text tower"),
        ("bert", "text", {"max_length": 99}, "has 16 positions"),
        ("bert", "whole", {}, "give it to config.model.text.init"),
        ("clip_gelu", "whole", {"vision": {"init": "x"}}, "drop vision.init and text.init"),
        ("clip_gelu", "whole", {"embed_dim": 7}, "config.model.embed_dim=7 contradicts"),
    ],
)
def test_contradictions(tmp_path, case, where, changes, words):
    write(case, tmp_path)
    tree = config(**{where: tmp_path})
    for key, value in changes.items():
        if key.startswith("data__"):
            tree["data"][key.removeprefix("data__")] = value
        else:
            (tree["model"] if where == "whole" else tree["model"][where])[key] = value
    with pytest.raises((ConfigError, WeightsError)) as error:
        parse_config(tree)
    assert words in str(error.value)


def test_weights_that_do_not_fit_their_own_settings(tmp_path, devices):
    write("dinov2", tmp_path)
    change(tmp_path / "config.json", num_hidden_layers=3)
    with pytest.raises(WeightsError, match="missing tensors"):
        started(config(tmp_path), devices[:1])


def one_step(tree, device):
    """Parameters before and after one plain gradient step on a batch of noise."""
    e, _, state = started(tree, [device])
    before = jax.tree.map(np.asarray, state.model_params())
    noise = np.random.default_rng(0)
    batch = {
        key: jnp.asarray(noise.integers(0, 2 if s.dtype == jnp.bool_ else 60, s.shape), s.dtype)
        for key, s in batch_spec(e.task.columns, e.config.data, 8, 12).items()
    }
    batch["valid"] = jnp.ones(8, bool)
    batch["text_mask"] = batch["text_mask"].at[:, 0].set(True)
    state, _ = e.train_step(state, batch, jax.random.key(0))
    after = jax.tree.map(np.asarray, state.model_params())
    return [{path_str(p): x for p, x in flatten(t).items()} for t in (before, after)]


@pytest.mark.slow
def test_layers_far_from_the_top_move_less(tmp_path, devices):
    """Layer decay and a frozen tower act on published weights as they do on drawn ones."""
    write("dinov2", tmp_path / "dino")
    write("bert", tmp_path / "bert")
    moves = []
    for decay in (1.0, 0.5):
        tree = config(tmp_path / "dino", tmp_path / "bert")
        tree["optim"] = {"name": "sgd", "lr": 0.1, "schedule": "constant", "clip_norm": None}
        tree["optim"]["layer_decay"] = decay
        tree["task"]["frozen_towers"] = ["text"]
        before, after = one_step(tree, devices[0])
        moves.append({path: after[path] - before[path] for path in before})
    full, decayed = moves
    kernels = [p for p in full if p.startswith("vision/blocks/") and p.endswith("kernel")]
    depth = full[kernels[0]].shape[0]
    assert depth > 1
    factor = 0.5 ** np.arange(depth, 0, -1.0)  # BEiT: the head is layer depth + 1
    for path in kernels:
        assert np.abs(full[path]).max() > 0
        wanted = full[path] * factor.reshape(-1, *[1] * (full[path].ndim - 1))
        np.testing.assert_allclose(decayed[path], wanted, atol=1e-6, err_msg=path)
    np.testing.assert_allclose(
        decayed["vision/positions"], full["vision/positions"] * 0.5 ** (depth + 1), atol=1e-6
    )
    (head,) = (p for p in full if p.startswith("vision_proj"))
    np.testing.assert_array_equal(decayed[head], full[head])
    assert not any(np.abs(x).max() for p, x in full.items() if p.startswith("text/"))
