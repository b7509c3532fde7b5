"""All stages on a made-up library: whole, stopped and resumed, brought up to date."""

import collections
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys

import pytest

from data_gen.pipelines.pubmed import pipeline
from data_gen.pipelines.pubmed.base import Pair
from data_gen.pipelines.pubmed.outcome import ARTICLES, as_lines, collected_lines
from data_gen.pipelines.pubmed.stages import lines
from data_gen.pipelines.pubmed.stages.matching import NOT_MEDICAL, without
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.dataset import open_dataset

from . import pubmed_run

pytestmark = pytest.mark.usefixtures("made_up")
CONFIG = pubmed_run.CONFIG


def content(folder: pathlib.Path) -> dict[str, bytes]:
    """What has to be equal: records of both arms, truth, rejects, statuses, numbers."""
    files = [*folder.rglob("*.array_record-*"), *folder.rglob("summary.json")]
    files += [folder / ARTICLES, folder / "rejects.jsonl"]
    files = [path for path in files if "panels-" not in path.name or "truth" in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def statuses(folder) -> list[dict]:
    return jsonl.read(folder / ARTICLES, "")


@pytest.fixture(scope="module")
def whole(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "data"
    return folder, pipeline.generate(CONFIG, folder, progress=False)


def test_every_article_has_one_status_and_every_row_is_told(whole):
    folder, made = whole
    told = statuses(folder)
    names = [one["id"] for one in told]
    assert len(names) == len(set(names)) == CONFIG.synthetic.articles
    counts = collections.Counter(one["status"] for one in told)
    numbers = made.summary["pubmed"]
    assert dict(counts) == numbers["articles"]
    assert counts["used"] >= 10
    assert all(one["reason"] for one in told if one["status"] != "used")
    assert sum(one["records"] for one in told) == numbers["records"]["records"]
    records = sum(len(open_dataset(folder, split)) for split in made.summary["splits"])
    assert records == numbers["records"]["records"]
    pairs = numbers["match"]["pairs"]
    assert sum(pairs.values()) - pairs.get("rejected", 0) <= records
    assert "used" in as_lines(numbers)
    assert "fetched" in collected_lines(made.collected)


def test_records_say_where_they_are_from_and_share_no_article_between_splits(whole):
    folder, made = whole
    articles = collections.defaultdict(set)
    for split in made.summary["splits"]:
        for record in list(open_dataset(folder, split))[:200]:
            articles[split].add(record.provenance["pmcid"])
            assert record.provenance["licence"]["group"] in CONFIG.collect.licences
            assert record.provenance["source_url"].startswith("s3://")
    assert not articles["train"] & articles["test"]
    raw = {
        record.provenance["pmcid"]
        for split in made.summary["splits"]
        for record in open_dataset(folder / "raw", split)
    }
    assert raw == set().union(*articles.values())


def test_scores_of_a_separator_that_knows_the_truth(whole):
    scores = whole[1].summary["pubmed"]["scores"]
    assert scores["jats"]["captions_exact"]["value"] == 1
    assert scores["jats"]["mentions_exact"]["value"] == 1
    assert scores["figures"]["scores"]["panels mAP@0.5"]["value"] > 0.99
    assert scores["captions"]["labels_exact"]["value"] > 0.9
    assert scores["pairs"]["f1"]["value"] > 0.9
    page = (whole[0] / "pubmed_report.html").read_text()
    assert "label_match" in page or "label read" in page


def test_a_finished_folder_is_left_as_it_is(whole):
    folder, made = whole
    again = pipeline.generate(CONFIG, folder, progress=False)
    assert (again.made, again.found) == (0, made.made)
    assert again.summary == made.summary
    other = dataclasses.replace(CONFIG, rows_per_shard=13)
    with pytest.raises(UserError, match=r"another config \(rows_per_shard"):
        pipeline.generate(other, folder, progress=False)


class Stopped(Exception):
    """As if the process had ended there."""


@pytest.mark.parametrize(
    "stage",
    ["separate", *(pytest.param(s, marks=pytest.mark.slow) for s in ("jats", "screen", "match"))],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch, stage):
    write, seen = lines.StageJob.write, []

    def stops(self, shard, folder, report):
        seen.append(self.stage.name)
        if seen.count(stage) == 2:
            raise Stopped
        write(self, shard, folder, report)

    monkeypatch.setattr(lines.StageJob, "write", stops)
    with pytest.raises(Stopped):
        pipeline.generate(CONFIG, tmp_path, progress=False)
    monkeypatch.setattr(lines.StageJob, "write", lambda *a: (seen.append(a[0].stage), write(*a)))
    before = len(seen)
    pipeline.generate(CONFIG, tmp_path, progress=False)
    assert len(seen) - before < 4 * len(pubmed_run.STAGES), "finished shards are made again"
    assert content(tmp_path) == content(whole[0])


def test_an_update_makes_again_what_it_touched(whole, tmp_path):
    config = dataclasses.replace(CONFIG, raw=False, truth=False)
    first = pipeline.generate(config, tmp_path, progress=False)
    later = dataclasses.replace(
        config,
        update=True,
        synthetic=dataclasses.replace(config.synthetic, edition=1),
        collect=dataclasses.replace(config.collect, date="2026-02-01"),
    )
    second = pipeline.generate(later, tmp_path, progress=False)
    told = {one["id"]: one for one in statuses(tmp_path)}
    assert len(told) == config.synthetic.total + 1
    gone = [one for one in told.values() if one["reason"].startswith("withdrawn")]
    kept = {r.provenance["pmcid"] for s in ("train", "validation", "test")
            if s in second.summary["splits"] for r in open_dataset(tmp_path, s)}  # fmt: skip
    assert not kept & {one["id"] for one in gone}
    assert kept == {one["id"] for one in told.values() if one["status"] == "used"}
    assert first.summary["pubmed"]["collect"]["items"] + 1 == len(told)


def test_articles_alone(tmp_path):
    config = dataclasses.replace(CONFIG, until="collect")
    made = pipeline.generate(config, tmp_path, progress=False)
    assert made.summary is None
    assert made.collected["status"]["fetched"] >= 10
    assert not (tmp_path / ARTICLES).exists()


def test_panels_that_are_no_medical_picture_are_rejected_one_by_one():
    pairs = (Pair((0, 1), 0, "label_match"), Pair((2,), 1, "label_match"), Pair((), 2, "rejected"))
    found = without(pairs, {"1": "chart", "2": "table"})
    assert [(p.panels, p.part, p.status) for p in found] == [
        ((0,), 0, "label_match"),
        ((1,), 0, "rejected"),
        ((2,), 1, "rejected"),
        ((), 2, "rejected"),
    ]
    assert found[1].reason == f"{NOT_MEDICAL}: chart"


def test_what_a_config_forgets_is_said():
    from configs.data_gen import pubmed
    from data_gen.pipelines.pubmed.config import read

    assert read(pubmed.get_config("demo")).library == "synthetic"
    with pytest.raises(ConfigError, match=r"collect\.path is empty"):
        read(pubmed.get_config("folder"))
    demo = pubmed.get_config("demo")
    demo.collect.source = "folder"
    with pytest.raises(ConfigError, match="set one of the two"):
        read(demo)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["separate", "split", "match"])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(whole, tmp_path, stage):
    command = [sys.executable, pubmed_run.__file__, str(tmp_path)]
    killed = subprocess.run([*command, "kill", stage], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "summary.json").exists()
    subprocess.run(command, check=True)
    assert content(tmp_path) == content(whole[0])
    assert json.loads((tmp_path / "pubmed.json").read_text())["finished"]
