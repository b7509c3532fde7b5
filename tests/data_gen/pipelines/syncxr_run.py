"""Runs the pipeline and kills itself where it is told to: syncxr_run.py FOLDER STAGE."""

import os
import pathlib
import signal
import sys

from data_gen.jobs import job as runners
from data_gen.jobs import summary
from data_gen.phantom.job import SplitCounts
from data_gen.pipelines.syncxr.config import SynCXRConfig
from data_gen.pipelines.syncxr.pipeline import generate

CONFIG = SynCXRConfig(
    splits=SplitCounts(train=9, validation=2, test=3),
    spare=0.5,
    studies_per_shard=4,
    size=64,
    planted=0.3,
    processes=1,
    keep_work=True,
)
STAGES = ("plan", "reports", "images", "syncxr", "finish")


def die_at(stage: str) -> None:
    """In the middle of the plan, of a stage's second shard, or of the folder's end."""
    write, replace, started = runners.write_shard, os.replace, []

    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def first_records(records):
        for n, record in enumerate(records):
            if n == 1:
                kill()
            yield record
        kill()

    def write_shard(folder, name, records, *rest):
        started.append(name.dataset)
        if name.dataset == stage and started.count(stage) == 2:
            records = first_records(records)
        return write(folder, name, records, *rest)

    def replace_or_die(source, target):
        if stage == "plan" and pathlib.Path(target).name == "plan.json":
            kill()
        return replace(source, target)

    runners.write_shard = write_shard
    os.replace = replace_or_die
    if stage == "finish":
        summary.write_preview = kill


if __name__ == "__main__":
    die_at(sys.argv[2])
    generate(CONFIG, sys.argv[1], progress=False)
