"""Runs of ours, exported, moved to another folder and scored there by other libraries: the same.

Their tokenizer and their preprocessing, from the folder alone; images have the model's size, since
libraries differ in how they resize.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import jax
import numpy as np
import PIL.Image
import pytest
from folders import write

import medvlp_jax as mv
from configs import common
from medvlp_jax.core.state import ModelDef, flatten, unflatten
from medvlp_jax.data.texts.tokenizer import train_wordpiece
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.run.build import Run
from medvlp_jax.run.conversion import convert as conversion
from medvlp_jax.run.conversion import programs
from medvlp_jax.weights import lm
from medvlp_jax.weights.export import check_fits, export
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import Inputs

TEXTS = [
    "The heart size is normal.",
    "There is a left pleural effusion, no pneumothorax.",
    "Large right pneumothorax with collapse of the lung; the heart is enlarged.",
]
SIDE = 32
LAYERS = {"width": 32, "depth": 2, "heads": 2, "mlp_width": 64}
VIT = {"name": "vit", "patch": 8, **LAYERS}
BERT = {"name": "bert", "max_length": 40, **LAYERS}
CLIP_TEXT = {"name": "clip_text", "max_length": 40, **LAYERS}
SIGLIP_TEXT = CLIP_TEXT | {"causal": False, "see_padding": True, "activation": "gelu_tanh"}

#: The layout that is chosen -> towers, and what else of the config differs.
RUNS = {
    "vision_text_dual_encoder": (VIT, BERT, {}),
    "clip": (
        VIT | {"norm_pre": True, "patch_bias": False, "eps": 1e-5, "activation": "quick_gelu"},
        CLIP_TEXT | {"activation": "quick_gelu"},
        {},
    ),
    "open_clip": (VIT, CLIP_TEXT, {}),
    "siglip": (
        VIT | {"pool": "map", "class_token": False, "activation": "gelu_tanh"},
        SIGLIP_TEXT | {"eps": 1e-6},
        {"task": {"loss": "sigmoid"}},
    ),
    "stablehlo": (
        {"name": "resnet_narrow", "width": 8},
        BERT | {"norm": "pre", "norm_embed": False, "norm_final": True, "pool": "mean"},
        {"task": {"pixels": "image"}, "model": {"patch_map": "middle"}},
    ),
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "tokenizer"
    train_wordpiece(TEXTS * 3, folder, 300)
    return folder


def run_of(layout, words, channels=1, **image):
    """``(experiment, params, buffers)``, the parameters random in every place."""
    vision, text, more = RUNS[layout]
    config = common.base()
    config.model = {
        "vision": vision,
        "text": {"vocab": 400, **text},
        "embed_dim": 32 if layout == "siglip" else 24,
        "dtype": "float32",
        "remat": "none",
        **more.get("model", {}),
    }
    if layout == "siglip":
        config.model.vision_proj = {"kind": "none"}
        config.model.text_proj = {"kind": "linear", "bias": True}
        config.model.logit_bias = -10.0
    config.task = {
        "name": "contrastive",
        "loss": "infonce",
        "mean": (0.47,) * channels,
        "std": (0.21,) * channels,
        **more.get("task", {}),
    }
    if more.get("task", {}).get("pixels"):
        del config.task["mean"], config.task["std"]
    config.data.batch_size = 8
    config.data.image = {"size": SIDE, "channels": channels, **image}
    config.data.text.tokenizer = str(words)
    config.data.text.buckets = (40,)
    experiment = Run(config)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        if path[-1] == "var":
            return 0.5 + np.abs(noise)
        if path[-1] == "logit_scale":
            return np.float32(2.5)
        fan = max(1, int(np.prod(leaf.shape[-2:-1]))) if len(leaf.shape) > 1 else 25
        return noise * fan**-0.5 + (path[-1] == "scale")

    trees = (experiment.model_def.abstract_params, experiment.model_def.abstract_buffers)
    params, buffers = (
        jax.tree.map(jax.numpy.asarray, unflatten({p: draw(p, x) for p, x in flatten(t).items()}))
        for t in trees
    )
    return experiment, params, buffers


def pictures(channels):
    rng = np.random.default_rng(1)
    shape = (3, SIDE, SIDE) + ((3,) if channels == 3 else ())
    return rng.integers(0, 256, shape, np.uint8)


def ours(experiment, params, buffers, images, length):
    """Vectors of images and texts as evaluation makes them."""
    ids, mask = experiment.tokenizer()(TEXTS, length)
    batch = {"image": images.reshape(3, SIDE, SIDE, -1), "text": ids, "text_mask": mask}

    def run(batch):
        model = experiment.model_def.merge(params, buffers)
        predict = experiment.task.predict
        return predict["image_embed"](model, batch), predict["text_embed"](model, batch)

    return jax.jit(run)(batch)


def transformers_scores(folder, images, siglip):
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length" if siglip else True, truncation=True, return_tensors="pt"
    )
    if siglip:
        tokens = {"input_ids": tokens["input_ids"]}
    else:
        tokens.pop("token_type_ids", None)
    prepare = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = prepare([PIL.Image.fromarray(x) for x in images], return_tensors="pt")
    with torch.inference_mode():
        out = model(**tokens, **pixels)
    return out.image_embeds.numpy(), out.text_embeds.numpy()


def open_clip_scores(folder, images):
    import open_clip
    import torch

    model, prepare = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.inference_mode():
        pixels = torch.stack([prepare(PIL.Image.fromarray(x)) for x in images])
        image = model.eval().encode_image(pixels, normalize=True)
        return image.numpy(), model.encode_text(tokens, normalize=True).numpy()


def moved(folder, to):
    to.mkdir()
    folder.rename(to / "elsewhere")
    return to / "elsewhere"


@pytest.mark.torch
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [name for name in RUNS if name != "stablehlo"])
def test_another_library_scores_the_same(layout, channels, words, tmp_path, monkeypatch):
    for library in ("torch", "torchvision", "open_clip", "transformers"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    experiment, params, buffers = run_of(layout, words, channels)
    known = conversion.run_inputs(experiment)
    assert conversion._fitting(experiment.model_config, params, known) == (layout, "")
    export(tmp_path / "out", layout, experiment.model_config, params, buffers, inputs=known)
    folder = moved(tmp_path / "out", tmp_path / "there")
    for file in folder.glob("*.json"):
        assert str(tmp_path) not in file.read_text()
    images = pictures(channels)
    image, text = ours(experiment, params, buffers, images, 40)
    if layout == "open_clip":
        found = open_clip_scores(folder, images)
    else:
        found = transformers_scores(folder, images, layout == "siglip")
    np.testing.assert_allclose(found[0], image, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found[1], text, rtol=0, atol=2e-5)
    # The texts differ, or a wrong place to pool at would go unseen.
    assert np.abs(text[0] - text[1]).max() > 0.005


#: Layouts that other libraries read and this package does not.
ONLY_WRITTEN = ("stablehlo", "vision_text_dual_encoder")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [name for name in RUNS if name not in ONLY_WRITTEN])
def test_the_public_api_scores_the_same(layout, channels, words, tmp_path):
    experiment, params, buffers = run_of(layout, words, channels)
    known = conversion.run_inputs(experiment)
    export(tmp_path / "out", layout, experiment.model_config, params, buffers, inputs=known)
    model = mv.load(moved(tmp_path / "out", tmp_path / "there"))
    images = pictures(channels)
    image, text = ours(experiment, params, buffers, images, 40)
    np.testing.assert_allclose(model.embed_images(list(images)), image, rtol=0, atol=2e-5)
    np.testing.assert_allclose(model.embed_texts(TEXTS), text, rtol=0, atol=2e-5)


STRANGER = """
import json, pathlib, sys, jax, numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer
here = pathlib.Path(sys.argv[1])
weights = load_file(here / "model.safetensors")
said = json.loads((here / "program.json").read_text())
def program(name):
    return jax.export.deserialize((here / f"{name}.stablehlo").read_bytes()).call
