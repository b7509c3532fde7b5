"""Folders of published models: what they are, and what they say when something is amiss."""

import dataclasses
import json

import drawn
import huggingface_hub
import huggingface_hub.constants
import jax
import numpy as np
import pytest
import transformers
from folders import change, write
from safetensors.numpy import load_file, save_file

from medvlp_jax.core.state import ModelDef, flatten, path_str
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.weights.export import export
from medvlp_jax.weights.families import FAMILIES, OPENAI, build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import of_folder
from medvlp_jax.weights.source import open_source


def load(source):
    model = ModelDef.of(build(source.config))
    params, _ = source.load(model.abstract_params, model.abstract_buffers)
    return {path_str(p): np.asarray(x) for p, x in flatten(params).items()}


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def test_bert_of_a_model_with_heads(tmp_path):
    """Prefix, old names of the norms, heads and a foreign ``model_type`` change nothing."""
    write("bert", tmp_path / "plain")

    def rename(name):
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return "bert." + old.replace("LayerNorm.bias", "LayerNorm.beta")

    tensors = write("bert", tmp_path / "heads", rename)
    for name in ("cls.predictions.bias", "cls.seq_relationship.weight", "bert.pooler.dense.bias"):
        tensors[name] = np.zeros((2, 2), np.float32)
    tensors["cls_projection_head.LayerNorm.weight"] = np.ones(2, np.float32)
    tensors["bert.embeddings.position_ids"] = np.arange(16)[None]
    save_file(tensors, tmp_path / "heads" / "model.safetensors")
    change(tmp_path / "heads" / "config.json", model_type="cxr-bert")
    found = open_source(tmp_path / "heads")
    assert found.family.name == "bert"
    same(load(found), load(open_source(tmp_path / "plain")))


@pytest.mark.parametrize("side", ["vision", "text"])
def test_a_tower_of_a_whole_model(tmp_path, side):
    write("clip_quick_gelu", tmp_path)
    whole = open_source(tmp_path)
    tower = whole.tower(side)
    assert tower.config == getattr(whole.config, side)
    inside = {
        name.removeprefix(f"{side}/"): x
        for name, x in load(whole).items()
        if name.startswith(f"{side}/")
    }
    same(load(tower), inside)
    assert tower.tower(side) is tower


def test_a_tower_is_not_the_other_one(tmp_path):
    write("bert", tmp_path)
    with pytest.raises(WeightsError, match="is a text tower, no vision tower"):
        open_source(tmp_path).tower("vision")


def test_a_tower_with_the_prefix_of_the_whole(tmp_path):
    write("clip_vision", tmp_path / "plain")
    write("clip_vision", tmp_path / "prefix", lambda name: f"vision_model.{name}")
    same(load(open_source(tmp_path / "prefix")), load(open_source(tmp_path / "plain")))


def test_both_layouts_in_one_folder(tmp_path):
    """Repositories often hold open_clip's files beside those of transformers."""
    write("clip_quick_gelu", tmp_path)
    assert open_source(tmp_path).family.name == "clip"
    write("open_clip", tmp_path)
    found = open_source(tmp_path)
    assert found.family.name == "open_clip"
    assert len(load(found)) > 10
    assert open_source(tmp_path, "clip").family.name == "clip"
    assert len(load(open_source(tmp_path, "clip"))) > 10


def test_custom_text_clip_with_clips_own_text_tower(tmp_path):
    """open_clip's ``custom_text`` puts the text tower under ``text.``."""

    def rename(name):
        own = ("transformer", "token_embedding", "positional_embedding", "ln_final")
        return f"text.{name}" if name.startswith((*own, "text_projection")) else name

    write("open_clip", tmp_path / "plain")
    write("open_clip", tmp_path / "custom", rename)
    same(load(open_source(tmp_path / "custom")), load(open_source(tmp_path / "plain")))


def test_sizes_of_a_bert_that_is_only_named(tmp_path):
    """open_clip's settings give the BERT's hub id; its sizes are then those of the tensors."""
    write("open_clip_biomedclip", tmp_path)
    (tmp_path / "text_config" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"into text_config/"):
        open_source(tmp_path)
    file = tmp_path / "open_clip_model.safetensors"
    tensors = load_file(file)
    for name, x in tensors.items():
        if name.startswith(("text.transformer", "text.proj.0")):
            tensors[name] = drawn.tensor(name, tuple(64 if n == 32 else n for n in x.shape))
    save_file(tensors, file)
    text = open_source(tmp_path).config.text
    assert (text.width, text.heads, text.depth, text.mlp_width) == (64, 1, 2, 48)
    assert (text.vocab, text.max_length, text.pool) == (60, 16, "class")


def test_settings_said_twice(tmp_path):
    """Old CLIP files repeat a tower's settings; the second group wins, as in transformers."""
    write("clip_quick_gelu", tmp_path)
    file = tmp_path / "config.json"
    given = json.loads(file.read_text())
    change(file, text_config={}, text_config_dict=given["text_config"])
    assert open_source(tmp_path).config.text.width == 32
    assert len(load(open_source(tmp_path))) > 10


