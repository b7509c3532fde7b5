"""The whole way on one small example: generate, train, evaluate. Run by launch/quickstart.sh.

Every stage is a command of its own, shown before it runs, and resumes where it was stopped.
"""

import pathlib
import subprocess
import sys
import time

from absl import flags

from medvlp_jax.core.errors import UserError, run

OUT = flags.DEFINE_string("out", "runs/quickstart", "everything is written here")
STUDIES = flags.DEFINE_integer("train_studies", 6000, "synthetic studies to train on")
STEPS = flags.DEFINE_integer("steps", 0, "training steps; 0 = as the config says")
HERE = pathlib.Path(__file__).resolve().parent


def main(_: list[str]) -> None:
    out = pathlib.Path(OUT.value)
    began = time.perf_counter()
    data, train, evaluation = out / "data", out / "train", out / "eval"
    stage(
        "1/3 synthetic radiographs and reports",
        "generate.py",
        "--config=configs/data_gen/quickstart.py",
        f"--out={data}",
        f"--config.splits.train={STUDIES.value}",
    )
    steps = [f"--config.loop.steps={STEPS.value}"] if STEPS.value else []
    stage(
        "2/3 contrastive pre-training",
        "train.py",
        f"--config=configs/cxr/quickstart.py:{data}",
        f"--workdir={train}",
        *steps,
    )
    stage(
        "3/3 zero-shot, retrieval, grounding, baselines",
        "evaluate.py",
        f"--checkpoint={train}",
        f"--out={evaluation}",
    )
    minutes = (time.perf_counter() - began) / 60
    print(f"\ndone in {minutes:.1f} minutes; open {evaluation / 'report.html'} in a browser")


def stage(title: str, script: str, *arguments: str) -> None:
    """Runs one launch script and ends the quickstart where it fails."""
    # Written relative to the repository, as a user would type it.
    print(f"\n== {title}\n$ python launch/{script} {' '.join(arguments)}", flush=True)
    status = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], check=False
    ).returncode
    if status:
        raise UserError(
            f"launch/{script} ended with status {status}; its message is above. The same command "
            "goes on from here"
        )


if __name__ == "__main__":
    run(main)
