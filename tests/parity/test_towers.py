"""Forward passes of every tower against PyTorch's, from ``fixtures/`` (see make_fixtures.py)."""

import dataclasses
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from medvlp_jax.core.state import ModelDef, flatten, path_str
from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig, build_clip
from medvlp_jax.models.layers import ACTIVATIONS
from medvlp_jax.models.positions import resize_positions
from medvlp_jax.models.resnet import ResNet, ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig, TextEncoder
from medvlp_jax.models.vit import ViT, ViTConfig
from medvlp_jax.weights import loading
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.tables import bert, clip, open_clip, resnet, siglip, vit

TOLERANCE = 1e-5

VIT = ViTConfig(image_size=32, patch=8, width=32, depth=2, heads=2, mlp_width=48)
CLIP_VIT = dataclasses.replace(
    VIT, norm_pre=True, patch_bias=False, activation="quick_gelu", eps=1e-5
)
BERT = TextConfig(vocab=60, max_length=16, width=32, depth=2, heads=2, mlp_width=48)
CLIP_TEXT = dataclasses.replace(
    BERT,
    types=0,
    norm="pre",
    norm_embed=False,
    norm_final=True,
    causal=True,
    pool="last",
    activation="quick_gelu",
    eps=1e-5,
)
RESNET = ResNetConfig(width=4, stage_sizes=(1, 2, 1, 1))


def fixture(name):
    """``{"in": ..., "out": ..., "w": ..., "after": ...}`` of one fixture file."""
    groups = {"in": {}, "out": {}, "w": {}, "after": {}}
    with np.load(pathlib.Path(__file__).parent / "fixtures" / f"{name}.npz") as file:
        for key in file.files:
            group, _, rest = key.partition("/")
            groups[group][rest] = file[key]
    return groups


def read(rows, weights, model):
    """``(params, buffers)`` from tensors under the origin's names, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        save_file(weights, pathlib.Path(folder) / "model.safetensors")
        return loading.load(
            folder, rows, model.abstract_params, model.abstract_buffers, rename=open_clip.RENAME
        )


def load(build, rows, weights):
    """The module with the fixture's weights."""
    model = ModelDef.of(build)
    return model, *read(rows, weights, model)