@pytest.mark.parametrize(
    ("case", "settings", "words"),
    [
        ("dinov2", {"hidden_act": "silu"}, "'silu' is not one of"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert", {"model_type": "electra"}, "'electra'; known are bert, "),
        ("bert", {"num_attention_heads": 3}, "does not describe a bert model"),
        ("resnet", {"downsample_in_bottleneck": True}, "downsample_in_bottleneck"),
        ("vit", {"image_size": [32, 16]}, "square"),
    ],
)
def test_variants_that_are_not_there_are_refused(tmp_path, case, settings, words):
    write(case, tmp_path)
    change(tmp_path / "config.json", **settings)
    with pytest.raises(WeightsError, match=r"config\.json") as error:
        open_source(tmp_path)
    assert words in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_folder_that_says_nothing(tmp_path):
    save_file({"a": np.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"no config\.json with a model_type"):
        open_source(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        open_source(tmp_path)
    with pytest.raises(WeightsError, match="'birt' is not one of"):
        open_source(tmp_path, "birt")


def test_the_hub_out_of_reach(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="hf download nobody/nothing-at-all --local-dir"):
        open_source("nobody/nothing-at-all")
    with pytest.raises(WeightsError, match="give a folder with weights, or a hub id"):
        open_source("/no/such/folder")


def test_a_hub_id_is_fetched_without_pickles(tmp_path, monkeypatch):
    write("dinov2", tmp_path)
    asked = {}

    def snapshot_download(name, revision, allow_patterns):
        asked.update(name=name, patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert open_source("someone/rad-dino").family.name == "dinov2"
    assert asked["name"] == "someone/rad-dino"
    assert "*.safetensors" in asked["patterns"]


@pytest.mark.parametrize("key", ["preprocess_cfg", "model_cfg"])
def test_groups_of_open_clip_that_are_none(tmp_path, key):
    write("open_clip", tmp_path)
    file = tmp_path / "open_clip_config.json"
    if key == "preprocess_cfg":  # the values of open_clip itself, and that is said
        change(file, preprocess_cfg=None)
        source = open_source(tmp_path)
        assert source.pixels == OPENAI
        assert "preprocess_cfg" in source.note
        of_folder(tmp_path, source.pixels)
    for value in (3, [], "x"):
        change(file, **{key: value})
        with pytest.raises(WeightsError, match=f"{key}=.* is no group of settings"):
            _ = open_source(tmp_path).pixels


def test_how_images_are_normalised(tmp_path):
    write("clip_quick_gelu", tmp_path)
    assert open_source(tmp_path).pixels == OPENAI
    said = {"image_mean": [0.5307] * 3, "image_std": [0.2583] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert open_source(tmp_path).tower("vision").pixels.mean == (0.5307,) * 3


@pytest.mark.parametrize(
    ("case", "layout", "words"),
    [
        ("dinov2", "vit", "layer_scale=1.0, not None"),
        ("dinov2", "clip_vision_model", "norm_pre=False, not True"),
        ("vit", "dinov2", "mlp_width"),
        ("open_clip_bert", "clip", "norm='post', not 'pre'"),
        ("siglip", "open_clip", "layout cannot hold this model"),
        ("resnet", "torchvision_resnet", "width 4, only 64"),
        ("bert", "birt", "is not one of"),
    ],
)
def test_a_layout_that_cannot_hold_a_model(tmp_path, case, layout, words):
    write(case, tmp_path)
    source = open_source(tmp_path)
    model = ModelDef.of(build(source.config))
    zeros = jax.tree.map(lambda s: jax.numpy.zeros(s.shape, s.dtype), model.abstract_params)
    with pytest.raises(WeightsError) as error:
        export(tmp_path / "out", layout, source.config, zeros, {})
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_open_clip_and_transformers_hold_the_same_clip(tmp_path):
    write("clip_quick_gelu", tmp_path / "hf")
    source = open_source(tmp_path / "hf")
    model = ModelDef.of(build(source.config))
    params, _ = source.load(model.abstract_params)
    export(tmp_path / "oc", "open_clip", source.config, params)
    again = open_source(tmp_path / "oc")
    assert again.config.vision.activation == "quick_gelu"
    same(load(again), load(source))


def test_every_published_size_has_rows():
    """The table of a 50-layer ResNet fills every one of its parameters, without building it."""
    from medvlp_jax.models.resnet import PRESETS
    from medvlp_jax.weights.rows import plan
    from medvlp_jax.weights.tables import resnet

    for name in ("resnet18", "resnet50"):
        model = ModelDef.of(build(PRESETS[name]))
        both = flatten(model.abstract_params) | flatten(model.abstract_buffers)
        wanted = {path_str(p): x for p, x in both.items()}
        steps = plan(resnet.table(PRESETS[name]), wanted)
        assert len(steps) == len(wanted)
    assert "layer4.2.conv3.weight" in {n for s in steps for n in s.sources}


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("bert", "BertConfig"),
        ("clip", "CLIPConfig"),
        ("siglip", "SiglipConfig"),
        ("dinov2", "Dinov2Config"),
        ("vit", "ViTConfig"),
        ("resnet", "ResNetConfig"),
    ],
)
def test_what_settings_leave_out(name, cls, tmp_path):
    """Our defaults are those of transformers: published files name only what differs."""
    full = getattr(transformers, cls)().to_dict()
    config_from = FAMILIES[name].config_from
    assert config_from({}, {}, tmp_path) == dataclasses.replace(
        config_from(full, {}, tmp_path), **({"name": "bert"} if name == "bert" else {})
    )


def test_pixels_that_fill_no_patch_are_left_out(tmp_path):
    """SigLIP-so400m: 384 pixels in patches of 14 make a grid of 27."""
    given = {"vision_config": {"image_size": 384, "patch_size": 14}}
    vision = FAMILIES["siglip"].config_from(given, {}, tmp_path).vision
    assert (vision.image_size, vision.grid) == (378, (27, 27))


def test_towers_are_built_from_their_own_configs():
    for name, family in FAMILIES.items():
        assert family.part in ("vision", "text", "clip", "blip"), name
    assert build(ViTConfig(width=8, heads=1, depth=1, mlp_width=8))