images = program("image")(weights, np.load(sys.argv[2]))
tokens = AutoTokenizer.from_pretrained(here)(
    json.loads(sys.argv[3]), padding="max_length", truncation=True, return_tensors="np",
    max_length=said["text"]["length"],
)
ids, mask = tokens["input_ids"].astype(np.int32), tokens["attention_mask"] > 0
np.savez(sys.argv[4], image=images, text=program("text")(weights, ids, mask))
assert not [m for m in sys.modules if m.startswith("medvlp")]
"""


def test_what_no_layout_holds_runs_without_this_package(words, tmp_path):
    """The quickstart's kind of model: a ResNet with a folded stem, pixels standardised by image."""
    experiment, params, buffers = run_of("stablehlo", words)
    known = conversion.run_inputs(experiment)
    layout, why = conversion._fitting(experiment.model_config, params, known)
    assert layout == "stablehlo"
    for words_ in ("its vision tower is no ViT", "jax runs without this package"):
        assert words_ in why
    programs.write(tmp_path / "out", experiment, params, buffers, known)
    folder = moved(tmp_path / "out", tmp_path / "there")
    images = pictures(1)[..., None]
    np.save(tmp_path / "images.npy", images)
    files = [folder, tmp_path / "images.npy", json.dumps(TEXTS), tmp_path / "found.npz"]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    subprocess.run([sys.executable, "-c", STRANGER, *files], check=True, env=env, cwd=tmp_path)
    image, text = ours(experiment, params, buffers, images, 40)
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["image"], image, rtol=0, atol=2e-5)
        np.testing.assert_allclose(found["text"], text, rtol=0, atol=2e-5)
    assert json.loads((folder / "program.json").read_text())["image"]["resize"] == "shortest"


