"""The client of language-model servers against servers that mean it ill."""

import dataclasses
import json
import time

import pytest

from data_gen.chat.base import ChatConfig, Prompt
from data_gen.chat.cache import AnswerCache
from data_gen.chat.http import Secret
from data_gen.chat.openai import OpenAIChat
from data_gen.chat.server import flaw_of
from data_gen.reports.base import ReportWriterConfig
from data_gen.reports.registry import make_writer
from data_gen.reports.sampling import SampleTextsConfig, sample_texts
from medvlp_jax.core.errors import UserError

from .hostile_server import BODIES, FORMS, HostileServer

KEY = "sk-Secret/Key+0123456789"
#: How it may be written; ``cut`` leaves a part of it.
TRACES = (
    "Secret/Key",
    "SECRET/KEY",
    "Secret%2FKey",
    "U2VjcmV0L0tle",
    "NlY3JldC9LZX",
    "TZWNyZXQvS2V5",
)
TRACES += (KEY.encode().hex()[8:24], "sk-Sec")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with HostileServer() as one:
        yield one


def config(server, path="by prompt", **changes):
    given = {"timeout": 20.0, "attempts": 1, "concurrency": 16} | changes
    return ChatConfig(backend="openai", model="m", url=f"{server.url}/{path}", **given)


def ask(given, *words, **more):
    prompts = [Prompt(w, ({"role": "user", "content": w},)) for w in words]
    return {reply.id: reply for reply in OpenAIChat(given, **more).answer(prompts)}


def no_trace(text):
    assert not [t for t in TRACES if t in text]
    assert all(c.isprintable() for c in text), text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server, status):
    with HostileServer() as other:
        server.target = other.url.replace("127.0.0.1", "localhost")
        with pytest.raises(UserError, match=f"redirects .status {status}, to .*final address") as e:
            ask(config(server, f"redirect/{status}"), "a")
        assert other.seen == []
    assert len(server.seen) == 1
    no_trace(str(e.value))


@pytest.mark.parametrize("path", [*(f"echo/{form}" for form in FORMS), "reason"])
def test_the_key_is_in_no_refusal(server, path):
    with pytest.raises(UserError, match=r"refuses the request: status 40[13] [(]") as e:
        ask(config(server, path), "a")
    assert KEY.encode() in server.seen[0]
    no_trace(str(e.value))


