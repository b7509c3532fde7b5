"""Sampling folders as data jobs: the same lines from one process, several, or Ray."""

import json

import pytest
from toy_sampler import ToySampler

from data_gen.jobs.job import JobError, make_shard
from data_gen.jobs.on_ray import OnRay
from data_gen.jobs.sampling import SampleJob, check_settings, sample
from data_gen.reports.base import ReportWriterConfig
from data_gen.reports.sampling import SampleTextsConfig, sample_texts
from medvlp_jax.core.errors import UserError

FILES = ("toys.jsonl", "failed.jsonl", "settings.json", "done")


def files(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def hidden(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".") and p.name != ".lock"]


def asked(folder):
    """How often each input was asked."""
    return {p.stem: len(p.read_text()) for p in folder.glob("*.asked")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = sample(ToySampler(), folder, progress=False)
    assert (done.made, done.found, done.failed) == (21, 0, 2)
    return folder


def test_lines_are_in_the_order_of_the_inputs(whole):
    lines = [json.loads(x) for x in (whole / "toys.jsonl").read_text().splitlines()]
    assert [x["number"] for x in lines] == [i for i in range(23) if i % 10 != 9]
    assert [json.loads(x)["id"] for x in (whole / "failed.jsonl").read_text().splitlines()] == [
        "t9",
        "t19",
    ]
    assert hidden(whole) == []


def test_several_processes_make_the_same_files(whole, tmp_path):
    done = sample(ToySampler(), tmp_path, processes=2, progress=False)
    assert (done.made, done.found, done.failed) == (21, 0, 2)
    assert files(tmp_path) == files(whole)
    assert hidden(tmp_path) == []
    again = sample(ToySampler(), tmp_path, processes=2, progress=False)
    assert (again.made, again.found, again.failed) == (0, 21, 2)
    assert asked(tmp_path)["t9"] == 2  # what failed is tried again, and nothing else is
    assert set(asked(tmp_path).values()) == {1, 2}
    assert sum(asked(tmp_path).values()) == 25


def test_a_killed_worker_costs_no_line(whole, tmp_path, capfd):
    sampler = ToySampler(die_at=7, once=str(tmp_path / "died"))
    sample(sampler, tmp_path / "out", processes=2, progress=False)
    assert "while making toys 6 to 10; it is made again" in capfd.readouterr().err
    assert files(tmp_path / "out") == files(whole)
    assert set(asked(tmp_path / "out").values()) == {1}


@pytest.mark.parametrize("processes", [1, 2])
def test_lines_of_a_run_that_was_killed_are_taken_over(whole, tmp_path, processes):
    job = SampleJob(ToySampler(), 23)
    first, second = job.shards()[:2]
    check_settings(tmp_path, ToySampler(), ToySampler().load())
    for shard in (second, first):
        make_shard(job, shard, tmp_path)
    with (tmp_path / ".toys.jsonl.part-00001").open("a") as stream:
        stream.write('{"id": "t1')  # cut short
    assert hidden(tmp_path) != []
    done = sample(ToySampler(), tmp_path, processes=processes, progress=False)
    assert (done.made, done.found) == (12, 9)
    assert files(tmp_path) == files(whole)
    assert hidden(tmp_path) == []
    # The part of the failed one goes with its run: it is asked again.
    assert {name for name, times in asked(tmp_path).items() if times > 1} == {"t9"}


def test_a_line_is_not_taken_over_twice(whole, tmp_path):
    """A kill between the lines and the end of their own file leaves both."""
    sample(ToySampler(), tmp_path, progress=False)
    lines = (tmp_path / "toys.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / ".toys.jsonl.part-00000").write_text("".join(lines[:3]))
    sample(ToySampler(), tmp_path, progress=False)
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize("processes", [1, 2])
def test_another_back_end_may_not_go_on(tmp_path, processes):
    """Workers load what they hold, and refuse it there: even if nothing is left to be made."""
    sample(ToySampler(), tmp_path, progress=False)
    with pytest.raises(UserError, match="holds toys of toy with other settings than these of two"):
        sample(ToySampler(name="two"), tmp_path, processes=processes, progress=False)


def test_an_empty_folder_of_inputs(tmp_path):
    assert sample(ToySampler(count=0), tmp_path, progress=False).made == 0
    assert (tmp_path / "toys.jsonl").read_text() == ""


def test_texts_by_the_grammar_in_two_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("data_gen.reports.sampling.TextSampler.per_shard", 2)
    path = tmp_path / "entities.jsonl"
    path.write_text("\n".join('{"entities": ["pneumothorax"]}' for _ in range(5)))
    config = SampleTextsConfig(entities=str(path), writer=ReportWriterConfig(seed=3))
    sample_texts(config, None, tmp_path / "one", progress=False)
    several = SampleTextsConfig(entities=str(path), writer=config.writer, processes=2)
    assert sample_texts(several, None, tmp_path / "two", progress=False).made == 5
    for name in ("texts.jsonl", "failed.jsonl", "settings.json", "summary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.fixture(scope="module")
def ray():
    pytest.importorskip("ray")
    runner = OnRay()
    yield runner
    runner.close()


@pytest.mark.slow  # of the engine; tests/data_gen/jobs/test_runners.py has its Ray in every run
class TestRay:
    def test_the_same_files(self, ray, whole, tmp_path):
        done = sample(ToySampler(), tmp_path, runner=ray, progress=False)
        assert (done.made, done.failed) == (21, 2)
        assert files(tmp_path) == files(whole)
        assert hidden(tmp_path) == []

    def test_a_killed_worker_costs_no_line(self, ray, whole, tmp_path):
        sampler = ToySampler(die_at=7, once=str(tmp_path / "died"))
        sample(sampler, tmp_path / "out", runner=ray, progress=False)
        assert (tmp_path / "died").exists()
        assert files(tmp_path / "out") == files(whole)

    def test_a_refusal_is_one_line(self, ray, whole, tmp_path):
        sample(ToySampler(), tmp_path, progress=False)
        with pytest.raises(JobError, match="with other settings than these of two") as refused:
            sample(ToySampler(name="two"), tmp_path, runner=ray, progress=False)
        assert "\n" not in str(refused.value)
