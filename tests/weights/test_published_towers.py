"""Towers, language models and image generators that people use, each as a tiny checkpoint in the
layout that it is published in: read by us, it computes what its own library computes.

``pytest -s`` prints the table.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import drawn
import jax
import numpy as np
import pytest

from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef
from medvlp_jax.generation.images import stable_diffusion
from medvlp_jax.generation.images.text_to_image import TextToImage
from medvlp_jax.models.lm.cached import abstract_cache, decode_step, insert, prefill
from medvlp_jax.weights import lm
from medvlp_jax.weights.export import export
from medvlp_jax.weights.families import XRV, build
from medvlp_jax.weights.source import open_source

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
torch_models = pytest.importorskip("torch_models", reason="needs the torch extra")
tiny = pytest.importorskip("tiny_stable_diffusion", reason="needs the torch extra")
pytestmark = pytest.mark.torch

TOLERANCE = 2e-5
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
WIDE = SIZES | {"intermediate_size": 48}
IMAGES = SIZES | {"image_size": 28, "patch_size": 7}
WORDS = WIDE | {"vocab_size": 60}


@dataclasses.dataclass(frozen=True)
class Tower:
    """A published tower.

    Attributes:
      make: the origin library's model, with drawn weights.
      save: writes it as published, given a folder.
      run: its pooled vectors of images, or its tokens of texts.
      family: of ``weights.families``.
      side: of the images; 0 for a text tower.
      channels: of the images.
      path: of the weights in the folder, where they lie alone.
      back: whether the layout that is written is the one that was read.
    """

    make: Callable[[], Any]
    save: Callable[[Any, Any], None]
    run: Callable[[Any, Any], Any]
    family: str
    side: int = 28
    channels: int = 3
    path: str = ""
    back: bool = True


def hf(cls: str, config: str, **settings) -> Callable[[], Any]:
    def make():
        model = getattr(transformers, cls)(getattr(transformers, config)(**settings))
        return torch_models.fill(model)

    return make


def keep(model, folder):
    model.save_pretrained(folder)


def keep_bin(**changes):
    """An old repository: ``pytorch_model.bin`` with the old names of norms."""

    def save(model, folder):
        model.save_pretrained(folder)
        (folder / "model.safetensors").unlink()
        names = {
            n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): x
            for n, x in model.state_dict().items()
        }
        torch.save(names, folder / "pytorch_model.bin")
        settings = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(settings))

    return save


def keep_alone(name):
    def save(model, folder):
        folder.mkdir()
        torch.save(model.state_dict(), folder / name)

    return save


def keep_timm(architecture, **arguments):
    def save(model, folder):
        torch_models._save_tensors(
            "model.safetensors", {"architecture": architecture, "model_args": arguments}
        )(model, folder)

    return save


def class_token(model, x):
    return getattr(model, "vit", model)(x["image"]).last_hidden_state[:, 0]


def hf_pooled(model, x):
    return model(x["image"]).pooler_output.flatten(1)


def trunk(model, x):
    return model(x["image"])


def tokens(model, x):
    inner = getattr(model, model.base_model_prefix, model)
    out = inner(input_ids=x["ids"], attention_mask=x["mask"].long()).last_hidden_state
    return out * x["mask"][..., None]


def dense_features(model, x):
    y = torch.nn.functional.relu(model.features(x["image"]))
    return y.mean((2, 3))


def xrv_densenet():
    """torchxrayvision's network is torchvision's with one channel and 18 findings."""
    from torchvision.models import DenseNet

    model = DenseNet(growth_rate=8, block_config=(2, 3, 2, 2), num_init_features=16, num_classes=18)
    model.features.conv0 = torch.nn.Conv2d(1, 16, 7, stride=2, padding=3, bias=False)
    model.register_buffer("op_threshs", torch.full((18,), 0.5))
    return torch_models.fill(model)


def torchvision_resnet():
    from torchvision.models.resnet import Bottleneck, ResNet

    return torch_models.fill(ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5))


def resnet_features(model, x):
    hold = model.fc
    model.fc = torch.nn.Identity()
    try:
        return model(x["image"])
    finally:
        model.fc = hold


def timm_model(name, **arguments):
    def make():
        import timm

        return torch_models.fill(timm.create_model(name, num_classes=0, **arguments))

    return make


def cxr_bert():
    """BERT with a projection for contrastive training beside its masked-word head."""
    model = hf("BertForMaskedLM", "BertConfig", **WORDS, max_position_embeddings=16)()
    model.cls_projection_head = torch_models.fill(torch.nn.Linear(32, 8))
    return model


TIMM_VIT = {"img_size": 28, "patch_size": 7, "embed_dim": 64, "depth": 2, "num_heads": 1}
DINO = {"mlp_ratio": 2}
VISION = {
    "ViT-B/16, HF": Tower(
        hf("ViTModel", "ViTConfig", **IMAGES, intermediate_size=48), keep, class_token, "vit"
    ),
    "ViT-B/16, timm": Tower(
        timm_model("vit_base_patch16_224", **TIMM_VIT),
        keep_timm("vit_base_patch16_224", **TIMM_VIT),
        trunk,
        "timm_vit",
    ),
    "DINOv2 B, L": Tower(
        hf("Dinov2Model", "Dinov2Config", **IMAGES, **DINO), keep, class_token, "dinov2"
    ),
    "DINOv2 with registers": Tower(
        hf(
            "Dinov2WithRegistersModel",
            "Dinov2WithRegistersConfig",
            **IMAGES,
            **DINO,
            num_register_tokens=3,
        ),
        keep,
        class_token,
        "dinov2",
        side=42,  # the position table is stretched, the registers have none
    ),
    "DINOv2 giant (SwiGLU)": Tower(
        hf("Dinov2Model", "Dinov2Config", **IMAGES, mlp_ratio=4, use_swiglu_ffn=True),
        keep,
        class_token,
        "dinov2",
    ),
    "RAD-DINO": Tower(
        hf("Dinov2Model", "Dinov2Config", **IMAGES, **DINO, use_mask_token=True),
        keep,
        class_token,
        "dinov2",
        side=35,
    ),
    "ResNet-50, torchvision": Tower(
        torchvision_resnet,
        keep_alone("resnet50-0676ba61.pth"),
        resnet_features,
        "torchvision_resnet",
        side=64,
        path="resnet50-0676ba61.pth",
    ),
    "ResNet-50, HF": Tower(
        hf(
            "ResNetModel",
            "ResNetConfig",
            embedding_size=8,
            hidden_sizes=[32, 64],
            depths=[1, 2],
        ),
        keep,
        hf_pooled,
        "resnet",
        side=64,
    ),
    "DenseNet-121, torchxrayvision": Tower(
        xrv_densenet,
        keep_alone("densenet121-res224-all.pt"),
        dense_features,
        "xrv_densenet",
        side=64,
        channels=1,
        path="densenet121-res224-all.pt",
        back=False,  # timm has a name for the full size alone
    ),
}
TEXT = {
    "BERT": Tower(
        hf("BertModel", "BertConfig", **WORDS, max_position_embeddings=16), keep, tokens, "bert", 0
    ),
    "PubMedBERT (BiomedBERT)": Tower(
        hf("BertForMaskedLM", "BertConfig", **WORDS, max_position_embeddings=16),
        keep,
        tokens,
        "bert",
        0,
    ),
    "Bio_ClinicalBERT": Tower(
        hf("BertModel", "BertConfig", **WORDS, max_position_embeddings=16),
        keep_bin(),
        tokens,
        "bert",
        0,
    ),
    "CXR-BERT": Tower(cxr_bert, keep_bin(model_type="cxr-bert"), tokens, "bert", 0),
    "RadBERT-RoBERTa": Tower(
        hf("RobertaForMaskedLM", "RobertaConfig", **WORDS, max_position_embeddings=18),
        keep,
        tokens,
        "roberta",
        0,
    ),
    "MiniLM": Tower(
        hf("BertModel", "BertConfig", **WORDS | {"num_hidden_layers": 1}, hidden_act="gelu"),
        keep,
        tokens,
        "bert",
        0,
    ),
}


def inputs(case):
    """Images of the case's side and channels; texts padded with RoBERTa's id or BERT's."""
    side = case.side or 28
    x = dict(drawn.inputs(side))
    x["image"] = x["image"][..., : case.channels]
    if case.family == "roberta":
        x["ids"] = np.where(x["mask"], np.maximum(x["ids"], 2), 1)
    return x


