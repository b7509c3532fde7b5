"""The judge behind a server, against a real HTTP server on the loopback interface."""

import base64
import dataclasses
import http.server
import json
import threading
import time

import cv2
import numpy as np
import pytest

from data_gen.chat.base import ChatConfig
from data_gen.chat.openai import GIVE_UP, OpenAIChat
from data_gen.curation.candidate import Candidate
from data_gen.curation.gate import Gate, GateConfig
from data_gen.curation.judges.base import JudgeConfig
from data_gen.curation.judges.server import ServerJudge, data_url, read_answers
from data_gen.curation.statistics import Limits
from data_gen.phantom.registry import PHANTOMS
from medvlp_jax.core.errors import UserError

REVIEW = PHANTOMS["chest_xray"].review
QUESTIONS = REVIEW.questions
KEYS = [q.key for q in QUESTIONS]
ALL_YES = dict.fromkeys(KEYS, "yes")


class Server(http.server.ThreadingHTTPServer):
    """Decodes the picture, whose first pixel says which script its attempts follow."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = {}  # first pixel -> what its attempts get, in turn; then all yes
        self.seen = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        picture, words = body["messages"][-1]["content"]
        data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        with self.server.lock:
            self.server.seen.append((pixels, words["text"], body))
            todo = self.server.script.get(int(pixels.flat[0]), [])
            now = todo.pop(0) if todo else ALL_YES
        try:
            self.respond(now)
        except BrokenPipeError:  # the client had waited long enough
            return

    def respond(self, now):
        if isinstance(now, int):
            return self.send(now, b"busy")
        if now == "silence":
            time.sleep(1.0)
        if now == "half":
            return self.send(200, b'{"choices": [{"mess')
        text = now if isinstance(now, str) else json.dumps(now)
        answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
        return self.send(200, json.dumps(answer).encode())

    def send(self, status, data):
        self.send_response(status)
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


@pytest.fixture
def config(server):
    chat = ChatConfig(
        backend="openai", model="eyes", url=server.url, timeout=0.4, attempts=3, concurrency=4
    )
    return JudgeConfig(kind="server", chat=chat)


def candidates(*firsts):
    pictures = np.random.default_rng(0).integers(60, 200, (len(firsts), 40, 40)).astype(np.uint8)
    for picture, first in zip(pictures, firsts, strict=True):
        picture[0, 0] = first
    return [Candidate(f"c{f}", p) for f, p in zip(firsts, pictures, strict=True)]


def judge(config, *firsts):
    chat = OpenAIChat(config.chat, sleep=lambda seconds: None)
    found = ServerJudge(config, REVIEW, chat).judge(candidates(*firsts))
    return dict(zip(firsts, found, strict=True))


def test_no_to_a_question_is_its_reason(server, config):
    server.script = {q: [{**ALL_YES, QUESTIONS[q].key: "No."}] for q in range(6)}
    found = judge(config, *range(7))
    for q in range(6):
        assert found[q].reasons == (QUESTIONS[q].reason,)
        assert found[q].scores[f"judge/{QUESTIONS[q].key}"] == 0
    assert found[6].reasons == ()
    assert found[6].scores == {"judge/answered": 1, **{f"judge/{k}": 1 for k in KEYS}}


def test_the_server_sees_the_picture_and_all_questions(server, config):
    judge(config, 7)
    pixels, words, body = server.seen[0]
    np.testing.assert_array_equal(pixels, candidates(7)[0].image)
    assert all(q.text in words and q.key in words for q in QUESTIONS)
    assert body["model"] == "eyes"


def test_some_no_may_pass(server, config):
    server.script = {
        1: [{**ALL_YES, "quality": "no"}],
        2: [{**ALL_YES, "quality": "no", "clean": "no"}],
    }
    found = judge(dataclasses.replace(config, most_no=1), 1, 2)
    assert not found[1].reasons
    assert found[2].reasons == ("poor quality", "artefacts")


def test_what_may_pass_is_tried_again(server, config):
    no = {**ALL_YES, "human": False}
    server.script = {1: [429, no], 2: [500, 503, no], 3: ["silence", no], 4: ["half", no]}
    found = judge(config, 1, 2, 3, 4, 5)
    assert [bool(f.reasons) for f in found.values()] == [True] * 4 + [False]
    assert len(server.seen) == 2 + 3 + 2 + 2 + 1


def test_an_answer_that_cannot_be_read_is_asked_for_again(server, config):
    server.script = {1: ["I think it looks fine."], 2: ["{}", '{"xray": "yes"'], 3: ["what?"] * 2}
    found = judge(config, 1, 2, 3)
    assert found[1].reasons == ()
    assert found[2].reasons == found[3].reasons == ("judge failed",)
    assert found[3].scores == {"judge/answered": 0}
    seeds = {body["seed"] for pixels, _, body in server.seen if pixels.flat[0] == 3}
    assert len(seeds) == 2
    server.script = {3: ["what?"] * 2}
    lenient = dataclasses.replace(config, on_failure="accept")
    assert judge(lenient, 3)[3].reasons == ()


def test_a_dead_server_stops_the_run_even_if_few_are_asked_at_a_time(config):
    chat = dataclasses.replace(config.chat, url="http://127.0.0.1:9/v1", attempts=1)
    config = dataclasses.replace(config, chat=chat, attempts=1)
    one = ServerJudge(config, REVIEW, OpenAIChat(chat, sleep=lambda seconds: None))
    for first in range(1, GIVE_UP):
        assert one.judge(candidates(first))[0].reasons == ("judge failed",)
    with pytest.raises(UserError, match=f"failed {GIVE_UP} times in a row.*no connection"):
        one.judge(candidates(0))


def test_nothing_is_asked_twice_whatever_the_company(server, config, tmp_path):
    config = dataclasses.replace(config, chat=dataclasses.replace(config.chat, cache=str(tmp_path)))
    first = judge(config, 1, 2, 3)
    assert len(server.seen) == 3
    chat = OpenAIChat(config.chat)
    alone = ServerJudge(config, REVIEW, chat).judge(candidates(1, 2, 3)[2:])
    assert alone == [first[3]]
    assert len(server.seen) == 3


def test_the_gate_asks_only_about_what_the_pixels_pass(server, config):
    server.script = {9: [{**ALL_YES, "frontal": "no"}]}
    gate = Gate(
        GateConfig(
            statistics=Limits(
                min_side=8, max_noise=9, max_layout=3, margin=3, max_text=1, max_blocks=99
            ),
            judge=config,
        )
    )
    black = Candidate("black", np.zeros((40, 40), np.uint8))
    verdicts = gate.review([black, *candidates(8, 9)])
    assert verdicts[0].reasons == ("black",)
    assert verdicts[1].accepted
    assert verdicts[2].reasons == ("not frontal",)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('```json\n{"a": "Yes", "b": "no"}\n```', {"a": True, "b": False}),
        ('Here: {"note": 1} and {"a": true, "b": "No, it is not."}', {"a": True, "b": False}),
        ('{"a": "yes", "b": "perhaps"}', None),
        ('{"a": "yes"}', None),
        ('{"a": {"x": 1}, "b": "no"}', None),
        ("{{{", None),
        ("", None),
    ],
)
def test_answers_are_read_from_what_models_write(text, expected):
    questions = [dataclasses.replace(QUESTIONS[0], key=k) for k in "ab"]
    assert read_answers(text, questions) == expected


def test_an_answer_of_braces_alone_ends_soon_and_answers_nothing():
    questions = QUESTIONS[:1]
    for text in ("{" * 100_000, '{"a":' * 50_000, f'{{"{KEYS[0]}": [[["yes"]]]}}'):
        assert read_answers(text, questions) is None


def test_the_picture_that_is_sent():
    rgb = np.zeros((30, 60, 3), np.uint8)
    rgb[..., 0] = 200
    for size, shape in ((100, (30, 60)), (20, (10, 20))):
        data = base64.b64decode(data_url(rgb, size).partition(",")[2])
        back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert back.shape[:2] == shape
        assert tuple(back[5, 5]) == (200, 0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chat": None}, "judge.chat belongs to"),
        ({"kind": "clip"}, "belongs to judge.kind"),
        ({"questions": ("xray", "colour")}, "colour is none of"),
        ({"attempts": 0}, "positive"),
    ],
)
def test_bad_settings(config, change, message):
    with pytest.raises(ValueError, match=message):
        GateConfig(judge=dataclasses.replace(config, **change))