@pytest.mark.parametrize(
    ("layout", "image", "known", "words_"),
    [
        ("clip", {"resize": "pad"}, {}, "pads to a square"),
        ("clip", {}, {"end": 2}, "mark of old files"),
        ("open_clip", {}, {"obstacle": "it standardises"}, "it standardises"),
        ("vision_text_dual_encoder", {}, {"obstacle": "it enlarges"}, "it enlarges"),
    ],
)
def test_inputs_that_a_layout_cannot_say(layout, image, known, words_, words):
    experiment, params, _ = run_of(layout, words, **image)
    said = dataclasses.replace(conversion.run_inputs(experiment), **known)
    with pytest.raises(WeightsError, match=words_):
        check_fits(layout, experiment.model_config, params, said)


def test_a_bert_goes_to_open_clip_by_its_hub_id_alone(words):
    experiment, params, _ = run_of("vision_text_dual_encoder", words)
    with pytest.raises(WeightsError, match="published nowhere"):
        check_fits("open_clip", experiment.model_config, params)
    check_fits("open_clip", experiment.model_config, params, Inputs(text_id="someone/bert"))


def test_end_token_and_pixels_stay_those_of_the_source(tmp_path):
    """CLIP of transformers to open_clip and back: tokens were added behind the end of text."""
    write("clip_quick_gelu", tmp_path / "hf")
    file = tmp_path / "hf" / "config.json"
    settings = json.loads(file.read_text())
    settings["text_config"]["eos_token_id"] = 57
    file.write_text(json.dumps(settings))
    said = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 2}
    said |= {"do_center_crop": False, "size": {"height": 32, "width": 32}}
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(said))
    conversion.convert(str(tmp_path / "hf"), str(tmp_path / "oc"), layout="open_clip")
    config = json.loads((tmp_path / "oc" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["eos_id"] == 57
    assert config["model_cfg"]["text_cfg"]["pool_type"] == "eos"
    assert config["preprocess_cfg"]["mean"] == [0.5] * 3
    assert config["preprocess_cfg"]["resize_mode"] == "squash"
    assert config["preprocess_cfg"]["interpolation"] == "bilinear"
    conversion.convert(str(tmp_path / "oc"), str(tmp_path / "back"), layout="clip")
    again = json.loads((tmp_path / "back" / "config.json").read_text())
    assert again["text_config"]["eos_token_id"] == 57
    prepared = json.loads((tmp_path / "back" / "preprocessor_config.json").read_text())
    assert prepared["image_std"] == [0.25] * 3
    assert prepared["size"] == {"height": 32, "width": 32}


def test_a_language_model_takes_its_tokenizer_along(words, tmp_path):
    config = LMConfig(vocab=400, width=16, depth=1, heads=2, kv_heads=1, head_dim=8, mlp_width=16)
    params, _ = jax.jit(ModelDef.of(build_lm(config)).init)(jax.random.key(0))
    lm.save(tmp_path / "in", config, params, extra={"eos_token_id": 3})
    for file in words.glob("tokenizer*"):
        (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    conversion.convert(str(tmp_path / "in"), str(tmp_path / "out"))
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert json.loads((tmp_path / "out" / "config.json").read_text())["eos_token_id"] == 3