def computed(source, model, params, buffers, x):
    def run(params, buffers, image, ids, mask):
        module = model.merge(params, buffers)
        if source.family.part == "text":
            return module(ids, mask).tokens * mask[..., None]
        return module(image).pooled

    return jax.jit(run)(params, buffers, x["image"], x["ids"], x["mask"])


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert 0.1 < np.abs(theirs).max() < 60  # or the bound would say nothing
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def report(name, ours, theirs):
    print(f"{name:32} {np.abs(np.asarray(ours) - np.asarray(theirs)).max():.1e}")


@pytest.mark.parametrize("name", [*VISION, *TEXT])
def test_a_published_tower(name, tmp_path):
    case = (VISION | TEXT)[name]
    theirs = case.make()
    case.save(theirs, tmp_path / "in")
    x = inputs(case)
    given = {n: torch.tensor(v) for n, v in x.items()}
    given["image"] = given["image"].permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = case.run(theirs, given).numpy()
    source = open_source(tmp_path / "in" / case.path)
    assert source.family.name == case.family
    model = ModelDef.of(build(source.config))
    params, buffers = source.load(model.abstract_params, model.abstract_buffers)
    ours = computed(source, model, params, buffers, x)
    report(name, ours, wanted)
    close(ours, wanted)
    if case.back:
        export(tmp_path / "out", case.family, source.config, params, buffers)
        again = open_source(tmp_path / "out")
        assert dataclasses.replace(again.config, name=source.config.name) == source.config
        same = again.load(model.abstract_params, model.abstract_buffers)
        jax.tree.map(np.testing.assert_array_equal, same, (params, buffers))


