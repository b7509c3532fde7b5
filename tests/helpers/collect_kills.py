"""Kills a collecting process at random moments and starts it again, until it has ended.

``python collect_kills.py FOLDER ARTICLES KILLS SEED``: exit status 0 if what lies in the folder in
the end is, byte for byte, what a run leaves that nobody touched. The mock of the services runs in a
process of its own and fails in every way meanwhile. Children are forks of one process that has
imported everything and started nothing.
"""

import os
import pathlib
import random
import signal
import sys
import time
import traceback

from article_shelf import config_for, serving, shelf, tree

from data_gen.pipelines.pubmed.collect import run
from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from data_gen.pipelines.pubmed.mock.faults import FaultPlan


def forked(work) -> int:
    """Runs ``work`` in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


class Served:
    """What a child knows of the mock: where it is."""

    def __init__(self, port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        self.endpoints = Endpoints(
            search=f"{base}/entrez/eutils/esearch.fcgi", bucket=f"{base}/pmc-oa-opendata/"
        )


def main(folder: pathlib.Path, articles: int, kills: int, seed: int) -> int:
    read, write = os.pipe()

    def serve() -> None:
        with serving(shelf(articles), FaultPlan(0.1, stall=5.0, retry_after=0.05)) as mock:
            os.write(write, f"{mock.endpoints.bucket.split(':')[2].split('/')[0]}\n".encode())
            time.sleep(3600)

    server = forked(serve)
    try:
        mock = Served(int(os.read(read, 16)))
        # Slow enough that there is something to kill.
        config = config_for(mock, folder, timeout=1.0, files=60, articles_per_shard=10)
        dice = random.Random(seed)

        def collect(out):
            return forked(lambda: run.collect(config, out, progress=False))

        began = time.monotonic()
        if os.waitstatus_to_exitcode(os.waitpid(collect(folder / "whole"), 0)[1]):
            return 1
        took, hits = time.monotonic() - began, 0
        for _ in range(kills):
            child = collect(folder / "killed")
            time.sleep(dice.uniform(0.1, max(0.3, took * 1.5 / kills)))
            os.kill(child, signal.SIGKILL)
            hits += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        if os.waitstatus_to_exitcode(os.waitpid(collect(folder / "killed"), 0)[1]):
            return 1
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    whole, killed = tree(folder / "whole"), tree(folder / "killed")
    print(f"{hits} of {kills} kills hit; {len(whole)} files, {took:.1f} s untouched")
    different = [k for k in whole.keys() | killed.keys() if whole.get(k) != killed.get(k)]
    print(*different[:20], sep="\n")
    return int(bool(different) or not hits)


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    sys.exit(main(pathlib.Path(place), *map(int, numbers)))
