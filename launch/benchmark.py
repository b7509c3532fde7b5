"""Measures this package against PyTorch, open_clip and webdataset, and prints ratios.

EXTRAS=torch bash launch/setup.sh
.venv/bin/python launch/benchmark.py [--quick] [--only=train_step_vit,pipeline] [--json=FILE]

Every pair is timed in turn in one run, each side in a process of its own under the same
environment. Let the machine be idle: it takes about fifteen minutes on two cores, three with
--quick.
"""

import pathlib
import sys

from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import report
from benchmarks.settings import Settings
from benchmarks.subjects import SUBJECTS, chosen
from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_file
from medvlp_jax.core.processes.cores import cores

ONLY = flags.DEFINE_list("only", [], f"benchmarks to run: {', '.join(SUBJECTS)}; all by default")
QUICK = flags.DEFINE_bool("quick", False, "smaller batches and fewer rounds")
THREADS = flags.DEFINE_integer("threads", 0, "threads of each side; 0 = all cores at hand")
JSON = flags.DEFINE_string("json", "runs/benchmark.json", "every number goes into this file")


def main(_: list[str]) -> None:
    subjects = chosen(ONLY.value)
    if not 0 <= THREADS.value <= cores():
        raise UserError(f"--threads={THREADS.value}: there are {cores()} cores")
    output_file(JSON.value, "--json")
    settings = Settings(threads=THREADS.value or cores(), quick=QUICK.value)
    machine = report.machine(settings.threads)
    print(report.headline(machine), flush=True)
    rows: list[report.Row] = []
    for name, subject in subjects.items():
        rows += subject.run(settings, lambda line, name=name: _tell(f"{name}: {line}"))
        report.save(JSON.value, rows, machine)
    print(f"\n{report.table(rows)}\n\n{JSON.value} has every number")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
