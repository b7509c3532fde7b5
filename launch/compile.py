"""Compiles a program for a TPU slice that is not here, and prints what fits.

.venv/bin/python launch/compile.py --config=configs/cxr/clip_b16.py --topology=v5e:4x4
    [--config.data.batch_size=4096 --config.mesh.fsdp=16 ...]        a training step
.venv/bin/python launch/compile.py --config=configs/lm/decode.py:llama3.1_70b --topology=v6e:2x4
    [--config.storage=int8 --config.generation.rows=64 ...]          text generation
.venv/bin/python launch/compile.py --config=configs/diffusion/sample.py:sd2.1 --topology=v5e:4x4
    [--config.batch_size=64 --config.size=512 ...]                   image sampling

Several topologies may be given, separated by commas. Each text bucket is a program of its own;
the longest is compiled. Exit status 3 if one of them does not fit.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from medvlp_jax.aot import topology
from medvlp_jax.core.config import ConfigError, unknown_word
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_file


def schema(config: Mapping[str, Any]) -> type | None:
    program = config.get("program", "train")
    if program == "decode":
        from medvlp_jax.aot.text_decoding import DecodeConfig

        return DecodeConfig
    if program == "images":
        from medvlp_jax.aot.image_sampling import SamplingProgram

        return SamplingProgram
    from medvlp_jax.run.config import RunConfig

    return RunConfig


CONFIG = define_config("what to compile", schema)
TOPOLOGY = flags.DEFINE_list("topology", ["v5e:4x4"], "slices, such as v5e:4x4,v6e:8x8")
TEXT_LEN = flags.DEFINE_integer(
    "text_len", 0, "tokens per text; 0 = the longest bucket", lower_bound=0
)
HLO = flags.DEFINE_string("hlo", None, "write the optimised program to this file")


def _config() -> dict[str, Any]:
    return {key: value for key, value in CONFIG.value.items() if key != "program"}


def training_step(name: str) -> Any:
    from medvlp_jax.aot.train_step import compile_step

    return compile_step(_config(), name, text_len=TEXT_LEN.value, hlo_path=HLO.value)


def decoding(name: str) -> Any:
    from medvlp_jax.aot.text_decoding import compile_config

    return compile_config(_config(), name, hlo_path=HLO.value)


def image_sampling(name: str) -> Any:
    from medvlp_jax.aot.image_sampling import compile_config

    return compile_config(_config(), name, hlo_path=HLO.value)


#: ``config.program`` -> what compiles it for a topology; a config without one is an experiment.
PROGRAMS: dict[str, Callable[[str], Any]] = {
    "train": training_step,
    "decode": decoding,
    "images": image_sampling,
}


def main(_: list[str]) -> None:
    program = CONFIG.value.get("program", "train")
    if not isinstance(program, str) or program not in PROGRAMS:
        raise ConfigError(unknown_word("config.program", program, PROGRAMS, "program"))
    if HLO.value:
        output_file(HLO.value, "--hlo")
    fits = []
    for name in TOPOLOGY.value:
        report = PROGRAMS[program](name)
        print(report, flush=True)
        fits.append(report.fits)
    if not all(fits):
        sys.exit(3)


if __name__ == "__main__":
    topology.prepare()  # the schema of the config imports JAX
    run(main)
