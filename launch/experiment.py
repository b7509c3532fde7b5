"""Trains the same recipes on different data, several seeds each, and compares them in pairs.

.venv/bin/python launch/experiment.py --config=configs/cxr/synthetic_vs_real.py --out=runs/suffices
    [--config.data.real=data/mimic --config.data.cleaned=data/mimic_clean ...]

Every trial is a process of its own. The same command goes on where it was stopped and writes
report.html, table.csv, table.md and results.json from what is finished. On a cluster:

.venv/bin/python launch/experiment.py ... --list                    names of the trials
.venv/bin/python launch/experiment.py ... --only=NAME_OR_NUMBER     one trial, for a job array
sbatch --array=0-23 launch/experiment.sbatch ...          all of them, side by side
.venv/bin/python launch/experiment.py ... --table                   the table, training nothing

Exit status: 0 when done, 75 when a trial was asked to stop and saved, 2 after an error.
"""

import pathlib
import subprocess
import sys
from typing import Any

from absl import flags

from medvlp_jax.core.checkpoints import provenance
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.presets import apply_cpu_preset
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.preemption import EXIT_CODE


def schema(_: Any) -> type:
    from medvlp_jax.run.grid.grid import GridConfig

    return GridConfig


CONFIG = define_config("the grid", schema)
OUT = flags.DEFINE_string("out", None, "runs and tables go here", required=True)
ONLY = flags.DEFINE_string("only", "", "name or number of the one trial to run")
LIST = flags.DEFINE_bool("list", False, "print the trials and what is finished")
TABLE = flags.DEFINE_bool("table", False, "write the table of what is finished")


def main(_: list[str]) -> None:
    apply_cpu_preset()
    if ONLY.value:
        distributed.initialize()
    from medvlp_jax.run.grid import run as trial_run
    from medvlp_jax.run.grid.grid import find, parse_grid, trials

    grid, out = parse_grid(CONFIG.value), output_folder(OUT.value)
    every = trials(grid)
    if LIST.value:
        for i, trial in enumerate(every):
            print(f"{i:4} {trial.name:<48} {'done' if trial_run.is_done(out, trial) else ''}")
        return
    if ONLY.value:
        name = ONLY.value
        trial = find(grid, name)
        try:
            trial_run.run_trial(grid, trial, out)
        except trial_run.Preempted as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(EXIT_CODE)
        return
    if not TABLE.value:
        for i, trial in enumerate(every):
            if trial_run.is_done(out, trial):
                continue
            print(f"\n== trial {i + 1} of {len(every)}: {trial.name}", flush=True)
            command = [sys.executable, *sys.argv, f"--only={trial.name}"]
            status = subprocess.run(command, check=False).returncode
            if status == EXIT_CODE:
                sys.exit(EXIT_CODE)
            if status:
                raise UserError(
                    f"{trial.name} ended with status {status}; its message is above. The same "
                    "command goes on from here"
                )
    table(grid, out)


def table(grid: object, out: pathlib.Path) -> None:
    """Writes the table of the finished trials and prints it."""
    from medvlp_jax.run.grid import run as trial_run
    from medvlp_jax.run.grid.grid import GridConfig, trials
    from medvlp_jax.run.grid.page import write_page
    from medvlp_jax.run.grid.summary import summarise

    assert isinstance(grid, GridConfig)
    every = trials(grid)
    done = {t: trial_run.run_trial(grid, t, out) for t in every if trial_run.is_done(out, t)}
    if not done:
        raise UserError(f"no trial in {out} is finished; run without --table")
    page = write_page(
        out,
        summarise(grid, done),
        name=grid.name,
        command=provenance.command(),
        total=len(every),
        data=grid.data,
    )
    print((out / "table.md").read_text())
    print(f"{len(done)} of {len(every)} trials; next: open {page} in a browser")


if __name__ == "__main__":
    run(main)
