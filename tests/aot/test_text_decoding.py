"""Ahead-of-time compilation of generation, for a slice that is not here."""

import dataclasses

import pytest

from medvlp_jax.aot import topology
from medvlp_jax.aot.text_decoding import compile_config, compile_decode
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.generation.text.decoding import GenerationConfig
from medvlp_jax.models.lm.config import LMConfig

LM = LMConfig(vocab=512, width=256, depth=3, heads=8, kv_heads=4, head_dim=64, mlp_width=512)
GENERATION = GenerationConfig(rows=8, capacity=256, max_new_tokens=32)


@pytest.mark.aot
@pytest.mark.parametrize("storage", ["float", "int8"])
def test_decoding_compiles_for_a_slice(storage):
    pytest.importorskip("libtpu")
    topology.prepare()
    report = compile_decode(
        dataclasses.replace(LM, storage=storage),
        "v5e:2x2",
        generation=GENERATION,
        mesh=MeshConfig(data=1, fsdp=1, tensor=4),
        prompt_len=64,
    )
    assert report.fits, report
    # Kernels are split four ways; what is not (norms, the embedding's rows) is small.
    kernels = 3 * (256 * (512 + 2 * 256) + 512 * 256 + 3 * 256 * 512) + 256 * 512
    width = {"float": 2, "int8": 1}[storage]
    assert report.held["weights"] == pytest.approx(
        width * kernels / 4 + 2 * 512 * 256 / 4, rel=0.05
    )
    assert report.held["cache"] == 2 * 3 * 8 * 256 * 4 * 64 * 2 // 4
    # Two sums of the activations per layer, over whole rows of bfloat16, and those of the head.
    assert report.compiled.collectives["all-reduce"] >= 3 * 2 * 8 * 256 * 2
    assert "FITS" in str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "llama9"}, "model='llama9' must be one of"),
        ({"prompt_len": 256}, "prompt_len=256 must be below"),
        ({"rows": 3}, "rows is not a known key"),
    ],
)
def test_bad_configs(change, message):
    config = {"model": "llama2_7b", "generation": {"capacity": 256, "max_new_tokens": 64}}
    with pytest.raises(ConfigError, match=message):
        compile_config({**config, **change}, "v5e:2x2")
