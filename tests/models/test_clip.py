"""CLIP: config, embeddings, precision, sharding, both modes of NNX."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from flax import nnx
from model_toys import arrays, filled

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import MeshConfig, make_mesh, use_mesh
from medvlp_jax.core.state import ModelDef, flatten, path_str
from medvlp_jax.models.clip import CLIP, CLIPConfig, ProjectionConfig, build_clip, clip_config
from medvlp_jax.models.resnet import ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ViTConfig

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "clip_partition_specs.json"

VIT = ViTConfig(image_size=16, patch=8, channels=1, width=16, depth=2, heads=2, mlp_width=32)
RESNET = ResNetConfig(image_size=32, channels=1, width=4, stage_sizes=(1, 1), block="basic")
TEXT = TextConfig(vocab=32, max_length=8, width=16, depth=2, heads=2, mlp_width=32)
TINY = CLIPConfig(vision=VIT, text=TEXT, embed_dim=8)
MEAN = dataclasses.replace(TINY, vision=dataclasses.replace(VIT, pool="mean", class_token=False))
CONFIGS = {
    "class": TINY,
    "mean": MEAN,
    "map": dataclasses.replace(
        TINY, vision=dataclasses.replace(VIT, pool="map", class_token=False)
    ),
    "resnet": dataclasses.replace(TINY, vision=RESNET),
    "mlp": dataclasses.replace(
        TINY,
        vision_proj=ProjectionConfig(kind="mlp", hidden=12, activation="relu", bias=True),
        text_proj=ProjectionConfig(kind="mlp"),
    ),
}
IMAGE = jax.random.normal(jax.random.key(0), (8, 32, 32, 1))
IDS = np.arange(8 * 6).reshape(8, 6) % 31 + 1
MASK = np.arange(6) < np.array([6, 1, 3, 6, 2, 4, 5, 6])[:, None]


@functools.cache
def embeddings(name):
    """All that a model of ``CONFIGS`` makes of the inputs above."""

    @jax.jit
    def run(model):
        return {
            "image": model.image_embed(IMAGE),
            "text": model.text_embed(IDS, MASK),
            "patch": model.patch_embed(IMAGE),
            "token": model.token_embed(IDS, MASK),
            "raw_patch": model.patch_embed(IMAGE, normalize=False),
            "global": model.vision_proj(model.encode_image(IMAGE).pooled),
        }

    return run(filled(CLIP, CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
def test_embeddings_are_float32_unit_vectors(name):
    out = embeddings(name)
    side = out["patch"].shape[1]
    shapes = {"image": (8, 8), "text": (8, 8), "patch": (8, side, side, 8), "token": (8, 6, 8)}
    for key, shape in shapes.items():
        assert (out[key].shape, out[key].dtype) == (shape, jnp.float32)
        np.testing.assert_allclose(np.linalg.norm(out[key], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "resnet"])
def test_mean_of_patch_logits_is_the_image_logit(name):
    out = embeddings(name)
    logits = jnp.einsum("bhwe,te->bthw", out["raw_patch"], out["text"])
    np.testing.assert_allclose(
        logits.mean((2, 3)), out["global"] @ out["text"].T, rtol=0, atol=1e-5
    )


def test_logit_scale_and_bias():
    config = dataclasses.replace(TINY, logit_scale=10.0, logit_bias=-10.0)

    @jax.jit
    def initial(key):
        model = CLIP(config, rngs=nnx.Rngs(params=key))
        return model.logit_scale[...], model.logit_bias[...]

    scale, bias = initial(jax.random.key(0))
    assert float(scale) == pytest.approx(math.log(10.0))
    assert bias == -10.0
    assert "logit_bias" not in ModelDef.of(build_clip(TINY)).abstract_params


def test_encoders_give_what_local_losses_need():
    model = filled(CLIP, CONFIGS["resnet"])
    image, text = jax.eval_shape(
        lambda m: (m.encode_image(IMAGE), m.encode_text(IDS, MASK, hidden=2)), model
    )
    assert image.middle.shape == (8, 8, 8, 4)
    assert image.patches.shape == (8, 4, 4, 8)
    assert text.hidden.shape == (2, 8, 6, 16)


def test_patches_of_the_finer_map_have_a_projection_of_their_own():
    config = dataclasses.replace(CONFIGS["resnet"], patch_map="middle")
    model = filled(CLIP, config)
    features = model.encode_image(IMAGE)
    got = model.project_patches(features, normalize=False)
    kernel = model.patch_proj.out.kernel[...]
    np.testing.assert_allclose(got, features.middle @ kernel, rtol=1e-4, atol=1e-5)
    assert model.patch_embed(IMAGE).shape == (8, 8, 8, config.embed_dim)
    with pytest.raises(ValueError, match="needs a ResNet"):
        dataclasses.replace(TINY, patch_map="middle")


def config_group(**changes):
    return ml_collections.ConfigDict(
        {
            "vision": {"name": "vit_b16", "image_size": 128, "dtype": "float32"},
            "text": {"name": "bert_small", "vocab": 8000},
            "embed_dim": 256,
            "dtype": "bfloat16",
            "remat": "full",
            **changes,
        }
    )


def test_config_presets_and_overrides():
    config = clip_config(config_group())
    assert isinstance(config.vision, ViTConfig)
    assert (config.vision.width, config.vision.image_size) == (768, 128)
    assert (config.text.width, config.text.vocab) == (512, 8000)
    assert (config.vision.dtype, config.text.dtype, config.dtype) == ("float32", *["bfloat16"] * 2)
    assert config.vision.remat == config.text.remat == "full"


def test_config_of_a_resnet():
    config = clip_config(config_group(vision={"name": "resnet50", "width": 32}))
    assert isinstance(config.vision, ResNetConfig)
    assert (config.vision.width, config.vision.stage_sizes) == (32, (3, 4, 6, 3))
    assert config.vision.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision": {"name": "vit_b17"}}, r"config.model.vision.name='vit_b17' .* 'vit_b16'\?"),
        ({"vision": {"name": "resnet50", "widht": 3}}, r"config.model.vision.widht .*vision.width"),
        ({"text": {"pool": "clas"}}, r"config.model.text.pool='clas' .* 'class'"),
        ({"embed_dims": 3}, r"config.model.embed_dims is not a known key; did you mean"),
        ({"vision": {"patch": 7, "image_size": 30}}, r"config.model.vision: image_size 30"),
        ({"text_proj": {"kind": "none"}}, "needs embed_dim 256 to be the tower's width 512"),
        ({"logit_scale": 0.0}, "logit_scale=0.0 must be above 0"),
    ],
)
def test_config_errors_name_the_key(change, message):
    with pytest.raises(ConfigError, match=message):
        clip_config(config_group(**change))


def equations(jaxpr):
    """Every equation of a jaxpr, those of loops and calls included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in jax.tree.leaves(
            eqn.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@pytest.mark.parametrize("name", ["class", "resnet", "map"])
def test_bfloat16_computes_products_in_16_bits_and_statistics_in_32(name):
    c = CONFIGS[name]
    tower = {"dtype": "bfloat16"}
    config = dataclasses.replace(
        c,
        vision=dataclasses.replace(c.vision, **tower),
        text=dataclasses.replace(c.text, **tower),
        dtype="bfloat16",
    )
    model = ModelDef.of(build_clip(config))

    def forward(params, buffers):
        clip = model.merge(params, buffers)
        return clip.image_embed(IMAGE[:, :16, :16], train=True), clip.text_embed(IDS, MASK)

    found = list(equations(jax.make_jaxpr(forward)(*arrays(model)).jaxpr))
    products = [e for e in found if e.primitive.name in ("dot_general", "conv_general_dilated")]
    assert len(products) > 8
    for e in products:
        assert {v.aval.dtype for v in e.invars} == {jnp.dtype("bfloat16")}, e
    statistics = [e for e in found if e.primitive.name in ("exp", "rsqrt", "reduce_sum")]
    assert len(statistics) > 8
    for e in statistics:
        assert all(v.aval.dtype == jnp.float32 for v in e.invars), e
    assert {x.dtype for x in jax.eval_shape(forward, *arrays(model))} == {jnp.dtype("float32")}


def partition_specs():
    """``{config/path: 'shape dtype spec'}`` on a 2x2x2 mesh."""
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), jax.devices()[:8])
    lines = {}
    for name in ("class", "resnet", "mlp"):
        model = ModelDef.of(build_clip(CONFIGS[name]))
        for tree in (model.abstract_params, model.abstract_buffers):
            found = sharding.tree_shardings(tree, model.logical_axes, mesh)
            described = sharding.describe(tree, found)
            lines |= {f"{name}/{path}": line for path, line in described.items()}
    return lines


