"""Llama and Qwen against transformers, from ``fixtures/lm_*`` (see make_lm_fixtures.py)."""

import functools
import json
import pathlib

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from medvlp_jax.generation.text.decoding import GenerationConfig
from medvlp_jax.generation.text.engine import Generator, Request
from medvlp_jax.models.lm.rope import RopeConfig, frequencies
from medvlp_jax.weights import lm
from medvlp_jax.weights.faults import WeightsError

TOLERANCE = 2e-5
FIXTURES = pathlib.Path(__file__).parent / "fixtures"
CASES = ["lm_llama2", "lm_llama3", "lm_qwen2", "lm_qwen3"]


@functools.cache
def fixture(name):
    with np.load(FIXTURES / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def folder_of(case, path):
    """The fixture as the folder that transformers would have saved."""
    path.mkdir()
    (path / "config.json").write_text(str(case["config"]))
    weights = {k[2:]: case[k].astype(np.float32) for k in case if k.startswith("w/")}
    save_file(weights, path / "model.safetensors")
    return path


#: How the parameters are kept: for training, and for decoding on CPUs.
KEPT = [(name, "") for name in CASES] + [("lm_llama3", "float"), ("lm_qwen2", "float")]


@pytest.fixture(scope="module", params=KEPT, ids=lambda kept: "-".join(kept).strip("-"))
def loaded(request, tmp_path_factory):
    name, storage = request.param
    folder = folder_of(fixture(name), tmp_path_factory.mktemp("lm") / "model")
    return fixture(name), lm.load(folder, overrides=lm.CPU_DECODING.get(storage))


def test_logits(loaded):
    case, model = loaded
    run = jax.jit(lambda p, ids, mask: model.model_def.merge(p, {})(ids, mask=mask))
    logits = np.asarray(run(model.params, case["in/ids"], case["in/mask"]))
    real = case["in/mask"]
    assert 1 < np.abs(case["out/logits"][real]).max() < 30
    np.testing.assert_allclose(logits[real], case["out/logits"][real], rtol=0, atol=TOLERANCE)


def test_cached_greedy_text(loaded):
    """64 tokens of a ragged batch of eight, with a cache, are those of transformers."""
    case, model = loaded
    config = GenerationConfig(rows=8, max_new_tokens=64, capacity=80, chunk=16)
    generator = Generator(model.config, model.params, config, model.mesh)
    prompts = [row[:n].tolist() for row, n in zip(case["in/ids"], case["in/lengths"], strict=True)]
    done = generator.all(Request(str(i), p) for i, p in enumerate(prompts))
    for i, expected in enumerate(case["out/greedy"]):
        assert done[str(i)].tokens == expected.tolist()


def test_cached_greedy_text_equals_the_full_forward(loaded):
    """The text of the fixture is the arg-max of our own forward pass without a cache."""
    case, model = loaded
    run = jax.jit(lambda p, ids: model.model_def.merge(p, {})(ids).argmax(-1))
    texts = [
        [*row[:n], *new]
        for row, n, new in zip(case["in/ids"], case["in/lengths"], case["out/greedy"], strict=True)
    ]
    ids = np.zeros((8, 80), np.int32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    best = np.asarray(run(model.params, ids))
    for row, n, new in zip(best, case["in/lengths"], case["out/greedy"], strict=True):
        np.testing.assert_array_equal(row[n - 1 : n + 63], new)


def test_export_is_the_same_checkpoint(loaded, tmp_path):
    case, model = loaded
    kind = json.loads(str(case["config"]))["model_type"]
    lm.save(tmp_path / "out", model.config, model.params, model_type=kind)
    kept = {name: getattr(model.config, name) for name in ("stacked", "kernel_layout")}
    again = lm.load(tmp_path / "out", overrides=kept)
    assert again.config == model.config
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)


@pytest.mark.parametrize(
    ("name", "rope", "length"),
    [
        ("default", RopeConfig(), 64),
        ("linear", RopeConfig(scaling="linear", factor=4.0), 64),
        ("dynamic", RopeConfig(scaling="dynamic", factor=4.0, original_length=128), 300),
        ("dynamic_short", RopeConfig(scaling="dynamic", factor=4.0, original_length=128), 100),
        ("llama3", RopeConfig(scaling="llama3", factor=8.0, original_length=8192), 64),
    ],
)
def test_rope_frequencies(name, rope, length):
    expected = fixture("lm_ropes")[name]
    np.testing.assert_allclose(frequencies(rope, 16, length), expected, rtol=1e-6)


def test_a_wrong_checkpoint_is_refused_with_all_its_faults(tmp_path):
    case = dict(fixture("lm_llama2"))
    del case["w/model.norm.weight"]
    case["w/model.layers.2.mlp.up_proj.weight"] = np.zeros((48, 32))
    name = "w/model.layers.1.mlp.down_proj.weight"
    case[name] = case[name].T.copy()
    with pytest.raises(WeightsError) as error:
        lm.load(folder_of(case, tmp_path / "model"))
    for fault in ("model.norm.weight", "model.layers.2.mlp.up_proj", "transposed", "layer"):
        assert fault in str(error.value)


@pytest.mark.torch
@pytest.mark.parametrize("name", CASES)
def test_transformers_loads_the_export(name, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    case = fixture(name)
    model = lm.load(folder_of(case, tmp_path / "in"))
    kind = json.loads(str(case["config"]))["model_type"]
    lm.save(tmp_path / "out", model.config, model.params, model_type=kind)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    ids, mask = (torch.from_numpy(case[f"in/{k}"]) for k in ("ids", "mask"))
    with torch.no_grad():
        logits = theirs(input_ids=ids, attention_mask=mask).logits.numpy()
    real = case["in/mask"]
    np.testing.assert_allclose(logits[real], case["out/logits"][real], rtol=0, atol=TOLERANCE)
