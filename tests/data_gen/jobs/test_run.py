"""Data jobs: the same bytes however they are run, whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy_job
from PIL import Image as Picture
from toy_job import ToyJob, toy_record

from data_gen.jobs import summary
from data_gen.jobs.job import JobError, cut
from data_gen.jobs.preview import colour_of, tile, write_preview
from data_gen.jobs.run import run_job
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.processes.lock import LockError, workdir_lock
from medvlp_jax.data.store.dataset import open_dataset, verify
from medvlp_jax.data.store.manifest import ShardError, read_manifest

ROOT = Path(__file__).parents[3]
SHARDS = 7


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("toy-*"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted job in one process."""
    folder = tmp_path_factory.mktemp("whole")
    result = run_job(ToyJob(), folder, processes=1, progress=False)
    assert (result.made, result.found) == (SHARDS, 0)
    return folder


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if ".tmp-" in p.name]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_do_not_change_a_byte(whole, tmp_path, processes):
    run_job(ToyJob(), tmp_path, processes=processes, progress=False)
    assert shard_bytes(tmp_path) == shard_bytes(whole)
    assert summary.read(tmp_path) == summary.read(whole)
    assert leftovers(tmp_path) == []


def test_shard_size_does_not_change_a_record(whole, tmp_path):
    run_job(ToyJob(per_shard=9), tmp_path, processes=1, progress=False)
    for split in ("train", "test"):
        one, other = open_dataset(whole, split), open_dataset(tmp_path, split)
        assert len(one) == len(other)
        assert all(one[i] == other[i] for i in range(len(one)))


def test_a_finished_job_is_left_alone(whole):
    before = {p.name: p.stat().st_mtime_ns for p in whole.glob("*[0-9n]")}
    result = run_job(ToyJob(), whole, processes=2, progress=False)
    assert (result.made, result.found) == (0, SHARDS)
    assert before == {p.name: p.stat().st_mtime_ns for p in whole.glob("*[0-9n]")}
    assert result.summary["splits"]["train"]["records"] == 23


@pytest.mark.parametrize("damage", ["zeros", "bit", "of another"])
def test_a_shard_of_the_right_size_and_wrong_bytes_is_made_again(whole, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    path, other = (folder / f"toy-train.array_record-0000{i}-of-00005" for i in (2, 1))
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[max(i for i, byte in enumerate(data) if byte)] ^= 16
    else:
        data = bytes(len(data)) if damage == "zeros" else other.read_bytes()[: len(data)]
    path.write_bytes(data)
    result = run_job(ToyJob(), folder, processes=1, progress=False)
    assert (result.made, result.found) == (1, SHARDS - 1)
    assert shard_bytes(folder) == shard_bytes(whole)
    assert verify(folder) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"splits": {}}'])
def test_a_damaged_summary_is_written_anew(whole, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / summary.SUMMARY).write_bytes(damage)
    with pytest.raises(UserError, match=r"summary\.json") as refused:
        summary.read(folder)
    assert "\n" not in str(refused.value)
    result = run_job(ToyJob(), folder, processes=1, progress=False)
    assert result.made == 0
    assert result.summary == summary.read(folder) == summary.read(whole)


def start(folder: Path, processes: int, slow: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, toy_job.__file__, folder, str(processes), str(slow)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_shards(folder: Path, count: int, child: subprocess.Popen) -> None:
    for _ in range(600):
        if len(read_manifest(folder)) >= count:
            return
        assert child.poll() is None, child.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("the job made no shard in half a minute")


def session_members(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry.parent.name))
    return members


def wait_for_workers(session: int) -> None:
    for _ in range(200):
        if not session_members(session):
            return
        time.sleep(0.05)
    raise AssertionError(f"processes outlive their parent: {session_members(session)}")


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_run_again_gives_the_same_bytes(whole, tmp_path, processes):
    child = start(tmp_path, processes, slow=0.08)
    wait_for_shards(tmp_path, 2, child)
    os.kill(child.pid, signal.SIGKILL)  # the parent alone: its workers must notice by themselves
    child.wait()
    wait_for_workers(child.pid)
    survived = shard_bytes(tmp_path)
    assert 2 <= len(survived) < SHARDS
    result = run_job(ToyJob(), tmp_path, processes=processes, progress=False)
    assert result.found >= 2
    assert result.made + result.found == SHARDS
    assert shard_bytes(tmp_path) == shard_bytes(whole)
    assert shard_bytes(tmp_path).items() >= survived.items()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_keeps_finished_shards(whole, tmp_path, processes):
    child = start(tmp_path, processes, slow=0.08)
    wait_for_shards(tmp_path, 2, child)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers too
    output = child.communicate(timeout=30)[0]
    assert child.returncode == 130
    assert "shards are finished" in output
    assert "Traceback" not in output
    assert leftovers(tmp_path) == []
    wait_for_workers(child.pid)
    result = run_job(ToyJob(), tmp_path, processes=1, progress=False)
    assert result.found >= 2
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_a_worker_that_dies_once_costs_nothing(whole, tmp_path, capfd):
    job = ToyJob(trouble="die once", once=str(tmp_path / "died"))
    run_job(job, tmp_path / "out", processes=2, progress=False)
    assert (tmp_path / "died").exists()
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "SIGKILL" in said
    assert job.at in said
    assert shard_bytes(tmp_path / "out") == shard_bytes(whole)


