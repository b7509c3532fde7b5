"""The whole way on one small example: generate, train, evaluate. Run by launch/quickstart.sh.

Every stage is a command of its own, shown before it runs, and resumes where it was stopped. With a
folder of real chest radiographs (``--real``, or MEDVLP_SAMPLE in the environment; see
configs/data_gen/sample.py) the report shows the model on these too.
"""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from absl import flags

from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_folder

OUT = flags.DEFINE_string("out", "runs/quickstart", "everything is written here")
STUDIES = flags.DEFINE_integer(
    "train_studies", 6000, "synthetic studies to train on", lower_bound=1
)
STEPS = flags.DEFINE_integer("steps", 0, "training steps; 0 = as the config says", lower_bound=0)
HERE = pathlib.Path(__file__).resolve().parent
SAMPLE = HERE.parent.parent / "shared" / "data" / "sample"
REAL = flags.DEFINE_string(
    "real", os.environ.get("MEDVLP_SAMPLE", str(SAMPLE)), "real films to show, if it is there"
)
#: Groups of real films are kept apart: which hospital a film is from would tell much.
GROUPS = {"nih": "nih_chestxray", "paediatric": "kermany_paediatric_cxr"}


def main(_: list[str]) -> None:
    out = output_folder(OUT.value)
    began = time.perf_counter()
    data, train, evaluation = out / "data", out / "train", out / "eval"
    real = pathlib.Path(REAL.value)
    films = [out / name for name in GROUPS] if (real / "manifest.csv").exists() else []
    total = 4 if films else 3
    stage(
        f"1/{total} synthetic radiographs and reports",
        "generate.py",
        "--config=configs/data_gen/quickstart.py",
        f"--out={data}",
        f"--config.splits.train={STUDIES.value}",
    )
    steps = [f"--config.loop.steps={STEPS.value}"] if STEPS.value else []
    if 0 < STEPS.value <= 20:  # the config's warm-up has 20
        steps.append(f"--config.optim.warmup_steps={STEPS.value // 2}")
    stage(
        f"2/{total} contrastive pre-training",
        "train.py",
        f"--config=configs/cxr/quickstart.py:{data}",
        f"--workdir={train}",
        *steps,
    )
    for folder in films:
        stage(
            f"3/{total} real films that were never trained on: {folder.name}",
            "generate.py",
            f"--config=configs/data_gen/sample.py:{real}",
            f"--out={folder}",
            f"--config.where.group=('{GROUPS[folder.name]}',)",
            "--config.split_fractions.train=0.0",
            "--config.split_fractions.validation=0.0",
            "--config.split_fractions.test=1.0",
        )
    stage(
        f"{total}/{total} zero-shot, retrieval, grounding, baselines; probe, fine-tuning, "
        "segmentation and detection against the same network untrained",
        "evaluate.py",
        f"--checkpoint={train}",
        f"--out={evaluation}",
        *(f"--films={folder}:test" for folder in films),
    )
    minutes = (time.perf_counter() - began) / 60
    print(f"\ndone in {minutes:.1f} minutes; open {evaluation / 'report.html'} in a browser")


def stage(title: str, script: str, *arguments: str) -> None:
    """Runs one launch script and ends the quickstart where it fails."""
    # Written relative to the repository, as a user would type it.
    print(f"\n== {title}\n$ .venv/bin/python launch/{script} {shlex.join(arguments)}", flush=True)
    child = subprocess.Popen([sys.executable, str(HERE / script), *arguments])

    def hand_on(number: int, _: object) -> None:
        child.send_signal(number)  # it saves what it has, or just ends; then so do we

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        status = child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if status:
        raise UserError(
            f"launch/{script} ended with status {status}; its message is above. Finished stages "
            "are kept: the same command goes on from there, once the cause is gone"
        )


if __name__ == "__main__":
    run(main)
