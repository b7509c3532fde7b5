"""Trains what a config describes.

.venv/bin/python launch/train.py --config=configs/cxr/quickstart.py --workdir=runs/quickstart
    [--config.optim.lr=1e-3 --config.mesh.fsdp=4 ...]

The same command goes on from the newest checkpoint in the workdir. Exit status: 0 when done, 75
when it was asked to stop (SIGTERM) and saved, 2 after an error that the message says how to mend.
"""

import shlex
import sys
from typing import Any

from absl import flags

from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.presets import apply_cpu_preset
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.preemption import EXIT_CODE


def schema(_: Any) -> type:
    from medvlp_jax.run.config import RunConfig

    return RunConfig


CONFIG = define_config("the run", schema)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "checkpoints, metrics and config go here", required=True
)
RESUME_ANYWAY = flags.DEFINE_bool("resume_anyway", False, "go on although the config changed")


def main(_: list[str]) -> None:
    apply_cpu_preset()
    distributed.initialize()
    workdir = output_folder(WORKDIR.value, "--workdir")
    from medvlp_jax.run.build import Run
    from medvlp_jax.run.train import train

    result = train(Run(CONFIG.value), workdir, resume_anyway=RESUME_ANYWAY.value)
    if result.preempted:
        sys.exit(EXIT_CODE)
    if distributed.is_main():
        given = shlex.quote(WORKDIR.value)
        print(
            f"next: .venv/bin/python launch/evaluate.py --checkpoint={given} "
            f"--out={shlex.quote(str(workdir / 'eval'))}"
        )


if __name__ == "__main__":
    run(main)
