"""Labels into captions through the launch script: by grammar, and by a server on the loopback."""

import collections
import dataclasses
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from data_gen.chat.base import ChatConfig
from data_gen.curation.rejects import read_rejects
from data_gen.jobs.job import JobError
from data_gen.pipelines.captions import grammar, reasons
from data_gen.pipelines.captions.by_chat import question, read_answer
from data_gen.pipelines.captions.config import CaptionsConfig
from data_gen.pipelines.captions.pipeline import generate
from data_gen.pipelines.captions.subject import CaptionError, shipped
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.store.dataset import finalise, open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts.choice import TextConfig, candidates
from medvlp_jax.data.texts.text_index import TextIndex

ROOT = pathlib.Path(__file__).parents[4]
ROWS = [
    ("mri", "knee", {"meniscal abnormality": 1, "fracture": 0}),
    ("mri", "af", {"achilles pathology": 1}),
    ("ultrasound", "gb", {"gb": 1}),
    ("xray", "chest", {"pneumonia": 1, "no finding": 1}),
    ("ct", "lung", {"normal": 1}),
    ("ct", "lung", {"nodule": -1}),
]


def record(i, split="train"):
    modality, anatomy, labels = ROWS[i % len(ROWS)]
    picture = cv2.imencode(".png", np.full((8, 8), 7 * i % 256, np.uint8))[1].tobytes()
    texts = (
        (Text("Right lower lobe pneumonia.", "report", "radiologist"),)
        if modality == "xray"
        else (Text("An old caption.", "caption", "article"),)
    )
    return Record(
        id=f"{split}{i}",
        images=(Image(picture, "png", "", modality, 8, 8),),
        texts=texts,
        labels=dict(labels),
        split=split,
        provenance={"anatomy": anatomy},
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "source"
    write_shard(folder, ShardName("tiny", "train", 0, 2), map(record, range(7)), "x")
    write_shard(folder, ShardName("tiny", "train", 1, 2), map(record, range(7, 12)), "x")
    test = [record(i, "test") for i in range(6)]
    write_shard(folder, ShardName("tiny", "test", 0, 1), test, "x")
    finalise(folder, "Tiny.")
    return folder


def launch(*args):
    env = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS",)}
    env |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "launch/generate.py", *map(str, args), "--config.processes=1"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def rows(folder, split="train"):
    found = open_dataset(folder, split)
    return [found[i] for i in range(len(found))]


def captions_of(one, source="grammar"):
    return [t for t in one.texts if t.section == "caption" and t.source.startswith(source)]


@pytest.fixture(scope="module")
def by_grammar(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "captions"
    done = launch(
        "--config=configs/data_gen/captions.py", f"--config.source={source}", f"--out={folder}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout


def test_every_positive_label_gets_its_captions_as_a_list(by_grammar, source):
    folder, printed = by_grammar
    first, second = rows(folder), rows(source)
    assert [r.id for r in first] == [r.id for r in second]
    for new, old in zip(first, second, strict=True):
        assert new.images == old.images
        assert new.texts[: len(old.texts)] == old.texts
        said = captions_of(new)
        labels = {k for k, v in old.labels.items() if v == 1 and k != "no finding"}
        assert collections.Counter(t.labels for t in said) == {(k,): 10 for k in labels}
        assert len({t.text for t in said}) == len(said)
        assert new.provenance["captions"]["policy"] == "report"
    assert "captions: 50 of" in printed


def test_summary_rejects_and_page_count_every_caption(by_grammar):
    folder, _ = by_grammar
    told = json.loads((folder / "summary.json").read_text())["captions"]
    refused = read_rejects(folder)
    assert told["gate"]["made"] == told["gate"]["kept"] + len(refused)
    assert told["gate"]["refused"] == len(refused) == sum(told["refused"].values())
    assert told["records"] == {"all": 18, "no positive label": 3, "normal beside a finding": 3}
    assert told["sources"] == {"grammar": 50}
    assert "a record's reports" in told["drawn"]
    assert told["by label"]["xray, chest, pneumonia"]["records"] == 3
    page = (folder / "data_report.html").read_text()
    assert "xray, chest, pneumonia" in page
    assert told["by label"]["mri, knee, meniscal abnormality"]["first"] in page


def test_the_same_command_finds_what_is_there_and_another_is_refused(by_grammar, source):
    folder, _ = by_grammar
    config = CaptionsConfig(source=str(source), processes=1)
    again = generate(config, folder, progress=False)
    assert (again.made, again.found) == (0, 3)
    other = CaptionsConfig(source=str(source), count=4, processes=1)
    with pytest.raises(JobError, match="another source or config; choose another folder"):
        generate(other, folder, progress=False)


@pytest.mark.parametrize("policy", ["report", "caption"])
def test_training_draws_one_caption_per_visit_evenly(by_grammar, policy):
    """What the policy says is what ``data.text.policy`` of training does."""
    every = rows(by_grammar[0])
    config = TextConfig(policy=policy, buckets=(8, 16), window=0)
    texts = [candidates(r, config)[0] for r in every]
    assert [len(t) for t in texts[:6]] == [11, 11, 11, 1 if policy == "report" else 10, 11, 1]
    if policy == "report":
        assert texts[3] == ["Right lower lobe pneumonia."]
    counts = np.array([[len(t)] for t in texts])
    index = TextIndex(np.arange(len(every)), counts, np.full(counts.sum(), 5), {})
    plan = Plan([index], [None], config, 4, seed=0)
    visits = plan.visits(np.zeros(12 * 600, np.int64), np.arange(12 * 600))
    drawn = collections.Counter(visits.choice[visits.record == 0].tolist())
    assert sorted(drawn) == list(range(11))
    assert max(abs(n - 600 / 11) for n in drawn.values()) < 30
    again = plan.visits(np.zeros(5, np.int64), np.arange(40, 45))
    assert (again.choice == visits.choice[40:45]).all()


def test_what_cannot_be_captioned_is_an_error_that_says_why(source, tmp_path):
    ignore = tuple(name for _, _, labels in ROWS for name in labels)
    with pytest.raises(CaptionError, match="none of 18 records can have a caption"):
        generate(CaptionsConfig(source=str(source), ignore=ignore), tmp_path / "a", False)
    with pytest.raises(JobError, match="is the source itself"):
        generate(CaptionsConfig(source=str(source)), source, False)


def test_words_of_the_config_are_checked(source, tmp_path):
    for key, said in [("modality", "modality 'xrayy'"), ("anatomy", "'chest' is")]:
        config = CaptionsConfig(
            source=str(source), **{key: {"modality": "xrayy"}.get(key, "chestt")}
        )
        with pytest.raises(CaptionError, match=said):
            generate(config, tmp_path / "a", False)
    config = CaptionsConfig(source=str(source), anatomies={"xray": "gadget"}, lacking="warn")
    made = generate(config, tmp_path / "a", False)
    assert "anatomy 'gadget' is not known: captions say it as it stands" in made.warnings


class Server(http.server.ThreadingHTTPServer):
    """Answers with captions of the grammar and what the test adds, by label and question."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.answer = lambda label, number: "[]"
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        label = asked.partition("Label as it is stored: ")[2].partition("\n")[0]
        with self.server.lock:
            number = sum(label == old for old, _ in self.server.seen)
            self.server.seen.append((label, asked))
        text = self.server.answer(label, number)
        answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


KEYS = {
    "meniscal abnormality": ("mri", "knee"),
    "achilles pathology": ("mri", "ankle and foot"),
    "gb": ("ultrasound", "gb"),
    "pneumonia": ("xray", "chest"),
    "normal": ("ct", "lung"),
}
BAD = {
    "meniscal abnormality": "MRI of the shoulder with an abnormal meniscus.",
    "achilles pathology": "MRI of a patient with atrial fibrillation and an abnormal tendon.",
    "gb": "Ultrasound of the gallbladder with gallstones.",
    "pneumonia": "Chest X-ray without pneumonia.",
    "normal": "CT of the lungs with a nodule.",
}


def good(label, number):
    """Eight captions and a wrong one; the first answer about pneumonia is prose."""
    if label == "pneumonia" and number == 0:
        return "Here are ten captions: 1. Pneumonia."
    subject = shipped().read(*KEYS[label], label)
    texts = list(grammar.write(subject, 8, seed=50 + number))
    return "```json\n" + json.dumps([*texts, BAD[label]]) + "\n```"


def chat(server, cache=""):
    return ChatConfig(
        backend="openai",
        model="m",
        url=server.url,
        attempts=1,
        cache=str(cache),
        max_new_tokens=900,
    )


def test_a_server_through_the_launch_script(server, source, tmp_path):
    server.answer = good
    folder = tmp_path / "out"
    done = launch(
        "--config=configs/data_gen/captions.py:openai",
        f"--config.source={source}",
        f"--out={folder}",
        f"--config.chat.url={server.url}",
        "--config.chat.model=m",
        "--config.rounds=4",
        f"--config.chat.cache={tmp_path / 'cache'}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((folder / "summary.json").read_text())["captions"]
    assert told["sources"] == {"llm:openai:m": 50}
    assert told["answers"]["malformed"] == 1
    gate = told["gate"]
    assert gate["made"] == gate["kept"] + gate["refused"] + gate["spare"]
    assert gate["made"] == 9 * told["answers"]["read"]
    refused = read_rejects(folder)
    assert len(refused) == gate["refused"] + told["answers"]["malformed"]
    kinds = collections.Counter(row["kind"] for row in refused)
    assert kinds[reasons.MALFORMED] == 1
    assert {BAD[label] for label in KEYS} <= {row.get("text") for row in refused}
    said = captions_of(rows(folder)[0], "llm:")
    assert len(said) == 10
    assert all(t.source == "llm:openai:m" for t in said)
    asked = next(text for label, text in server.seen if label == "achilles pathology")
    assert "Achilles tendon" in asked


def test_answers_that_are_never_a_list_end_in_an_error_or_a_warning(server, source, tmp_path):
    server.answer = lambda label, number: (
        '{"captions": []}' if label == "gb" else good(label, number + 1)
    )
    config = CaptionsConfig(
        source=str(source), maker="chat", chat=chat(server, tmp_path / "c"), rounds=2, processes=1
    )
    with pytest.raises(CaptionError) as caught:
        generate(config, tmp_path / "out", progress=False)
    assert "'ultrasound, gallbladder, gb' (2 malformed answer)" in str(caught.value)
    assert "config.lacking='warn'" in str(caught.value)
    asked = len(server.seen)
    # The same folder, and nothing is asked twice.
    result = generate(dataclasses.replace(config, lacking="warn"), tmp_path / "out", False)
    assert len(server.seen) == asked
    assert any("go on without" in w for w in result.warnings)
    assert result.summary["captions"]["answers"]["malformed"] == 2
    assert captions_of(rows(tmp_path / "out")[2], "llm:") == []


def test_the_grammar_fills_what_a_server_leaves(server, source, tmp_path):
    server.answer = lambda label, number: json.dumps(["What is this?"])
    config = CaptionsConfig(
        source=str(source), maker="chat", chat=chat(server), rounds=1, fill=True, processes=1
    )
    result = generate(config, tmp_path / "out", progress=False)
    assert result.summary["captions"]["sources"] == {"grammar": 50}
    assert result.summary["captions"]["refused"][reasons.LENGTH] >= 5


def test_the_question_holds_the_key_its_glossary_and_what_was_refused():
    subject = shipped().read("mri", "af", "atfl pathology")
    first = question(subject, 12)
    asked = first.messages[-1]["content"]
    assert "af = ankle and foot; atfl = anterior talofibular ligament" in asked
    assert "12" in asked
    assert "the ankle and foot" in asked
    again = question(subject, 3, 1, ["Said."], {"other organ": 2})
    assert again.id != first.id
    assert "2 for other organ" in again.messages[-1]["content"]


@pytest.mark.parametrize(
    "text",
    ["", "Sure!", '{"a": 1}', "[]", "[1]", '["a", ""]', '["a", ["b"]]', '["a",', "[" * 5000],
)
def test_an_answer_that_is_no_list_of_texts(text):
    with pytest.raises(ValueError, match=r"."):
        read_answer(text)


def test_a_config_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="source is empty"):
        CaptionsConfig()
    with pytest.raises(ValueError, match="needs the group chat"):
        CaptionsConfig(source="x", maker="chat")
    with pytest.raises(UserError):
        generate(CaptionsConfig(source=str(tmp_path / "none")), tmp_path / "out", False)
