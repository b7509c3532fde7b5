"""Runs of ours, exported, moved to another folder and scored there by other libraries: the same.

Their tokenizer and their preprocessing, from the folder alone; images have the model's size, since
libraries differ in how they resize.
"""

import importlib.util

import jax
import numpy as np
import PIL.Image
import pytest

from configs import common
from medvlp_jax import conversion
from medvlp_jax.core.state import flatten, unflatten
from medvlp_jax.data.tokenizer import train_wordpiece
from medvlp_jax.experiment import Experiment
from medvlp_jax.weights.export import export

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
    experiment = Experiment(config)
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
    assert np.abs(text[0] - text[1]).max() > 0.05
