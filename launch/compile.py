"""Compiles the training step of a config for a TPU slice that is not here, and prints what fits.

python launch/compile.py --config=configs/cxr/clip_b16.py --topology=v5e:4x4
    [--config.data.batch_size=4096 --config.mesh.fsdp=16 ...]

Several topologies may be given, separated by commas. Each text bucket is a program of its own;
the longest is compiled. Exit status 3 if one of them does not fit.
"""

import sys

from absl import flags
from ml_collections import config_flags

from medvlp_jax.core import topology
from medvlp_jax.core.errors import run

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment", lock_config=True)
TOPOLOGY = flags.DEFINE_list("topology", ["v5e:4x4"], "slices, such as v5e:4x4,v6e:8x8")
TEXT_LEN = flags.DEFINE_integer("text_len", 0, "tokens per text; 0 = the longest bucket")
HLO = flags.DEFINE_string("hlo", None, "write the optimised program to this file")
flags.mark_flag_as_required("config")


def main(_: list[str]) -> None:
    topology.prepare()
    from medvlp_jax.compilation import compile_step

    fits = []
    for name in TOPOLOGY.value:
        report = compile_step(CONFIG.value, name, text_len=TEXT_LEN.value, hlo_path=HLO.value)
        print(report, flush=True)
        fits.append(report.fits)
    if not all(fits):
        sys.exit(3)


if __name__ == "__main__":
    run(main)