@pytest.mark.multidevice
def test_partition_specs_are_golden(devices):
    """After a wanted change: ``MEDVLP_WRITE_GOLDENS=1 pytest tests/models/test_clip.py``."""
    found = partition_specs()
    if os.environ.get("MEDVLP_WRITE_GOLDENS"):
        GOLDENS.parent.mkdir(exist_ok=True)
        GOLDENS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(GOLDENS.read_text())


def test_every_parameter_names_its_axes():
    for config in CONFIGS.values():
        model = ModelDef.of(build_clip(config))
        axes = flatten(model.logical_axes)
        for path, leaf in flatten(model.abstract_params).items():
            stacked = "blocks" in path
            assert len(axes[path]) == leaf.ndim - stacked, path_str(path)


def forward(model):
    def run(params, buffers, image, ids, mask):
        clip = model.merge(params, buffers)
        return clip.image_embed(image), clip.text_embed(ids, mask)

    return jax.jit(run)


@functools.cache
def on_one_device(name):
    model = ModelDef.of(build_clip(CONFIGS[name]))
    return forward(model)(*arrays(model), IMAGE, IDS, MASK)


@pytest.mark.multidevice
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("class", (8, 1, 1)),
        ("class", (1, 8, 1)),
        ("class", (2, 2, 2)),
        ("class", (1, 1, 8)),
        ("resnet", (2, 2, 2)),
    ],
)
def test_eight_devices_equal_one(devices, name, shape):
    model = ModelDef.of(build_clip(CONFIGS[name]))
    mesh = make_mesh(MeshConfig(*shape), devices)
    on_mesh = [
        jax.device_put(t, sharding.tree_shardings(t, model.logical_axes, mesh))
        for t in arrays(model)
    ]
    # The fsdp and tensor axes must hold pieces, or this would compare copies.
    kernel = on_mesh[0]["text"]["blocks"]["mlp"]["up"]["kernel"]
    assert kernel.addressable_shards[0].data.size == kernel.size / (shape[1] * shape[2])
    rows = [jax.device_put(x, sharding.batch_sharding(mesh)) for x in (IMAGE, IDS, MASK)]
    with use_mesh(mesh):
        eight = forward(model)(*on_mesh, *rows)
    for a, b in zip(eight, on_one_device(name), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
jax.config.update("jax_disable_most_optimizations", True)
import test_clip as t
from flax.configurations import config
from medvlp_jax.core.state import ModelDef, flatten, path_str
model = ModelDef.of(t.build_clip(t.CONFIGS["resnet"]))
params, buffers = t.arrays(model)
def loss(params):
    clip = model.merge(params, buffers)
    x = clip.image_embed(t.IMAGE, train=True)
    y = clip.text_embed(t.IDS, t.MASK)
    return jax.numpy.sin(x @ y.T).sum(), model.buffers_of(clip)
(value, after), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
flat = {path_str(path): x for path, x in {**flatten(grads), **flatten(after)}.items()}
out = {"mode": np.asarray(config.nnx_graph_mode), "value": value, **flat}
np.savez(sys.argv[2], **out)
"""


def test_graph_mode_and_tree_mode_agree(tmp_path, repo_root):
    """Flax is moving from graphs to trees; this package must not notice."""
    here, files, runs = str(pathlib.Path(__file__).parent), {}, []
    for mode in ("true", "false"):
        files[mode] = tmp_path / f"{mode}.npz"
        env = {**os.environ, "NNX_GRAPH_MODE": mode, "PYTHONPATH": str(repo_root)}
        command = [sys.executable, "-c", PROGRAM, here, str(files[mode])]
        runs.append(subprocess.Popen(command, cwd=repo_root, env=env))
    assert [run.wait() for run in runs] == [0, 0]
    results = {mode: dict(np.load(path)) for mode, path in files.items()}
    assert results["true"].pop("mode") != results["false"].pop("mode")
    assert len(results["true"]) > 40
    assert results["true"].keys() == results["false"].keys()
    for key, value in results["true"].items():
        np.testing.assert_array_equal(value, results["false"][key], err_msg=key)


HEAD = ProjectionConfig(kind="mlp_bn", hidden=8, activation="relu", bias=True)


@pytest.mark.parametrize(
    ("tower", "map_"), [("class", "own"), ("resnet", "own"), ("resnet", "middle")]
)
def test_projections_of_their_own_for_patches_and_tokens(tower, map_):
    config = dataclasses.replace(
        CONFIGS[tower], patch_map=map_, token_map="own", local_proj=HEAD, prototypes=5
    )
    model = filled(CLIP, config)
    assert model.prototypes.shape == (5, config.embed_dim)
    image, text = model.encode_image(IMAGE), model.encode_text(IDS, MASK)
    found = image.middle if map_ == "middle" else image.patches
    np.testing.assert_allclose(
        model.project_patches(image, normalize=False), model.patch_proj(found), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.project_tokens(text.tokens), model.token_proj(text.tokens), rtol=1e-5
    )


def test_a_normalised_head_leaves_padding_out_of_its_statistics():
    """The last layer's output has mean 0 and variance 1 where it counts."""
    model = filled(CLIP, dataclasses.replace(TINY, token_map="own", local_proj=HEAD))
    tokens = model.encode_text(IDS, MASK).tokens
    got = np.asarray(model.project_tokens(tokens, train=True, where=MASK))[np.asarray(MASK)]
    np.testing.assert_allclose(got.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(got.var(0), 1, atol=0.05)  # eps of the norm
    other = jnp.where(MASK[..., None], tokens, 99.0)
    again = np.asarray(model.project_tokens(other, train=True, where=MASK))[np.asarray(MASK)]
    np.testing.assert_allclose(again, got, rtol=1e-4, atol=1e-5)
    assert model.token_proj.out_norm.scale is None


@pytest.mark.slow
def test_prototypes_start_as_unit_vectors():
    config = dataclasses.replace(TINY, prototypes=7)
    params, _ = jax.jit(ModelDef.of(build_clip(config)).init)(jax.random.key(0))
    np.testing.assert_allclose(np.linalg.norm(params["prototypes"], axis=1), 1, rtol=1e-6)


def test_a_local_head_that_does_not_fit():
    with pytest.raises(ValueError, match=r"local_proj.kind='none' needs embed_dim"):
        dataclasses.replace(
            CONFIGS["resnet"], patch_map="own", embed_dim=5, local_proj=ProjectionConfig("none")
        )