def test_pixels_of_torchxrayvision(tmp_path):
    """Grey levels 0 and 255 are -1024 and 1024, what the network was trained on."""
    keep_alone("x.pt")(xrv_densenet(), tmp_path / "in")
    pixels = open_source(tmp_path / "in" / "x.pt").pixels
    assert pixels == XRV
    ends = (np.array([0.0, 1.0]) - pixels.mean[0]) / pixels.std[0]
    np.testing.assert_allclose(ends, [-1024, 1024])


DECODER = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
GEMMA = DECODER | {"head_dim": 16, "sliding_window": 5}
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]
LANGUAGE = {
    "Llama 3": hf(
        "LlamaForCausalLM",
        "LlamaConfig",
        **DECODER,
        rope_parameters={
            "rope_theta": 500000.0,
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    "Qwen 2.5": hf("Qwen2ForCausalLM", "Qwen2Config", **DECODER, tie_word_embeddings=True),
    "Qwen 3": hf("Qwen3ForCausalLM", "Qwen3Config", **DECODER, head_dim=16),
    "BioMistral": hf("MistralForCausalLM", "MistralConfig", **DECODER, sliding_window=5),
    "Gemma": hf("GemmaForCausalLM", "GemmaConfig", **DECODER, head_dim=16),
    "Gemma 2": hf(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        **GEMMA,
        layer_types=WINDOWS,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    ),
    "MedGemma (text)": hf(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        **GEMMA,
        layer_types=WINDOWS,
        query_pre_attn_scalar=16,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
    "BioMedLM (GPT-2)": hf(
        "GPT2LMHeadModel",
        "GPT2Config",
        vocab_size=60,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=40,
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
        attn_implementation="eager",
    ),
    "BioGPT": hf(
        "BioGptForCausalLM",
        "BioGptConfig",
        **{k: v for k, v in DECODER.items() if k != "num_key_value_heads"}
        | {"max_position_embeddings": 40},
    ),
}
IDS = np.random.default_rng(0).integers(3, 60, (2, 12))


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_published_language_model(name, tmp_path):
    """Logits of the whole text, token by token from a cache, and from an export."""
    theirs = LANGUAGE[name]()
    theirs.save_pretrained(tmp_path / "in")
    theirs.config._attn_implementation = "eager"  # the fused ones have no caps
    with torch.no_grad():
        wanted = theirs(torch.tensor(IDS)).logits.numpy()
    overrides = {"stacked": False, "kernel_layout": "out_in"} if name in ("Gemma 2",) else {}
    found = lm.load(tmp_path / "in", overrides=overrides)
    model = found.model_def
    ours = jax.jit(lambda p: model.merge(p, {})(IDS))(found.params)
    report(name, ours, wanted)
    close(ours, wanted)

    start, places = 7, 16
    empty = abstract_cache(found.config, 2, places)
    empty = jax.tree.map(lambda s: jax.numpy.zeros(s.shape, s.dtype), empty)

    def begin(params):
        ids = np.pad(IDS[:, :start], ((0, 0), (0, 3)))
        logits, kv = prefill(model.merge(params, {}), ids, np.full(2, start), places)
        return logits, insert(empty, kv, np.arange(2))

    logits, cache = jax.jit(begin)(found.params)
    np.testing.assert_allclose(logits, ours[:, start - 1], rtol=0, atol=TOLERANCE)
    step = jax.jit(lambda p, t, at, cache: decode_step(model.merge(p, {}), t, at, cache))
    for at in range(start, IDS.shape[1]):
        logits, cache = step(found.params, IDS[:, at], np.full(2, at), cache)
        np.testing.assert_allclose(logits, ours[:, at], rtol=0, atol=TOLERANCE)

    lm.save(
        tmp_path / "out", found.config, found.params, model_type=found.folder_config["model_type"]
    )
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", attn_implementation="eager"
    )
    with torch.no_grad():
        np.testing.assert_array_equal(again.eval()(torch.tensor(IDS)).logits.numpy(), wanted)


def test_the_text_part_of_a_gemma_with_images(tmp_path):
    """MedGemma 4B: the text part's settings and names inside those of a model that reads images."""
    from safetensors.numpy import load_file, save_file

    theirs = LANGUAGE["MedGemma (text)"]()
    theirs.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    images = {"vision_tower.vision_model.head.probe": np.zeros((1, 1, 8), np.float32)}
    images |= {"multi_modal_projector.mm_soft_emb_norm.weight": np.zeros(8, np.float32)}
    settings = json.loads((tmp_path / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": settings, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    with torch.no_grad():
        wanted = theirs(torch.tensor(IDS)).logits.numpy()
    for prefix, other in (("language_model.", ""), ("model.language_model.", "model.")):
        old = prefix == "language_model."
        named = {
            (prefix + n if old else n.replace("model.", prefix, 1)): x for n, x in tensors.items()
        }
        named |= {other + n: x for n, x in images.items()}
        save_file(named, tmp_path / "model.safetensors", {"format": "pt"})
        found = lm.load(tmp_path)
        ours = jax.jit(lambda p, m=found.model_def: m.merge(p, {})(IDS))(found.params)
        close(ours, wanted)


@pytest.mark.parametrize("version", tiny.VERSIONS)
def test_a_published_image_generator(version, tmp_path):
    """Stable Diffusion 1.5 and 2.1: the parts of the folder that diffusers saved."""
    tiny.saved(version, tmp_path / "in")
    folder = stable_diffusion.Folder.of(tmp_path / "in")
    unet = tiny.diffusers.UNet2DConditionModel.from_pretrained(tmp_path / "in" / "unet").eval()
    model = TextToImage(stable_diffusion.read_config(folder))
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    params = stable_diffusion.load_params(folder, model, mesh)
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(2, 16, 16, model.config.unet.channels)).astype(np.float32)
    context = rng.normal(size=(2, 5, model.config.text.width)).astype(np.float32)
    t = np.array([3, 700])
    with torch.no_grad():
        wanted = unet(
            torch.tensor(latents).permute(0, 3, 1, 2),
            torch.tensor(t),
            encoder_hidden_states=torch.tensor(context),
        ).sample.permute(0, 2, 3, 1)
    ours = jax.jit(lambda p: model.unet.merge(p, {})(latents, t.astype(np.float32), context))(
        params["unet"]
    )
    report(f"Stable Diffusion, {version}", ours, wanted)
    close(ours, wanted)

    # The scheduler and the end token go with the weights, and do not become ours.
    file = tmp_path / "in" / "scheduler" / "scheduler_config.json"
    said = json.loads(file.read_text()) | {"_class_name": "PNDMScheduler", "skip_prk_steps": True}
    file.write_text(json.dumps(said))
    tokenizer = stable_diffusion.load_tokenizer(folder.tokenizer)
    scheduler = stable_diffusion.read_scheduler(folder)
    stable_diffusion.save(tmp_path / "out", model.config, params, tokenizer, scheduler)
    out = tmp_path / "out"
    assert json.loads((out / "scheduler" / "scheduler_config.json").read_text()) == said
    index = json.loads((out / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "PNDMScheduler"]
    text = json.loads((out / "text_encoder" / "config.json").read_text())
    assert text["eos_token_id"] == tokenizer.eos_token_id
