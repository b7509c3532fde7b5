"""Trains what a config describes.

python launch/train.py --config=configs/cxr/quickstart.py --workdir=runs/quickstart
    [--config.optim.lr=1e-3 --config.mesh.fsdp=4 ...]

The same command goes on from the newest checkpoint in the workdir. Exit status: 0 when done, 75
when it was asked to stop (SIGTERM) and saved, 2 after an error that the message says how to mend.
"""

import sys

from absl import flags
from ml_collections import config_flags

from medvlp_jax.core import distributed
from medvlp_jax.core.errors import run
from medvlp_jax.core.preemption import EXIT_CODE
from medvlp_jax.core.presets import apply_cpu_preset

CONFIG = config_flags.DEFINE_config_file("config", help_string="the experiment", lock_config=True)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "checkpoints, metrics and config go here", required=True
)
RESUME_ANYWAY = flags.DEFINE_bool("resume_anyway", False, "go on although the config changed")
flags.mark_flag_as_required("config")


def main(_: list[str]) -> None:
    apply_cpu_preset()
    distributed.initialize()
    from medvlp_jax.experiment import Experiment

    result = Experiment(CONFIG.value).train(WORKDIR.value, resume_anyway=RESUME_ANYWAY.value)
    if result.preempted:
        sys.exit(EXIT_CODE)


if __name__ == "__main__":
    run(main)
