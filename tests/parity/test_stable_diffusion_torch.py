"""Stable Diffusion live against diffusers and transformers: in, out, old names, real sizes."""

# pyright: reportMissingImports=false
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef, flatten, path_str
from medvlp_jax.generation.images import stable_diffusion
from medvlp_jax.generation.images.stable_diffusion import (
    Folder,
    load_params,
    read_config,
    read_sampler,
)
from medvlp_jax.generation.images.text_to_image import PRESETS, TextToImage, image_keys
from medvlp_jax.models.stable_diffusion.unet import UNet
from medvlp_jax.models.stable_diffusion.vae import AutoencoderKL
from medvlp_jax.models.text_encoder import TextEncoder
from medvlp_jax.weights import loading, rows, saving
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.settings import read_json
from medvlp_jax.weights.tables import clip, stable_diffusion_unet, stable_diffusion_vae

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
save_file = pytest.importorskip("safetensors.torch").save_file
load_file = pytest.importorskip("safetensors.torch").load_file
tiny = pytest.importorskip("tiny_stable_diffusion")

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("quick_compiles")]

TOLERANCE = 2e-5
WIDE = {"widths": (32, 64, 64), "layers": 2, "groups": 8}
DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"


def first(x):
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def last(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def read(table, build, folder, rename=(), dtype=None):
    """``(model, params)`` of a folder of one part."""
    config = table.config_from(read_json(folder / "config.json"))
    model = ModelDef.of(lambda rngs: build(config, rngs=rngs))
    rows = table.table(config)
    params, _ = loading.load(folder, rows, model.abstract_params, rename=rename, dtype=dtype)
    return config, model, params


@pytest.mark.parametrize("version", tiny.VERSIONS)
def test_unet_both_ways(version, tmp_path):
    theirs = tiny.unet(version, **WIDE, context=48)
    theirs.save_pretrained(tmp_path / "in")
    config, model, params = read(stable_diffusion_unet, UNet, tmp_path / "in")
    assert config.linear_projection == (version == "sd2")
    latents, context = draw(0, 3, 12, 8, 4), draw(1, 3, 5, 48)
    t = np.array([999, 0, 421])
    run = jax.jit(lambda p, *args: model.merge(p, {})(*args))
    with torch.no_grad():
        wanted = theirs(first(latents), torch.from_numpy(t), torch.from_numpy(context)).sample
    check(run(params, latents, t.astype(np.float32), context), last(wanted))

    saving.save(
        tmp_path / "out",
        stable_diffusion_unet.table(config),
        params,
        configs={"config.json": stable_diffusion_unet.config_to(config)},
        name=DIFFUSERS_WEIGHTS,
    )
    back = diffusers.UNet2DConditionModel.from_pretrained(tmp_path / "out")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    with torch.no_grad():
        again = back(first(latents), torch.from_numpy(t), torch.from_numpy(context)).sample
    assert torch.equal(again, wanted)


def test_unet_in_bfloat16(tmp_path):
    theirs = tiny.unet("sd1", **WIDE, context=48)
    theirs.save_pretrained(tmp_path)
    config = stable_diffusion_unet.config_from(read_json(tmp_path / "config.json"))
    latents, context = draw(0, 2, 8, 8, 4), draw(1, 2, 5, 48)
    t = np.array([500, 20])
    with torch.no_grad():
        wanted = last(theirs(first(latents), torch.from_numpy(t), torch.from_numpy(context)).sample)
    half = type(config)(**{**vars(config), "dtype": "bfloat16"})
    model = ModelDef.of(lambda rngs: UNet(half, rngs=rngs))
    rows = stable_diffusion_unet.table(half)
    params, _ = loading.load(tmp_path, rows, model.abstract_params, dtype="bfloat16")
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}
    run = jax.jit(lambda p, *args: model.merge(p, {})(*args))
    ours = np.asarray(run(params, latents, t.astype(np.float32), context))
    assert ours.dtype == np.float32
    cosine = np.sum(ours * wanted) / np.linalg.norm(ours) / np.linalg.norm(wanted)
    assert cosine > 0.999


