"""The synthetic data set: whole, killed in every stage, on other runners, with other back ends."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import cv2
import jax
import numpy as np
import pytest
from loopback_llm import TROUBLES, LoopbackLLM

from data_gen.curation.rejects import read_rejects
from data_gen.images.base import Drawing
from data_gen.phantom.job import SplitCounts
from data_gen.pipelines.syncxr import drawing
from data_gen.pipelines.syncxr.config import ORDER, SynCXRConfig, read
from data_gen.pipelines.syncxr.fan_out import FanOut
from data_gen.pipelines.syncxr.outcome import as_lines
from data_gen.pipelines.syncxr.pipeline import generate
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import MANIFEST, read_manifest

from .syncxr_run import CONFIG, STAGES

HERE = pathlib.Path(__file__).parent
SD = HERE.parents[1] / "parity" / "fixtures" / "sd1"


def content(folder):
    """What has to be equal: shards, summary, rejects with their pictures."""
    files = [*folder.glob("syncxr-*"), *folder.glob("rejects/*")]
    files += [folder / name for name in ("summary.json", "rejects.jsonl")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(files)}


def records(folder, split):
    source = open_dataset(folder, split)
    return [source[i] for i in range(len(source))]


@pytest.fixture(scope="module", autouse=True)
def _compile_quickly(tmp_path_factory):
    """In this process and in those that the tests start, or their pictures would differ."""
    cache = str(tmp_path_factory.mktemp("xla"))
    variables = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    made = generate(CONFIG, folder, progress=False)
    assert (made.made, made.found) == (5, 0)
    return folder


class TestFolder:
    def test_has_what_was_asked_for(self, whole):
        found = {split: records(whole, split) for split in ORDER}
        assert {s: len(r) for s, r in found.items()} == {"train": 9, "validation": 2, "test": 3}
        rows = [r.provenance["row"] for split in found.values() for r in split]
        assert len(set(rows)) == len(rows)  # no two studies share a row of the plan
        for split, some in found.items():
            assert all(r.provenance["row"] in CONFIG.rows[split] for r in some)
        names = [r.provenance["image"]["seed"] for split in found.values() for r in split]
        assert len(set(names)) == len(names)
        assert (whole / "data_report.html").stat().st_size > 20_000
        assert cv2.imread(str(whole / "preview.png")).shape[0] > 200

    def test_a_record_can_be_learnt_from(self, whole):
        for record in records(whole, "train"):
            sections = {text.section for text in record.texts}
            assert {"findings", "impression"} <= sections
            assert record.labels["no finding"] in (0, 1)
            captions = [t for t in record.texts if t.section == "caption"]
            entities = record.provenance["entities"]
            drawn = [e for e in entities if e["finding"] and not e["type"].startswith("NON")]
            named = [(e["finding"],) for e in drawn] or [("no finding",)]
            assert [c.labels for c in captions] == named
            assert len(entities) == 12
            image = record.images[0]
            assert decode(image.data, image.format).shape == (64, 64)
            assert image.view in ("PA", "AP")
            assert {mask.label for mask in record.masks} >= {"left lung", "heart"}
            phrases = {e["text"] for e in drawn}
            assert all(box.phrase in phrases for box in record.boxes)
            assert {f["phrase"] for f in record.provenance["findings"]} == phrases
            assert record.provenance["image"]["verdict"]["accepted"] is True
            assert record.provenance["report"]["attempts"] >= 1

    def test_planted_films_are_counted_and_none_is_kept(self, whole):
        way = json.loads((whole / "summary.json").read_text())["syncxr"]
        gate = way["images"]["gate"]
        assert gate["planted"] == sum(v["planted"] for v in gate["by fault"].values()) >= 3
        assert gate["recall"] == round(gate["found"] / gate["planted"], 4)
        rows = [r for r in read_rejects(whole) if r.get("detail", "").startswith("planted: ")]
        assert len(rows) == gate["planted"]
        assert all((whole / r["thumbnail"]).is_file() for r in rows)
        assert f"found {gate['found']} of {gate['planted']} planted" in as_lines(way)
        for split in ORDER:
            for record in records(whole, split):
                # A study with a planted film has a second attempt or is not there.
                planted = any(r["id"] == record.id for r in rows)
                assert record.provenance["image"]["attempts"] >= 1 + planted

    def test_is_found_again(self, whole):
        before = content(whole)
        made = generate(CONFIG, whole, progress=False)
        assert (made.made, made.found) == (0, 5)
        assert content(whole) == before

    def test_another_config_is_refused_by_key(self, whole):
        other = dataclasses.replace(CONFIG, planted=0.1, image_attempts=2)
        with pytest.raises(UserError, match=r"another config .*image_attempts: 4 -> 2; planted"):
            generate(other, whole)
        generate(dataclasses.replace(CONFIG, processes=2), whole, progress=False)

    def test_a_shard_that_is_lost_is_made_again(self, whole):
        before = content(whole)
        next(whole.glob("syncxr-train*1-of*")).unlink()
        assert generate(CONFIG, whole, progress=False).made == 1
        assert content(whole) == before


@pytest.mark.slow
def test_killed_in_every_stage(whole, tmp_path):
    for stage in STAGES:
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(HERE / "syncxr_run.py"),
            str(tmp_path),
            stage,
        ]
        path = os.pathsep.join([str(HERE.parents[2]), str(HERE)])
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        assert done.returncode == -signal.SIGKILL, (stage, done.stderr)
    made = generate(CONFIG, tmp_path, progress=False)
    assert made.found == 5  # the last kill came after the last shard
    assert content(tmp_path) == content(whole)
    leftovers = [p for p in tmp_path.rglob("*") if ".tmp-" in p.name or p.name.endswith(".part")]
    assert leftovers == []


def test_work_is_removed_when_all_is_done(whole, tmp_path):
    small = dataclasses.replace(CONFIG, splits=SplitCounts(2, 0, 0), keep_work=False, planted=0.0)
    generate(small, tmp_path, progress=False)
    assert not (tmp_path / "work").exists()
    assert generate(small, tmp_path, progress=False).made == 0


@pytest.mark.slow  # jobs/ has the same of a toy job and of sampling, on Ray
@pytest.mark.timeout(4 * 3600)
def test_ray_gives_the_same_bytes_although_a_worker_is_killed(whole, tmp_path):
    pytest.importorskip("ray")
    killed = []
    over = threading.Event()

    def kill_one():
        """The first worker that writes an image shard; its temporary file names it."""
        while not over.wait(0.01):
            for path in tmp_path.glob("work/images/.images-*.tmp-*"):
                process = int(path.name.rpartition("-")[2])
                os.kill(process, signal.SIGKILL)
                killed.append(process)
                return

    thread = threading.Thread(target=kill_one)
    thread.start()
    fan_out = FanOut(CONFIG, "ray")
    try:
        generate(CONFIG, tmp_path, fan_out, progress=False)
    finally:
        fan_out.close()
        over.set()
        thread.join()
    assert killed
    assert content(tmp_path) == content(whole)
    lines = (tmp_path / "work" / "images" / MANIFEST).read_text().splitlines()
    assert len(lines) == len(read_manifest(tmp_path / "work" / "images"))  # none written twice


@pytest.fixture
def server():
    with LoopbackLLM(silence=3.5) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def switched(server, **changes):
    """The config file with the two words changed, as from the command line."""
    from configs.data_gen.syncxr import get_config

    config = get_config()
    config.writer, config.images = "openai", "jax"
    config.chat.url, config.chat.model = server.url, "loopback"
    config.chat.timeout, config.chat.backoff = 2.5, 0.01
    config.maker.model, config.maker.steps = str(SD), 2
    config.splits = {"train": 24, "validation": 4, "test": 4}
    config.spare, config.studies_per_shard, config.image_attempts = 0.25, 16, 2
    for key, value in changes.items():
        config[key] = value
    return read(config)


def test_a_server_that_fails_and_a_diffusion_model(server, tmp_path):
    """One request in ten fails; the pictures of a random model are noise, so none is refused."""
    made = generate(switched(server, curate=False), tmp_path, progress=False)
    assert {s: len(records(tmp_path, s)) for s in ORDER} == {
        "train": 24,
        "validation": 4,
        "test": 4,
    }
    assert set(server.troubles) == {str(t) for t in TROUBLES} or server.requests < 50
    way = made.summary["syncxr"]
    assert way["missing"] == {}
    asked_for = sum(way["reports"][key] for key in ("written", "given up"))
    assert asked_for >= 32
    assert not any(r["kind"] == "error" and r["attempt"] == 3 for r in read_rejects(tmp_path))
    record = records(tmp_path, "train")[0]
    assert record.provenance["report"]["writer"] == "llm:openai:loopback"
    assert record.provenance["image"]["maker"] == "jax:sd1"
    assert record.provenance["image"]["verdict"]["accepted"] is False
    image = record.images[0]
    assert decode(image.data, image.format).shape == (16, 16)
    assert image.view == "FRONTAL"
    assert record.boxes == ()
    assert any("hernia" in r.get("detail", "") for r in read_rejects(tmp_path)) or not (
        server.troubles.get("wrong")
    )
    asked = server.requests
    assert generate(switched(server, curate=False), tmp_path, progress=False).made == 0
    assert server.requests == asked


def test_nothing_passes(tmp_path, monkeypatch):
    """A maker of black pictures: the run ends in a line that says so, with every reject kept."""
    black = Drawing(np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(drawing, "draw", lambda maker, some: [black] * len(some))
    config = dataclasses.replace(CONFIG, planted=0.0, image_attempts=2)
    with pytest.raises(UserError, match=r"none of \d+ reports .*images: .*curate=False"):
        generate(config, tmp_path, progress=False)
    rows = [r for r in read_rejects(tmp_path) if r["stage"] == "images"]
    assert len(rows) == 2 * sum(map(len, config.rows.values()))
    assert {r["kind"] for r in rows} == {"black"}


class TestConfig:
    def test_file_fits_the_schema(self):
        from configs.data_gen.syncxr import get_config

        assert read(get_config()) == read({"generator": "syncxr", "splits": get_config().splits})
        assert read(get_config("demo")).planted == 0.02
        second = get_config("demo,roentgen_v2")
        second.images, second.maker.model = "jax", str(SD)
        parsed = read(second)
        assert (parsed.maker.steps, parsed.maker.guidance, parsed.maker.size) == (75, 3.0, 512)
        with pytest.raises(
            ValueError, match="behind the colon stands demo or roentgen or roentgen_v2"
        ):
            get_config("x")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"chat": {"url": "http://x/v1"}}, "set config.writer=openai"),
            ({"writer": "openai", "chat": {"model": "m"}}, "needs config.chat.url"),
            ({"maker": {"model": "sd"}}, "set config.images=jax"),
            ({"images": "jax"}, "needs model"),
            ({"writer": "gramar"}, "did you mean 'grammar'"),
            ({"planted": 0.9}, "planted"),
            ({"sampler": {"kk": 2}}, "sampler.kk is not a known key"),
        ],
    )
    def test_mistakes_are_named(self, given, message):
        with pytest.raises(ConfigError, match=message):
            read(given)

    def test_rows_of_splits_do_not_meet(self):
        config = SynCXRConfig(splits=SplitCounts(100, 0, 7), spare=0.1)
        assert config.rows == {"test": range(8), "train": range(8, 118)}


DAMAGE = (b"", b'{"finished": true', b"[" * 50_000, b"null", b"\xff\xfe", b'{"finished": 3}')


class TestDamagedFolder:
    """What is damaged in a finished folder is named in one line, or made again as it was."""

    @pytest.fixture
    def folder(self, whole, tmp_path):
        return pathlib.Path(shutil.copytree(whole, tmp_path / "copy"))

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_settings_are_named(self, folder, damage):
        (folder / "syncxr.json").write_bytes(damage)
        with pytest.raises(UserError, match=r"syncxr.json cannot be read .*; delete it") as error:
            generate(CONFIG, folder, progress=False)
        assert "\n" not in str(error.value)

    def test_deleted_settings_are_written_again(self, whole, folder):
        (folder / "syncxr.json").unlink()
        assert generate(CONFIG, folder, progress=False).made == 0
        assert content(folder) == content(whole)

    @pytest.mark.parametrize("damage", [DAMAGE[1], b'{"splits": {"test": {"records": 2}}}'])
    def test_a_summary_is_written_again(self, whole, folder, damage):
        (folder / "summary.json").write_bytes(damage)
        assert generate(CONFIG, folder, progress=False).made == 0
        assert content(folder) == content(whole)

    @pytest.mark.parametrize(
        ("split", "damage"), [("test", b""), ("validation", b"{"), ("test", b"\x00\x00")]
    )
    def test_a_split_whose_only_line_is_damaged_is_made_again(self, whole, folder, split, damage):
        lines = (folder / MANIFEST).read_bytes().split(b"\n")
        mine = [i for i, line in enumerate(lines) if f'"syncxr-{split}.'.encode() in line]
        assert len(mine) == 1
        lines[mine[0]] = damage
        (folder / MANIFEST).write_bytes(b"\n".join(lines))
        assert generate(CONFIG, folder, progress=False).made == 1
        assert content(folder) == content(whole)

    @pytest.mark.parametrize("kind", ["counts.json", "accepted.npz", "rejects.jsonl"])
    def test_what_lies_beside_a_shard_is_named(self, folder, kind):
        (folder / "summary.json").unlink()
        beside = sorted((folder / "work" / "images").glob(f"*.{kind}"))[0]
        beside.write_bytes(b'{"a": \x00\n')
        with pytest.raises(UserError, match=f"{kind}.* cannot be read .*; delete it and its shard"):
            generate(CONFIG, folder, progress=False)

    def test_a_damaged_plan_is_named(self, folder):
        (folder / "summary.json").unlink()
        for name in ("plan.json", "plan.npy"):
            path = folder / "work" / "plan" / name
            kept = path.read_bytes()
            for damage in (b"", kept[:40], b"{}"):
                path.write_bytes(damage)
                with pytest.raises(UserError, match=r"holds no plan .*delete this folder"):
                    generate(CONFIG, folder, progress=False)
            path.write_bytes(kept)