def test_the_key_is_in_no_file_and_on_no_terminal(server, tmp_path, capfd, monkeypatch):
    lines = [*(f"echo 500/{form}" for form in FORMS), "no http/", "said/", "good/", "good/"]
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(lines))
    monkeypatch.setattr("data_gen.chat.openai.GIVE_UP", 100)
    chat = config(server, cache=str(tmp_path / "out" / "cache"))
    given = SampleTextsConfig(prompts=str(prompts), writer=ReportWriterConfig("chat", chat=chat))
    done = sample_texts(given, make_writer(given.writer), tmp_path / "out")
    assert (done.made, done.failed) == (3, len(FORMS) + 1)
    texts = [json.loads(x) for x in (tmp_path / "out" / "texts.jsonl").read_text().splitlines()]
    assert {t["text"] for t in texts} == {
        "The key is [key].",
        "Clear lungs. \u00b5 \U0001fac1\nNo\teffusion.",
    }
    said = capfd.readouterr()
    written = [p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert any('"usage": {"prompt_tokens": 3}' in text for text in written)
    for text in (*said, *written):
        no_trace("".join(text.split()))


def test_a_short_placeholder_for_a_key_changes_no_text(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert ask(config(server), "said/")["said/"].text == "The key is EMPTY."


@pytest.mark.parametrize("key", ["two words", "line\nend", "pa\u00dfwort", "bell\x07"])
def test_a_key_that_is_none_is_refused_unseen(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="variable OPENAI_API_KEY holds blanks or") as e:
        ask(config(server), "good/")
    assert key not in str(e.value)
    assert server.seen == []


@pytest.mark.parametrize("length", [9, 10, 11, 24])
def test_every_form_of_a_key_is_found(length):
    key = "aB3/xY+z9_Q-k7Lm0PwR5tV1"[:length]
    secret = Secret(key)
    for form in FORMS.values():
        text = form(key).decode("latin-1")
        for before in ("", "x", "xy"):
            assert key[2:-2] not in secret.out_of_start(before + text)
    assert secret.out_of("no key in here") == "no key in here"


ENDLESS = ("silence", "dripping headers", "dripping body", "dripping events", "early hints")
LARGE = ("endless headers", "endless body", "endless chunks", "bomb")


def test_what_has_no_end_ends_in_time(server):
    start = time.monotonic()
    replies = ask(config(server, timeout=1.0), *ENDLESS)
    assert all("no whole answer within 1 s" in replies[how].error for how in ENDLESS)
    assert time.monotonic() - start < 30  # together; a limit per read would never end


def test_what_has_no_end_in_size_ends(server):
    replies = ask(config(server, max_bytes=100_000), *LARGE, "half", "good/")
    for how in ("endless body", "endless chunks"):
        assert "an answer of more than 100000 bytes" in replies[how].error
    assert "in 'gzip', which was not asked for" in replies["bomb"].error
    assert "no connection: " in replies["endless headers"].error
    assert "no connection: " in replies["half"].error
    assert replies["good/"].text.startswith("Clear lungs.")


def test_answers_that_are_no_text_are_failures_and_are_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr("data_gen.chat.openai.GIVE_UP", 100)
    given = config(server, cache=str(tmp_path))
    words = [f"body/{how}" for how in BODIES]
    for _ in range(2):
        replies = ask(given, *words, "good/")
        assert [w for w in words if not replies[w].error] == []
        assert replies["good/"].text
        for reply in replies.values():
            no_trace(reply.error)
    assert "half of a surrogate pair" in replies["body/surrogate"].error
    assert "an empty answer" in replies["body/blank"].error
    assert "control characters" in replies["body/c1"].error
    assert len(AnswerCache(tmp_path)) == 1
    assert len(server.seen) == 2 * len(words) + 1


def test_damaged_lines_of_the_cache_are_asked_for_again(server, tmp_path, caplog):
    given = config(server, cache=str(tmp_path))
    ask(given, "good/", "said/")
    path = tmp_path / "answers.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first, second = sorted(lines, key=lambda line: b"Clear" not in line)  # they came in any order
    bad = [
        first.replace(b"Clear", b"\\ud800"),
        first.replace(b'"cut": false', b'"cut": 3'),
        b"[" * 50_000 + b"\n",
        b"\xff\xfe\n",
        b"null\n",
        first[:50] + b"\n",
        b"\x00\n",
    ]
    path.write_bytes(b"".join(bad) + second + first[:30])
    chat = OpenAIChat(given)
    assert "7 lines hold no answer; they are asked for again" in caplog.text
    prompts = [Prompt(w, ({"role": "user", "content": w},)) for w in ("good/", "said/")]
    assert len(list(chat.answer(prompts))) == 2
    assert len(server.seen) == 3
    assert len(AnswerCache(tmp_path)) == 2


def test_a_pause_longer_than_the_patience_is_not_waited_for(server):
    pauses = []
    given = config(server, attempts=5, patience=100.0)
    replies = ask(given, "wait/30", "wait/1e9", "wait/inf", "wait/nan", sleep=pauses.append)
    assert "4 attempts (no more within patience=100 s)" in replies["wait/30"].error
    assert "1 attempt (no more within" in replies["wait/1e9"].error
    assert "1 attempt (no more within" in replies["wait/inf"].error
    assert "5 attempts, the last: status 429 (later)" in replies["wait/nan"].error
    assert sorted(pauses)[-3:] == [30.0] * 3
    assert len(pauses) == 3 + 4


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    given = dataclasses.replace(config(server), url="http://nowhere.invalid/by prompt")
    ask(dataclasses.replace(given), "good/")
    assert server.seen[0].startswith(b"POST http://nowhere.invalid/by%20prompt/chat/completions ")
    monkeypatch.setenv("HTTP_PROXY", "socks9://user:pass word@nowhere")
    with pytest.raises(UserError, match=r"cannot be asked .*HTTP_PROXY") as e:
        ask(given, "good/")
    assert "pass word" not in str(e.value)


@pytest.mark.parametrize("url", ["http://u:p@h/v1", "http://h/v1?key=p", "http://h/v1#p"])
def test_a_url_holds_no_key(url):
    with pytest.raises(ValueError, match="neither a name, a password nor a query"):
        ChatConfig(backend="openai", model="m", url=url)


@pytest.mark.parametrize(
    "url", ["http://h:99999999/v1", "http://", "https://[::1/v1", "http://\x00"]
)
def test_an_address_that_is_none(url):
    with pytest.raises(UserError, match=r"cannot be asked|prompts in a row failed"):
        ask(ChatConfig(backend="openai", model="m", url=url, attempts=1), *map(str, range(12)))


def test_what_is_no_plain_text():
    assert [flaw_of(t) != "" for t in ("", "a\udc80", "\x85", "a\x00", "a\r\nb", "\U0001f600")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
