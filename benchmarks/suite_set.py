"""A set of the suite in its public layout, its data folder, and an open_clip model to score it."""

# pyright: reportMissingImports=false
import json
import pathlib
import tempfile
from typing import Any

import cv2
import numpy as np

from benchmarks.models import IMAGE_SIZE, Shape, bert_config, open_clip_config
from benchmarks.torchvision_stand_in import ensure_torchvision
from data_gen.sources.importing.job import run_import
from medvlp_jax.data.texts.tokenizer import train_wordpiece
from medvlp_jax.eval.zeroshot.promptbank import load_bank

#: Lung tissue in JPEGs of 768 px, a folder a class; open_clip's templates want as many prompts of
#: every class, which this set has.
SET, SIZE = "LC25000_lung", 768
#: Folder of the public layout -> class, in the order of the suite.
FOLDERS = {
    "lung_aca": "lung adenocarcinoma",
    "lung_n": "benign lung",
    "lung_scc": "lung squamous cell carcinoma",
}
#: What lies in the folder that :class:`SuiteSet` is given.
PUBLIC, SUITE, WEIGHTS = "public", "suite", "weights"
#: Tokens of a text in open_clip.
CONTEXT = 77
_QUALITY = 90
#: --quick: the widths of ViT-Ti/16 and BERT-tiny.
_SMALL_VISION = {"width": 192, "layers": 12, "patch_size": 16}
_SMALL_BERT = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
}


class SuiteSet:
    """``count`` images of the set, their records, and weights drawn at random."""

    def __init__(self, folder: str, count: int, small: bool):
        root = pathlib.Path(folder)
        write_images(root / PUBLIC, count)
        settings = {"root": str(root / PUBLIC), "set": SET, "name": SET.lower()}
        # The published set is larger.
        run_import("suite", settings | {"check_counts": False}, root / SUITE / SET, progress=False)
        _write_weights(root / WEIGHTS, small)


def write_images(public: pathlib.Path, count: int) -> None:
    """``count`` JPEGs over the folders of the classes: colours of its class, and grain."""
    rng = np.random.default_rng(0)
    for i in range(count):
        name = list(FOLDERS)[i % len(FOLDERS)]
        coarse = rng.normal(150 + 20 * (i % len(FOLDERS)), 50, (48, 48, 3)).astype(np.float32)
        pixels = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        grain = cv2.resize(rng.normal(0, 12, (SIZE // 2, SIZE // 2, 1)), (SIZE, SIZE))
        done, data = cv2.imencode(
            ".jpeg",
            np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8),
            [cv2.IMWRITE_JPEG_QUALITY, _QUALITY],
        )
        assert done
        file = public / "lung_colon_image_set" / "lung_image_sets" / name / f"{name}{i:05}.jpeg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.tobytes())


def files(public: pathlib.Path) -> list[tuple[pathlib.Path, int]]:
    """Every image of the public layout and the place of its class, by name."""
    return [
        (file, place)
        for place, name in enumerate(FOLDERS)
        for file in sorted(public.rglob(f"{name}/*.jpeg"))
    ]


def prompts() -> list[tuple[str, ...]]:
    """The prompts of every class, as many of each."""
    bank = load_bank(f"suites/{SET}")
    return [bank.classes[name].positive for name in FOLDERS.values()]


def model_config(text_folder: str, small: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's config of the model, and that of its BERT: UniMed-CLIP's B/16, or a small one."""
    model = open_clip_config(Shape("unimed_b16", 1, CONTEXT), text_folder)
    bert = bert_config()
    if small:
        model["vision_cfg"] |= _SMALL_VISION
        bert |= _SMALL_BERT
    return model, bert


def _write_weights(folder: pathlib.Path, small: bool) -> None:
    """A folder as open_clip publishes it: weights, settings, tokenizer."""
    ensure_torchvision()
    import open_clip
    import safetensors.torch
    import torch

    torch.manual_seed(0)
    train_wordpiece([text for texts in prompts() for text in texts], folder, 1000)
    bert_folder = folder / "bert"
    bert_folder.mkdir()
    model_cfg, bert = model_config(str(bert_folder), small)
    (bert_folder / "config.json").write_text(json.dumps(bert))
    model_cfg["text_cfg"]["hf_tokenizer_name"] = str(folder)
    with tempfile.TemporaryDirectory() as place:
        registered = pathlib.Path(place) / "benchmark_suite.json"
        registered.write_text(json.dumps(model_cfg))
        open_clip.add_model_config(registered)
        model = open_clip.create_model(registered.stem, pretrained_text=False)
    tensors = {name: x.contiguous() for name, x in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "open_clip_model.safetensors")
    pixels = {
        "size": IMAGE_SIZE,
        "mode": "RGB",
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    settings = {"model_cfg": model_cfg, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
