"""Compiles a program for a TPU slice that is not here, and prints what fits.

python launch/compile.py --config=configs/cxr/clip_b16.py --topology=v5e:4x4
    [--config.data.batch_size=4096 --config.mesh.fsdp=16 ...]        a training step
python launch/compile.py --config=configs/lm/decode.py:llama3.1_70b --topology=v6e:2x4
    [--config.storage=int8 --config.generation.rows=64 ...]          text generation
python launch/compile.py --config=configs/diffusion/sample.py:sd2.1 --topology=v5e:4x4
    [--config.batch_size=64 --config.size=512 ...]                   image sampling

Several topologies may be given, separated by commas. Each text bucket is a program of its own;
the longest is compiled. Exit status 3 if one of them does not fit.
"""

import sys
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import config_flags

from medvlp_jax.core import topology
from medvlp_jax.core.config import ConfigError, to_plain
from medvlp_jax.core.errors import run

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment", lock_config=True)
TOPOLOGY = flags.DEFINE_list("topology", ["v5e:4x4"], "slices, such as v5e:4x4,v6e:8x8")
TEXT_LEN = flags.DEFINE_integer("text_len", 0, "tokens per text; 0 = the longest bucket")
HLO = flags.DEFINE_string("hlo", None, "write the optimised program to this file")
flags.mark_flag_as_required("config")


def training_step(name: str) -> Any:
    from medvlp_jax.compilation import compile_step

    return compile_step(CONFIG.value, name, text_len=TEXT_LEN.value, hlo_path=HLO.value)


def decoding(name: str) -> Any:
    from medvlp_jax.compilation_lm import compile_config

    config = to_plain(CONFIG.value)
    del config["program"]
    return compile_config(config, name, hlo_path=HLO.value)


def image_sampling(name: str) -> Any:
    from medvlp_jax.compilation_images import compile_config

    config = to_plain(CONFIG.value)
    del config["program"]
    return compile_config(config, name, hlo_path=HLO.value)


#: ``config.program`` -> what compiles it for a topology; a config without one is an experiment.
PROGRAMS: dict[str, Callable[[str], Any]] = {
    "train": training_step,
    "decode": decoding,
    "images": image_sampling,
}


def main(_: list[str]) -> None:
    topology.prepare()
    program = CONFIG.value.get("program", "train")
    if program not in PROGRAMS:
        raise ConfigError(f"config.program={program!r} must be one of {sorted(PROGRAMS)}")
    fits = []
    for name in TOPOLOGY.value:
        report = PROGRAMS[program](name)
        print(report, flush=True)
        fits.append(report.fits)
    if not all(fits):
        sys.exit(3)


if __name__ == "__main__":
    run(main)
