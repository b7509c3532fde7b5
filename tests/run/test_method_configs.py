"""Every config of a method: it resolves for every tower, and a tiny version of it learns a step."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.cxr import methods
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.step import init_state
from medvlp_jax.data.columns.registry import batch_spec
from medvlp_jax.data.device import to_device
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import parse_config

NAMES = ("clip", "siglip", "convirt", "gloria", "mgca", "medclip", "chexzero")
#: What is compiled each time; ``run/test_every_task.py`` trains every task.
QUICK = ("clip", "mgca")
ROWS, SIDE, LENGTH = 8, 32, 12


def config_of(name: str, arg: str) -> Any:
    return importlib.import_module(f"configs.cxr.{name}").get_config(arg)


def random_batch(spec):
    """A full batch for a task's spec."""
    rng = np.random.default_rng(0)
    batch = {name: np.zeros(s.shape, s.dtype) for name, s in spec.items()}
    batch["image"] = rng.integers(0, 256, batch["image"].shape, dtype=np.uint8)
    batch["text"] = rng.integers(1, 50, batch["text"].shape, dtype=np.int32)
    for name in ("text_mask", "text_variant_mask", "valid"):
        if name in batch:
            batch[name][:] = True
    if "text_variant" in batch:
        batch["text_variant"] = batch["text"][:, ::-1].copy()
    if "word_ids" in batch:
        batch["word_ids"][:] = np.r_[np.arange(LENGTH - 1), -1]
    if "text_key" in batch:
        batch["text_key"] = np.arange(ROWS, dtype=np.uint32)
    if "labels" in batch:
        batch["labels"] = rng.integers(-2, 2, batch["labels"].shape).astype(np.int8)
    return batch


@pytest.mark.parametrize("arch", methods.ARCHS)
@pytest.mark.parametrize("name", NAMES)
def test_it_resolves(name, arch):
    config = parse_config(config_of(name, f"{arch}:some/folder"))
    assert config.name == f"{name}_{arch}"
    assert config.data.sources[0].path == config.eval.sets["test"].path == "some/folder"


def test_recipes():
    """The constants that make a recipe what it is."""
    gloria = parse_config(config_of("gloria", "resnet50"))
    assert (gloria.optim.name, gloria.optim.b1, gloria.optim.clip_norm) == ("adam", 0.5, 0.25)
    assert gloria.data.image.geometry.flip == 0
    mgca = parse_config(config_of("mgca", "vit_b16"))
    assert mgca.optim.unit_norm == ("prototypes",)
    assert mgca.optim.hold["prototypes"] == round(methods.MIMIC_FRONTAL / 144)
    chexzero = parse_config(config_of("chexzero", "clip_b32:x"))
    assert (chexzero.optim.name, chexzero.optim.momentum) == ("sgd", 0.9)
    assert (chexzero.optim.lr, chexzero.optim.schedule) == (1e-4, "constant")
    assert (chexzero.data.batch_size, chexzero.data.text.policy) == (16, "impression")
    assert chexzero.data.text.buckets == (77,)
    assert chexzero.task["mean"] == [pytest.approx(0.39799, abs=1e-5)]
    medclip = parse_config(config_of("medclip", "resnet50"))
    assert medclip.task["variant"]


def test_arguments_that_are_wrong():
    with pytest.raises(ValueError, match="behind the colon stands resnet50 or vit_b16 or small"):
        config_of("clip", "resnet")
    config = config_of("gloria", "small")
    config.data.labels = ()
    config.task.multi_positive = "labels"
    with pytest.raises(ConfigError, match=r"column labels, and config\.data\.labels is empty"):
        Run(config)


@pytest.mark.usefixtures("quick_compiles")
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_a_tiny_version_learns_a_step(name):
    config = config_of(name, "small:unused")
    config.model.vision.update({"width": 8, "stage_sizes": (1, 1)})
    config.model.text.update({"width": 16, "heads": 2, "mlp_width": 32, "vocab": 64})
    config.model.embed_dim = 16
    config.data.batch_size = ROWS
    config.data.image.size = SIDE
    config.data.text.buckets = (LENGTH,)
    config.optim.warmup_steps = 0
    config.loop.steps = 3
    config.eval.sets = {}
    if name == "mgca":
        config.optim.hold = {"prototypes": 1}
    experiment = Run(config, jax.devices()[:1])
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    batch = random_batch(batch_spec(experiment.task.columns, experiment.config.data, ROWS, LENGTH))
    key = jax.random.key(0)
    state = init_state(experiment.model_def, experiment.optimizer, key, mesh)
    step = experiment.train_step
    before = jax.tree.map(np.array, state.params)  # copies: the step takes the memory
    table = []
    for _ in range(2):
        state, metrics = step(state, to_device(dict(batch), mesh)[0], key)
        assert np.isfinite(float(metrics["loss"]))
        assert np.isfinite(float(metrics["grad_norm"]))
        table.append(np.array(state.params.get("prototypes", jnp.zeros((1, 1)))))
    still = [
        path
        for (path, new), old in zip(
            jax.tree_util.tree_leaves_with_path(state.params),
            jax.tree.leaves(before),
            strict=True,
        )
        if (np.asarray(new) == old).all()
    ]
    # What a loss does not reach: the fixed temperature's parameter.
    assert {jax.tree_util.keystr(p, simple=True, separator="/") for p in still} <= {"logit_scale"}
    if name == "mgca":
        np.testing.assert_array_equal(table[0], before["prototypes"])
        assert (table[1] != table[0]).any()
        np.testing.assert_allclose(np.linalg.norm(table[1], axis=1), 1, rtol=1e-6)