class TestAutoencoder:
    def compare(self, theirs, model, params, scaling):
        image, latents = draw(0, 2, 16, 24, 3), draw(1, 2, 4, 6, 4)
        encode = jax.jit(lambda p, x: model.merge(p, {}).encode(x))
        decode = jax.jit(lambda p, x: model.merge(p, {}).decode(x))
        with torch.no_grad():
            moments = theirs.encode(first(image)).latent_dist
            decoded = theirs.decode(first(latents)).sample
        ours = encode(params, image)
        check(ours.mean / scaling, last(moments.mean))
        check(ours.std / scaling, last(moments.std))
        check(decode(params, latents * scaling), last(decoded))

    def test_both_ways(self, tmp_path):
        theirs = tiny.vae(**WIDE)
        theirs.save_pretrained(tmp_path / "in")
        config, model, params = read(stable_diffusion_vae, AutoencoderKL, tmp_path / "in")
        self.compare(theirs, model, params, config.scaling)
        saving.save(
            tmp_path / "out",
            stable_diffusion_vae.table(config),
            params,
            configs={"config.json": stable_diffusion_vae.config_to(config)},
            name=DIFFUSERS_WEIGHTS,
        )
        back = diffusers.AutoencoderKL.from_pretrained(tmp_path / "out").state_dict()
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(back[name], tensor), name

    @pytest.mark.parametrize("pointwise", [False, True], ids=["matrices", "convolutions"])
    def test_old_names(self, pointwise, tmp_path):
        """Whole folders of before 2023, whose autoencoder has other names and shapes."""
        tiny.saved("sd1", tmp_path)
        path = tmp_path / "vae" / DIFFUSERS_WEIGHTS
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        tensors = {}
        for name, x in load_file(path).items():
            place, _, word = name.partition("attentions.0.")
            word, _, kind = word.rpartition(".")
            if word in old:
                name = f"{place}attentions.0.{old[word]}.{kind}"
                x = x[:, :, None, None] if pointwise and kind == "weight" else x
            tensors[name] = x.contiguous()
        before = load_all(tmp_path)["vae"]
        save_file(tensors, path)
        after = load_all(tmp_path)["vae"]
        assert jax.tree.all(jax.tree.map(np.array_equal, before, after))


def load_all(path):
    folder = Folder.of(path)
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    return load_params(folder, TextToImage(read_config(folder)), mesh)


def test_text_with_and_without_prefix(tmp_path):
    theirs = tiny.text("sd2")
    tensors = dict(theirs.state_dict())
    named = {"text_model." + n.removeprefix("text_model."): x for n, x in tensors.items()}
    bare = {n.removeprefix("text_model."): x for n, x in tensors.items()}
    named["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    ids = np.random.default_rng(0).integers(0, 512, (2, 77))
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(ids)).last_hidden_state.numpy()
    config = clip.text_config_from(theirs.config.to_dict())
    model = ModelDef.of(lambda rngs: TextEncoder(config, rngs=rngs))
    run = jax.jit(lambda p: model.merge(p, {})(ids, jnp.ones(ids.shape, bool)).tokens)
    for n, content in enumerate((named, bare)):
        path = tmp_path / f"{n}.safetensors"
        save_file({k: v.contiguous() for k, v in content.items()}, path)
        rows = clip.text_table(config)
        params, _ = loading.load(path, rows, model.abstract_params, rename=clip.RENAME_TOWER)
        check(run(params), wanted)


