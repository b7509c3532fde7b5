"""The rate of one service, over tasks and processes, and after some were killed."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.services.slots import Slots, shared_folder

_WORKER = """
import asyncio, pathlib, sys, time
from data_gen.pipelines.pubmed.collect.services.slots import Slots

async def main(folder, rate, count, hold):
    slots = Slots(pathlib.Path(folder), float(rate))
    async def one():
        async with slots.request():
            print(time.monotonic(), flush=True)
            await asyncio.sleep(float(hold))
    await asyncio.gather(*(one() for _ in range(int(count))))

asyncio.run(main(*sys.argv[1:]))
"""


def start(repo_root, folder, rate, count, hold=0.01):
    command = [sys.executable, "-c", _WORKER, *map(str, (folder, rate, count, hold))]
    return subprocess.Popen(command, cwd=repo_root, stdout=subprocess.PIPE, text=True)


def most_in_a_second(times):
    times = sorted(times)
    return max(sum(start <= t < start + 1 for t in times) for start in times)


def test_three_processes_share_one_rate(repo_root, tmp_path):
    folder = shared_folder("http://here/", "search", str(tmp_path))
    workers = [start(repo_root, folder, 5, 5) for _ in range(3)]
    times = [float(line) for worker in workers for line in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(times) == 15
    assert most_in_a_second(times) <= 5
    assert max(times) - min(times) >= 2.0, "15 requests at 5 a second"


def test_tokens_of_a_killed_process_come_back(repo_root, tmp_path):
    folder = shared_folder("http://here/", "search", str(tmp_path))
    worker = start(repo_root, folder, 2, 2, hold=600)
    assert worker.stdout.readline()
    assert worker.stdout.readline()  # both tokens are out
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    killed = time.monotonic()

    async def take():
        slots = Slots(folder, 2)
        async with slots.request():
            taken = time.monotonic()
        slots.close()
        return taken

    waited = asyncio.run(take()) - killed
    assert 0.8 <= waited < 10, "its last request may have been sent as it died"


def test_a_token_counts_as_back_a_second_after_the_answer(tmp_path):
    async def run():
        slots = Slots(tmp_path, 1)
        async with slots.request():
            await asyncio.sleep(0.3)
        answered = time.monotonic()
        async with slots.request():
            return time.monotonic() - answered

    assert asyncio.run(run()) >= 0.999


def test_rates_below_one_are_longer_windows(tmp_path):
    async def run():
        slots = Slots(tmp_path, 0.8)
        async with slots.request():
            pass
        answered = time.monotonic()
        async with slots.request():
            return time.monotonic() - answered

    assert asyncio.run(run()) >= 1.249


def test_a_service_that_asks_for_a_pause_is_left_alone_by_all(tmp_path):
    async def run():
        one, other = Slots(tmp_path, 10), Slots(tmp_path, 10)
        one.hold(0.5)
        began = time.monotonic()
        async with other.request():
            return time.monotonic() - began

    assert asyncio.run(run()) >= 0.49


def test_a_failed_request_gives_its_token_back(tmp_path):
    async def run():
        slots = Slots(tmp_path, 1)
        with pytest.raises(KeyError):
            async with slots.request():
                raise KeyError
        async with asyncio.timeout(10), slots.request():
            return True

    assert asyncio.run(run())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CollectError, match=r"set config\.pace\.folder"):
        shared_folder("http://here/", "search", str(tmp_path / "file" / "below"))
