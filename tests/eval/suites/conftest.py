"""Imported sets of the suite, and a tiny model in the layout of open_clip with a BERT tower."""

import json
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve()
TESTS = HERE.parents[2]
sys.path[:0] = [str(TESTS / "weights"), str(TESTS / "parity"), str(TESTS / "data_gen" / "sources")]

from suite_layouts import write  # noqa: E402

from data_gen.sources.importing.job import run_import  # noqa: E402
from medvlp_jax.data.texts.tokenizer import train_wordpiece  # noqa: E402
from medvlp_jax.eval.zeroshot.promptbank import load_bank  # noqa: E402


@pytest.fixture(autouse=True)
def _compile_quickly(quick_compiles):
    """At these sizes a test is all compilation."""


def import_sets(root: pathlib.Path, names, each=3, splits=("test",)) -> pathlib.Path:
    """``root/suite`` with a data folder a set, and ``root/public/NAME`` that it was made from."""
    for name in names:
        write(name, root / "public" / name, each, splits)
        settings = {"root": str(root / "public" / name), "set": name, "check_counts": False}
        run_import("suite", settings | {"name": name.lower()}, root / "suite" / name,
                   progress=False)  # fmt: skip
    return root / "suite"


def weights(folder: pathlib.Path, names) -> pathlib.Path:
    """An open_clip folder: ViT, BERT built from its settings, tokenizer, preprocessing."""
    import safetensors.torch
    import torch_models
    import transformers
    from make_fixtures import TEXTS

    sentences = [
        text
        for name in names
        for prompts in load_bank(f"suites/{name}").classes.values()
        for text in prompts.positive
    ]
    folder.mkdir(parents=True)
    train_wordpiece(sentences, folder / "words", 400)
    sizes = TEXTS | {"vocab_size": 400, "max_position_embeddings": 48}
    transformers.BertConfig(**sizes).save_pretrained(folder / "bert")
    settings = torch_models._open_clip_config("bert", str(folder / "bert"))
    settings["text_cfg"] |= {"context_length": 40, "hf_tokenizer_name": str(folder / "words")}
    model = torch_models.fill(torch_models._open_clip_model(settings))
    safetensors.torch.save_file(
        {n: x.contiguous() for n, x in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    prepared = {
        "size": 32, "mode": "RGB", "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28],
        "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0,
    }  # fmt: skip
    content = {"model_cfg": settings, "preprocess_cfg": prepared}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    for file in (folder / "words").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder
