"""Popular image-text files in their published layouts: each equals its own library, or is refused.

    pytest -s tests/weights/test_published.py

prints the table. Rows without torch compare with stored outputs (``published.npz``, written by
``make_published.py``).
"""

import argparse
import json
import pathlib

import drawn
import numpy as np
import publications
import pytest
from folders import write
from publications import FILES
from safetensors.numpy import save_file

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef
from medvlp_jax.run.conversion import comparison
from medvlp_jax.weights import towers
from medvlp_jax.weights.families import HALF, OPENAI, build
from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files.tensors import open_checkpoint
from medvlp_jax.weights.source import open_source

STORED = pathlib.Path(__file__).parent / "published.npz"
ROWS = [(name, side) for name, bare in FILES.items() for side in bare.towers]


def opened(file, name, side):
    found = open_source(file, FILES[name].family)
    return found if side == "clip" else found.tower(side)


@pytest.mark.parametrize(("name", "side"), ROWS)
def test_without_torch(name, side, tmp_path):
    save_file(publications.tensors(FILES[name]), tmp_path / "model.safetensors")
    with np.load(STORED) as stored:
        prefix = f"{name}/{side}/"
        wanted = {k.removeprefix(prefix): stored[k] for k in stored if k.startswith(prefix)}
    side_of_image = int(wanted.pop("side"))
    source = opened(tmp_path / "model.safetensors", name, side)
    model = ModelDef.of(build(source.config))
    arrays = source.load(model.abstract_params, model.abstract_buffers)
    x = drawn.inputs(side_of_image)
    found = comparison.forward(model.merge(*arrays), x)
    assert wanted
    for key, value in wanted.items():
        ours = np.asarray(found[key])
        if key == "tokens":
            ours = ours * x["mask"][..., None]
        assert 0.05 < np.abs(value).max() < 100, key
        np.testing.assert_allclose(ours, value, rtol=0, atol=1e-4 * max(1, np.abs(value).max()))


@pytest.mark.torch
@pytest.mark.parametrize("name", FILES)
def test_as_torch_saves_it(name, tmp_path):
    """The published file itself: pickled, among what training programs keep beside weights."""
    torch = pytest.importorskip("torch")
    bare = FILES[name]
    values = {n: torch.tensor(x) for n, x in publications.tensors(bare).items()}
    beside = {
        "epoch": 3,
        "stray": torch.zeros(3),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(9)}}}],
        "hyper_parameters": argparse.Namespace(lr=1e-4, path=pathlib.PurePosixPath("/data")),
    }
    torch.save(beside | {bare.group: values} if bare.group else values, tmp_path / bare.file)
    found = open_checkpoint(tmp_path / bare.file, Faults()).tensors
    assert found.keys() == bare.shapes.keys()
    for key, tensor in found.items():
        np.testing.assert_array_equal(tensor.read(), values[bare.wrapper + key].numpy())
    for side in bare.towers:
        assert opened(tmp_path / bare.file, name, side).config is not None
    print(f"{name}: loads ({', '.join(bare.towers)})")