def test_a_worker_that_dies_twice_ends_the_job_by_name(whole, tmp_path):
    job = ToyJob(trouble="die")
    with pytest.raises(JobError, match=rf"2 workers died while making {job.at}.*SIGKILL"):
        run_job(job, tmp_path, processes=2, progress=False)
    assert leftovers(tmp_path) == []
    assert read_manifest(tmp_path)
    run_job(ToyJob(), tmp_path, processes=2, progress=False)
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_a_defect_keeps_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="a defect of the toy") as caught:
        run_job(ToyJob(trouble="raise"), tmp_path, processes=2, progress=False)
    assert "toy_job.py" in str(caught.value)
    assert not isinstance(caught.value, JobError)


def test_full_disk_is_one_line_and_loses_nothing(whole, tmp_path):
    # Two processes: the limit on file size must not stay with the tests.
    with pytest.raises(JobError, match=r"cannot write .*00002.*free space") as caught:
        run_job(ToyJob(trouble="full", slow=0.02), tmp_path, processes=2, progress=False)
    assert "\n" not in str(caught.value)
    run_job(ToyJob(), tmp_path, processes=2, progress=False)
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_second_process_on_the_folder(tmp_path):
    with workdir_lock(tmp_path, "a test"), pytest.raises(LockError, match="a test"):
        run_job(ToyJob(), tmp_path, processes=1, progress=False)


def test_other_settings_do_not_mix(whole):
    before = shard_bytes(whole)
    with pytest.raises(ShardError, match="other settings"):
        run_job(ToyJob(seed=1), whole, processes=1, progress=False)
    assert shard_bytes(whole) == before


def test_bad_arguments_are_one_line(tmp_path):
    with pytest.raises(JobError, match="processes=-1"):
        run_job(ToyJob(), tmp_path, processes=-1)
    with pytest.raises(JobError, match="no record"):
        run_job(ToyJob(train=0, test=0), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="cannot be the output folder"):
        run_job(ToyJob(), tmp_path / "file")


def test_a_pipe_sees_no_bar(tmp_path, capfd):
    run_job(ToyJob(), tmp_path, processes=1)
    assert capfd.readouterr().err == ""


def test_cut_covers_every_record_once():
    shards = cut("toy", "train", 23, 5)
    covered = [i for s in shards for i in range(s.start, s.stop)]
    assert covered == list(range(23))
    assert [s.count for s in shards] == [5, 5, 5, 5, 3]
    assert {s.name.count for s in shards} == {5}
    assert cut("toy", "test", 0, 5) == []


def test_summary_counts(whole):
    train = summary.read(whole)["splits"]["train"]
    assert train["records"] == 23
    assert train["labels"]["mass"] == {"positive": 11, "negative": 12, "uncertain": 0}
    assert train["labels"]["edema"]["uncertain"] == 23
    assert train["views"] == {"AP": 11, "PA": 12}
    assert train["boxes"] == {"mass": 23}
    assert train["masks"] == {"heart": 23}
    assert train["words"]["findings"] == {
        "texts": 23,
        "mean": 12.0,
        "max": 23,
        "p5": 2,
        "median": 12,
        "p95": 22,
    }
    assert train["examples"][1]["positive"] == ["mass"]
    assert train["examples"][1]["texts"]["impression"] == "A mass."
    text = summary.table(summary.read(whole))
    assert [line.split() for line in text.splitlines()] == [
        ["train", "test"],
        ["records", "23", "7"],
        ["edema", "0", "0"],
        ["mass", "11", "3"],
    ]


def test_tallies_merge_through_json():
    whole, left, right = summary.Tally(), summary.Tally(), summary.Tally()
    for i in range(8):
        whole.add(toy_record(0, i, "train"))
        (left if i < 3 else right).add(toy_record(0, i, "train"))
    merged = summary.Tally()
    for part in (left, right):
        merged.merge(json.loads(json.dumps(part.as_json())))
    assert merged.as_json() == whole.as_json()
    assert merged.lengths() == whole.lengths()


def test_preview_draws_the_boxes(whole, tmp_path):
    with Picture.open(whole / summary.PREVIEW) as picture:
        assert picture.size[0] > 6 * 256
        assert picture.size[1] > 4 * 256
    record = toy_record(0, 3, "train")
    pixels = tile(record)
    edge = pixels[round(0.2 * 256) : round(0.75 * 256), int(0.1 * 256) : int(0.1 * 256) + 2]
    assert np.all(edge == colour_of("mass"), axis=2).mean(axis=0).max() > 0.9
    write_preview(open_dataset(whole, "test"), tmp_path / "few.png", count=2)
    with Picture.open(tmp_path / "few.png") as picture:
        assert picture.size[0] < 3 * 256
