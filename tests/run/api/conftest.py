"""A tiny run, its own evaluation, what it exports, and its test films as files."""

import jax
import pytest

import medvlp_jax as mv
from data_gen.phantom.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.embedded import Predicted
from medvlp_jax.run.build import Run
from medvlp_jax.run.conversion import convert as conversion
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.train import train, tuner

from .films import LABELS, SIDE

TOWER = {"width": 32, "depth": 1, "heads": 2, "mlp_width": 64}


@pytest.fixture(autouse=True, scope="module")
def compile_quickly():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """(workdir, data folder) of a run of two steps, whose model the open_clip layout can hold."""
    folder = tmp_path_factory.mktemp("api")
    data = folder / "data"
    splits = SplitCounts(train=20, validation=8, test=40)
    small = PhantomConfig(size=SIDE, splits=splits, masks=False, processes=1, studies_per_shard=20)
    generate(small, data, progress=False)
    config = {
        "name": "tiny",
        "model": {
            "vision": {"name": "vit", "patch": 8, **TOWER},
            "text": {"name": "clip_text", "vocab": 400, "max_length": 64, **TOWER},
            "embed_dim": 16,
            "dtype": "float32",
        },
        "task": {"name": "contrastive"},
        "data": {
            "sources": [{"path": str(data)}],
            "batch_size": 8,
            "image": {"size": SIDE, "channels": 1},
            "text": {"buckets": [64], "vocab": 300},
            "labels": LABELS,
        },
        "loop": {"steps": 2, "save_every": 2},
        "log": {"tensorboard": False},
        "eval": {
            "sets": {"test": {"path": str(data), "evaluators": ["zeroshot", "pictures"]}},
            "heatmap": "contrast",
            "bootstrap": {"resamples": 0},
        },
    }
    train(Run(config), folder / "run")
    return folder / "run", data


@pytest.fixture(scope="session")
def model(trained):
    return mv.load(trained[0])


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "open_clip"
    conversion.convert(str(trained[0]), str(folder), layout="open_clip")
    return folder


@pytest.fixture(scope="session")
def measured(model):
    """``(ids, image vectors, results)`` of the run's own evaluators."""
    opened = model._opened
    tokenizer = opened.tokenize.tokenizer
    built = evaluators_of(opened.run, tokenizer, tuner=tuner, during_training=False)
    results = {name: one(opened.predict) for name, one in built.items()}
    rows = built["test-zeroshot"].test.rows(opened.predict)
    return list(rows.ids), rows[Predicted("image_embed")], results


@pytest.fixture(scope="session")
def films(trained, tmp_path_factory):
    """The test images as files, in a folder with folders."""
    folder = tmp_path_factory.mktemp("films")
    for i, record in enumerate(open_dataset(trained[1], "test")):
        image = record.images[0]
        path = folder / f"part{i % 2}" / f"{i:03}.{image.format}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.data)
    return folder