def check(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    # The reference has to have some size, or the bound would say nothing.
    assert 0.1 < np.abs(theirs).max() < 30
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


VITS = {
    "clip_vision": (CLIP_VIT, clip.vision_table(CLIP_VIT)),
    "vit": (dataclasses.replace(VIT, eps=1e-12), vit.vit_table(VIT)),
    "siglip_vision": (
        dataclasses.replace(VIT, pool="map", class_token=False, activation="gelu_tanh"),
        siglip.vision_table(VIT),
    ),
    "dinov2": (dataclasses.replace(VIT, mlp_width=64, layer_scale=1.0), vit.dinov2_table(VIT)),
}


@pytest.mark.parametrize("name", VITS)
def test_vit(name):
    config, rows = VITS[name]
    case = fixture(name)
    model, params, buffers = load(lambda rngs: ViT(config, rngs=rngs), rows, case["w"])
    run = jax.jit(lambda p, image: model.merge(p, buffers)(image))
    for size in [k.removeprefix("image") for k in case["in"]]:
        out = run(params, case["in"][f"image{size}"])
        check(out.pooled, case["out"][f"pooled{size}"])
        check(out.patches, case["out"][f"patches{size}"])


RESNETS = {
    "resnet": RESNET,
    "resnet_basic": dataclasses.replace(RESNET, block="basic", stage_sizes=(2, 1, 1, 1)),
}


@pytest.mark.parametrize("name", RESNETS)
def test_resnet(name):
    case = fixture(name)
    model, params, buffers = load(
        lambda rngs: ResNet(RESNETS[name], rngs=rngs), resnet.hf_table(RESNET), case["w"]
    )
    out = jax.jit(lambda p, b, image: model.merge(p, b)(image))(
        params, buffers, case["in"]["image"]
    )
    check(out.pooled, case["out"]["pooled"])
    check(out.patches, case["out"]["patches"])
    check(out.middle, case["out"]["middle"])


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_batch_statistics(name):
    case = fixture(name)
    model, params, buffers = load(
        lambda rngs: ResNet(RESNETS[name], rngs=rngs), resnet.hf_table(RESNET), case["w"]
    )

    @jax.jit
    def step(p, b, image):
        module = model.merge(p, b)
        return module(image, train=True).pooled, model.buffers_of(module)

    pooled, after = step(params, buffers, case["in"]["image"])
    check(pooled, case["out"]["train_pooled"])
    _, expected = read(resnet.hf_table(RESNET), {**case["w"], **case["after"]}, model)
    before = flatten(buffers)
    for path, value in flatten(expected).items():
        np.testing.assert_allclose(
            flatten(after)[path], value, rtol=0, atol=TOLERANCE, err_msg=path_str(path)
        )
        assert np.abs(value - before[path]).max() > 1e-3


def test_bert():
    case = fixture("bert")
    config = dataclasses.replace(BERT, pool="class")
    model, params, buffers = load(
        lambda rngs: TextEncoder(config, rngs=rngs), bert.table(BERT), case["w"]
    )
    run = jax.jit(lambda p, ids, mask: model.merge(p, buffers)(ids, mask, hidden=2))
    out = run(params, case["in"]["ids"], case["in"]["mask"])
    check(out.tokens, case["out"]["tokens"])
    check(out.hidden, case["out"]["hidden"])
    check(out.pooled, case["out"]["tokens"][:, 0])


def test_clip_text():
    case = fixture("clip_text")
    model, params, buffers = load(
        lambda rngs: TextEncoder(CLIP_TEXT, rngs=rngs), clip.text_table(CLIP_TEXT), case["w"]
    )
    run = jax.jit(lambda p, ids, mask: model.merge(p, buffers)(ids, mask))
    check(run(params, case["in"]["ids"], case["in"]["mask"]).pooled, case["out"]["pooled"])


CLIPS = {
    "open_clip_vit": CLIPConfig(
        vision=CLIP_VIT, text=dataclasses.replace(CLIP_TEXT, max_length=12), embed_dim=16
    ),
    "open_clip_bert": CLIPConfig(
        vision=CLIP_VIT, text=BERT, embed_dim=16, text_proj=ProjectionConfig(kind="mlp")
    ),
}


@pytest.mark.parametrize("name", CLIPS)
def test_whole_clip(name):
    config = CLIPS[name]
    case = fixture(name)
    model, params, buffers = load(build_clip(config), open_clip.table(config), case["w"])

    @jax.jit
    def run(p, image, ids, mask):
        clip = model.merge(p, buffers)
        x, y = clip.image_embed(image), clip.text_embed(ids, mask)
        return x, y, jnp.exp(clip.logit_scale[...]) * x @ y.T

    x, y, logits = run(params, case["in"]["image"], case["in"]["ids"], case["in"]["mask"])
    check(x, case["out"]["image_embed"])
    check(y, case["out"]["text_embed"])
    check(logits, case["out"]["logits"])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    case = fixture("functions")
    check(ACTIVATIONS[name](case["in"]["x"]), case["out"][name])


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("target", [(14, 14), (3, 4), (7, 6), (10, 3)])
def test_position_resize(target, antialias):
    case = fixture("functions")
    ours = resize_positions(case["in"]["table"], (7, 6), target, antialias=antialias)
    theirs = case["out"][f"{target[0]}x{target[1]}_{int(antialias)}"]
    check(np.asarray(ours).reshape(*target, -1), theirs)


def test_a_wrong_checkpoint_is_refused_with_all_its_faults():
    case = fixture("vit")
    weights = dict(case["w"])
    weights["stranger"] = np.zeros((2, 32))
    del weights["layernorm.bias"]
    del weights["encoder.layer.1.output.dense.bias"]
    weights["embeddings.position_embeddings"] = np.zeros((1, 9, 32))
    model = ModelDef.of(lambda rngs: ViT(VITS["vit"][0], rngs=rngs))
    with pytest.raises(WeightsError) as error:
        read(vit.vit_table(VIT), weights, model)
    for fault in ("stranger", "layernorm.bias", "layer.1.output.dense.bias", "(1, 9, 32)"):
        assert fault in str(error.value)


def test_no_parameter_is_ignored():
    """Each parameter of a tower moves its output, so that parity covers all of them."""
    case = fixture("siglip_vision")
    config, rows = VITS["siglip_vision"]
    model, params, _ = load(lambda rngs: ViT(config, rngs=rngs), rows, case["w"])
    image = case["in"]["image"]
    gradient = jax.jit(jax.grad(lambda p: jnp.var(model.merge(p, {})(image).pooled)))(params)
    for path, g in flatten(gradient).items():
        # A constant added to all keys shifts every score of a query alike: softmax drops it.
        assert (np.abs(g).max() > 1e-7) != path_str(path).endswith("attn/k/bias"), path_str(path)