@pytest.mark.parametrize("version", tiny.VERSIONS)
def test_exported_folder_makes_the_same_images(version, tmp_path):
    tiny.saved(version, tmp_path / "in")
    folder = Folder.of(tmp_path / "in")
    config = read_config(folder)
    model = TextToImage(config)
    params = load_all(tmp_path / "in")
    tokenizer = stable_diffusion.load_tokenizer(folder.tokenizer)
    stable_diffusion.save(tmp_path / "out", config, params, tokenizer)

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    pipe.set_progress_bar_config(disable=True)
    noise = draw(9, len(tiny.PROMPTS), tiny.SIDE // 2, tiny.SIDE // 2, 4)
    theirs = tiny.images(pipe, "ddim", noise)
    ids = np.asarray(
        tokenizer([*tiny.PROMPTS, ""], padding="max_length", max_length=77)["input_ids"]
    )
    sampler = read_sampler(folder, "ddim", steps=50, guidance=tiny.GUIDANCE)
    keys = image_keys(jnp.arange(3, dtype=jnp.uint32))
    ours = jax.jit(lambda p: model.images(p, ids[:3], ids[3:], noise, keys, sampler))(params)
    assert np.abs(np.asarray(ours).astype(int) - theirs).max() <= 1
    assert load_all(tmp_path / "out").keys() == params.keys()


@pytest.mark.parametrize("preset", ["sd1.5", "sd2.1"])
def test_real_sizes_have_the_published_tensors(preset):
    """Every tensor of the released networks, by name and shape; nothing is allocated."""
    c = PRESETS[preset]
    with torch.device("meta"):
        parts = {
            "unet": diffusers.UNet2DConditionModel.from_config(
                stable_diffusion_unet.config_to(c.unet)
            ),
            "vae": diffusers.AutoencoderKL.from_config(stable_diffusion_vae.config_to(c.vae)),
            "text": transformers.CLIPTextModel(
                transformers.CLIPTextConfig(**clip.text_config_to(c.text))
            ),
        }
    counts = {"unet": 686, "vae": 248, "text": 196}
    tables = {
        "unet": stable_diffusion_unet.table(c.unet),
        "vae": stable_diffusion_vae.table(c.vae),
        "text": clip.text_table(c.text),
    }
    ours = TextToImage(c).parts
    for part, theirs in parts.items():
        wanted = {path_str(p): x for p, x in flatten(ours[part].abstract_params).items()}
        named = {}
        for step in rows.plan(tables[part], wanted):
            named.update(zip(step.sources, step.source_shapes(wanted), strict=True))
        published = {
            name.removeprefix("text_model."): tuple(x.shape)
            for name, x in theirs.state_dict().items()
            if not name.endswith("position_ids")
        }
        assert named == published
        assert len(named) == (counts[part] if part != "text" or preset == "sd1.5" else 372)


class TestRefused:
    def test_everything_that_is_wrong_with_the_weights(self, tmp_path):
        tiny.saved("sd1", tmp_path)
        path = tmp_path / "unet" / DIFFUSERS_WEIGHTS
        tensors = load_file(path)
        tensors["conv_in.bias"] = tensors["conv_in.bias"][:3].contiguous()
        del tensors["conv_out.bias"]
        tensors["adapter.weight"] = torch.zeros(2)
        save_file(tensors, path)
        with pytest.raises(WeightsError) as error:
            load_all(tmp_path)
        for name in ("conv_in.bias", "conv_out.bias", "adapter.weight"):
            assert name in str(error.value)

    @pytest.mark.parametrize(
        ("file", "key", "value"),
        [
            ("unet/config.json", "class_embed_type", "timestep"),
            ("unet/config.json", "transformer_layers_per_block", [1, 2]),
            ("vae/config.json", "shift_factor", 0.1),
            ("scheduler/scheduler_config.json", "prediction_type", "flow"),
        ],
    )
    def test_arithmetic_that_is_not_ours(self, file, key, value, tmp_path):
        tiny.saved("sd1", tmp_path)
        path = tmp_path / file
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
        with pytest.raises(UserError, match=key):
            read_config(Folder.of(tmp_path))