def scripted(torch, values):
    """Tensors as TorchScript keeps them, which is how OpenAI published its models."""

    class Tree(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    root = Tree()
    for name, value in values.items():
        at = root
        *parts, last = name.split(".")
        for part in parts:
            if not hasattr(at, part):
                at.add_module(part, Tree())
            at = getattr(at, part)
        at.register_buffer(last, value)
    return torch.jit.script(root)


@pytest.mark.torch
def test_openai_as_published(tmp_path):
    torch = pytest.importorskip("torch")
    values = {n: torch.tensor(x) for n, x in publications.tensors(FILES["OpenAI CLIP"]).items()}
    scripted(torch, values).save(tmp_path / "ViT-B-16.pt")
    found = open_checkpoint(tmp_path / "ViT-B-16.pt", Faults()).tensors
    assert found.keys() == values.keys()
    for key, tensor in found.items():
        np.testing.assert_array_equal(tensor.read(), values[key].numpy())
    with pytest.raises(WeightsError, match="--family=openai_clip"):
        open_source(tmp_path / "ViT-B-16.pt")
    assert open_source(f"openai_clip:{tmp_path / 'ViT-B-16.pt'}").config.text.max_length == 77


def test_what_bare_files_are_not(tmp_path):
    """Whole models and towers that we do not have are refused with the reason, in one line."""
    file = tmp_path / "model.safetensors"
    save_file(publications.tensors(FILES["CONCH"]), file)
    with pytest.raises(WeightsError, match=r"no text tower that we have.*by attention"):
        open_source(file).tower("text")
    with pytest.raises(ConfigError, match="no whole CLIP"):
        towers.expand({"init": str(file)}, 3)
    swin = {"vision_model.model.encoder.layers.0.blocks.0.attention.self.query.weight": (4, 4)}
    swin |= {"text_model.projection_head.weight": (4, 4), "text_model.model.a": (2,)}
    save_file({n: np.zeros(s, np.float32) for n, s in swin.items()}, file)
    with pytest.raises(WeightsError, match=r"medclip has no vision tower"):
        open_source(file).tower("vision")
    with pytest.raises(WeightsError, match=r"no CLIP with a ViT"):
        open_source(file, "chexzero")
    with pytest.raises(WeightsError, match=r"names the family gloria"):
        open_source(f"gloria:{file}", "mgca")


def test_a_run_names_the_family(tmp_path):
    """``config.model.vision.init=mgca:...``: sizes and pixel statistics of the tower."""
    file = tmp_path / "vit_base.safetensors"
    save_file(publications.tensors(FILES["MGCA ViT-B/16"]), file)
    found = towers.expand({"vision": {"init": f"mgca:{file}"}, "text": {"init": str(file)}}, 3)
    assert found.model["vision"]["name"] == "vit"
    assert (found.model["vision"]["width"], found.model["text"]["width"]) == (64, 64)
    assert found.pixels == HALF


#: Folders with settings, as the libraries of the publications write them, by ``folders.CASES``.
FOLDERS = {
    "OpenAI CLIP (transformers)": "clip_quick_gelu",
    "PLIP and kin (transformers, gelu)": "clip_gelu",
    "SigLIP, MedSigLIP": "siglip",
    "BiomedCLIP": "open_clip_biomedclip",
    "open_clip ViT-B": "open_clip",
    "open_clip with a BERT": "open_clip_bert",
}


@pytest.mark.torch
@pytest.mark.parametrize("name", FOLDERS)
def test_folders_against_their_library(name, tmp_path):
    pytest.importorskip("open_clip")
    pytest.importorskip("torch_models")
    write(FOLDERS[name], tmp_path)
    bert = tmp_path / "open_clip_config.json"
    if bert.is_file():
        bert.write_text(bert.read_text().replace('"text_config"', f'"{tmp_path}/text_config"'))
    line = comparison.compare(comparison.source_parts(open_source(tmp_path)), name)
    assert "max abs difference" in line
    print(line)


@pytest.mark.torch
def test_pubmedclip_as_published(tmp_path):
    """A pickled ``CLIPModel`` of an older transformers, with the buffers of its time."""
    torch = pytest.importorskip("torch")
    values = write("clip_quick_gelu", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    tensors = {name: torch.tensor(x) for name, x in values.items()}
    positions = torch.arange(16).expand((1, -1))
    tensors |= {f"{side}_model.embeddings.position_ids": positions for side in ("text", "vision")}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    line = comparison.compare(comparison.source_parts(open_source(tmp_path)), "PubMedCLIP")
    assert "max abs difference" in line
    print(line)


@pytest.mark.torch
def test_laion_h(tmp_path):
    """Heads that are 80 wide, GELU, and CLIP's own text tower at 77 positions."""
    pytest.importorskip("open_clip")
    torch_models = pytest.importorskip("torch_models")
    vision = torch_models.OPEN_CLIP_VISION | {"width": 160, "head_width": 80}
    text = torch_models.OPEN_CLIP_TEXT | {"context_length": 77}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    model = torch_models.fill(torch_models._open_clip_model(config))
    torch_models._save_tensors("open_clip_model.safetensors")(model, tmp_path)
    content = {"model_cfg": config, "preprocess_cfg": {"mean": OPENAI.mean, "std": OPENAI.std}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    source = open_source(tmp_path)
    assert source.config.vision.heads == 2
    line = comparison.compare(comparison.source_parts(source), "LAION ViT-H/14")
    assert "max abs difference" in line
    print(line)


@pytest.mark.torch
@pytest.mark.parametrize("pooler", ["mean_pooler", "cls_last_hidden_state_pooler"])
def test_open_clip_with_a_roberta(pooler, tmp_path):
    """LAION's ViT-B/32 beside (XLM-)RoBERTa; its settings lie in ``text_config``."""
    pytest.importorskip("open_clip")
    torch_models = pytest.importorskip("torch_models")
    transformers = pytest.importorskip("transformers")
    sizes = {"max_position_embeddings": 18, "type_vocab_size": 1, "pad_token_id": 1}
    own = transformers.RobertaConfig(**(torch_models.TEXTS | sizes))
    own.save_pretrained(tmp_path / "text_config")
    text = torch_models.BERT_TEXT | {
        "hf_model_name": str(tmp_path / "text_config"),
        "hf_pooler_type": pooler,
    }
    config = {"embed_dim": 16, "vision_cfg": torch_models.OPEN_CLIP_VISION, "text_cfg": text}
    model = torch_models.fill(torch_models._open_clip_model(config))
    torch_models._save_tensors("open_clip_model.safetensors")(model, tmp_path)
    content = {"model_cfg": config, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    line = comparison.compare(comparison.source_parts(open_source(tmp_path)), "LAION RoBERTa")
    assert "max abs difference" in line
    print(line)
