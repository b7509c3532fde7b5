"""Fine-tunes the vision tower of a checkpoint on labelled data; results.json and report.html.

.venv/bin/python launch/finetune.py --checkpoint=runs/clip --config=configs/cxr/finetune.py:full \
    --out=runs/ft
    --config.downstream.train[0].path=data/rsna --config.validation.path=data/rsna
    --config.test.path=data/rsna [--config.downstream.seeds=3 ...]

After the colon: probe, full, segmentation or detection. The same command goes on where it was
stopped. Exit status: 0 when done, 75 when it was asked to stop (SIGTERM) and saved, 2 after an
error that the message says how to mend.
"""

import sys
from typing import Any

from absl import flags

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.presets import apply_cpu_preset
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.preemption import EXIT_CODE

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "workdir of a run, or one checkpoint", required=True
)
OUT = flags.DEFINE_string("out", None, "folder for results, report and checkpoints", required=True)
STEP = flags.DEFINE_string("step", "latest", "latest, best, or a step number")


def schema(_: Any) -> type:
    from medvlp_jax.run.finetune import FinetuningConfig

    return FinetuningConfig


CONFIG = define_config("the recipe", schema)


def main(argv: list[str]) -> None:
    apply_cpu_preset()
    distributed.initialize()
    out = output_folder(OUT.value)
    from medvlp_jax.eval.downstream.tuning import Interrupted
    from medvlp_jax.run.finetune import finetune

    try:
        done = finetune(
            CHECKPOINT.value,
            CONFIG.value,
            out,
            command="python " + " ".join([argv[0], *sys.argv[1:]]),
            step=pretrained.which(STEP.value),
        )
    except Interrupted:
        sys.exit(EXIT_CODE)
    if distributed.is_main():
        print(done.summary())
        print(f"wrote {done.results_path}; next: open {done.report_path} in a browser")


if __name__ == "__main__":
    run(main)
