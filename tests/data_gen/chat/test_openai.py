"""The client of OpenAI-compatible servers, against a real HTTP server on the loopback interface."""

import dataclasses
import http.server
import json
import threading
import time

import pytest

from data_gen.chat.base import ChatConfig, Prompt
from data_gen.chat.openai import GIVE_UP, OpenAIChat
from medvlp_jax.core.errors import UserError


class Server(http.server.ThreadingHTTPServer):
    """Answers ``{"word": ...}`` prompts; ``script`` says what goes wrong with each attempt."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = {}  # prompt -> what to do with its attempts, in turn; then it is answered
        self.always = None
        self.delay = 0.0
        self.seen = []
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
            todo = server.script.get(prompt, [])
            trouble = server.always or (todo.pop(0) if todo else "")
        time.sleep(server.delay)
        with server.lock:  # before the answer: once that is out the client may ask again
            server.busy -= 1
        try:
            self.respond(trouble, prompt)
        except BrokenPipeError:  # the client had waited long enough
            return

    def respond(self, trouble, prompt):
        if isinstance(trouble, int):
            return self.send(trouble, b'{"error": "try   later"}', {"Retry-After": "7"})
        if trouble == "silence":
            time.sleep(1.5)
        if trouble == "hang up":
            return self.connection.close()
        if trouble == "half":
            return self.send(200, b'{"choices": [{"mess')
        if trouble == "no text":
            return self.send(200, b'{"choices": [{"message": {"content": null}}]}')
        answer = {
            "choices": [{"message": {"content": f" echo {prompt} "}, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 2},
        }
        return self.send(200, json.dumps(answer).encode())

    def send(self, status, data, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
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
    return ChatConfig(
        backend="openai", model="m", url=server.url, timeout=0.5, attempts=4, concurrency=3
    )


def prompts(*words):
    return [Prompt(f"id {w}", ({"role": "user", "content": w},)) for w in words]


def ask(config, *words, pauses=None):
    chat = OpenAIChat(config, sleep=(pauses if pauses is not None else []).append)
    return {reply.id: reply for reply in chat.answer(prompts(*words))}


def test_every_passing_trouble_is_tried_again(server, config):
    server.script = {
        "a": [429],
        "b": [500, 503],
        "c": ["silence"],
        "d": ["half", "no text"],
        "e": ["hang up"],
    }
    pauses = []
    replies = ask(config, *"abcdef", pauses=pauses)
    assert {r.text for r in replies.values()} == {f"echo {w}" for w in "abcdef"}
    assert not any(r.error or r.cut for r in replies.values())
    assert len(server.seen) == 6 + 1 + 2 + 1 + 2 + 1
    # Retry-After wins over a shorter pause of ours.
    assert sorted(pauses)[-3:] == [7.0] * 3


def test_pauses_double(server, config):
    server.always = "half"
    pauses = []
    replies = ask(dataclasses.replace(config, attempts=5), "a", pauses=pauses)
    assert "5 attempts, the last: an answer that is no completion" in replies["id a"].error
    assert len(pauses) == 4
    for i, pause in enumerate(pauses):
        assert 0.5 * 2**i <= pause <= 1.5 * 2**i


def test_what_is_sent(server, config, monkeypatch):
    monkeypatch.setenv("SECRET", "abc")
    config = dataclasses.replace(
        config, key_variable="SECRET", top_k=5, repetition_penalty=1.2, stop=("END",), seed=3
    )
    ask(config, "a")
    ask(config, "a")
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer abc"
    assert body.pop("seed") == server.seen[1][2]["seed"]
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "temperature": 0.7,
        "top_p": 0.95,
        "max_tokens": 256,
        "stop": ["END"],
        "top_k": 5,
        "repetition_penalty": 1.2,
    }


def test_no_more_requests_at_a_time_than_allowed(server, config):
    server.delay = 0.05
    replies = ask(config, *map(str, range(12)))
    assert len(replies) == 12
    assert server.most_busy == 3


def test_prompts_are_taken_as_there_is_room(server, config):
    taken = []

    def queue():
        for prompt in prompts(*map(str, range(20))):
            taken.append(prompt)
            yield prompt

    replies = OpenAIChat(config).answer(queue())
    next(replies)
    assert len(taken) <= 4
    replies.close()


def test_nothing_is_asked_twice(server, config, tmp_path):
    config = dataclasses.replace(config, cache=str(tmp_path / "cache"))
    first = ask(config, *"abc")
    assert len(server.seen) == 3
    # A kill in the middle of a line.
    with (tmp_path / "cache" / "answers.jsonl").open("a") as stream:
        stream.write('{"key": "123", "te')
    again = ask(config, *"abcd")
    assert len(server.seen) == 4
    assert {**first, "id d": again["id d"]} == again
    assert len(ask(config, *"abcd")) == 4
    assert len(server.seen) == 4
    ask(dataclasses.replace(config, temperature=0.1), "a")
    assert len(server.seen) == 5


def test_a_stopped_run_goes_on(server, config, tmp_path):
    config = dataclasses.replace(config, cache=str(tmp_path), concurrency=1)
    replies = OpenAIChat(config).answer(prompts(*"abcde"))
    next(replies), next(replies)
    replies.close()
    before = len(server.seen)
    assert before <= 3
    assert len(ask(config, *"abcde")) == 5
    assert len(server.seen) <= 6


def test_a_failed_prompt_is_not_kept(server, config, tmp_path):
    config = dataclasses.replace(config, cache=str(tmp_path), attempts=1)
    server.script = {"a": [500]}
    assert 'status 500 ({"error": "try later"})' in ask(config, "a")["id a"].error
    assert ask(config, "a")["id a"].text == "echo a"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "environment variable OPENAI_API_KEY"), (404, "check url"), (400, "status 400")],
)
def test_a_refusal_for_good_stops_the_run(server, config, status, hint):
    server.always = status
    with pytest.raises(UserError, match=hint):
        ask(config, *"abcdef")
    assert len(server.seen) <= 6


def test_a_dead_server_is_given_up(config):
    config = dataclasses.replace(config, url="http://127.0.0.1:9/v1", attempts=2)
    with pytest.raises(UserError, match=f"{GIVE_UP} prompts in a row failed.*no connection"):
        ask(config, *map(str, range(50)))


def test_a_cut_answer_is_marked(server, config, monkeypatch):
    def respond(self, trouble, prompt):
        choice = {"message": {"content": "half a"}, "finish_reason": "length"}
        self.send(200, json.dumps({"choices": [choice]}).encode())

    monkeypatch.setattr(Handler, "respond", respond)
    assert ask(config, "a")["id a"].cut


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": ""}, "give both or neither"),
        ({"url": "127.0.0.1"}, "must begin with http"),
        ({"model": ""}, "needs model"),
        ({"attempts": 0}, "must be positive"),
        ({"timeout": 0}, "must be positive"),
    ],
)
def test_bad_settings(config, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)
