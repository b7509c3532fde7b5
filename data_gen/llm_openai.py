"""Replies of a server with OpenAI's chat interface: the ``openai`` back end of
:mod:`data_gen.llm_chat`.

Requests run side by side, a bounded number at a time. What may pass (429, 5xx, a time-out, a broken
connection, an answer that is no JSON) is tried again after a pause that doubles; what will not (a
wrong key, an unknown model) stops the run at once. Answers are kept on disk, so that a run that was
stopped, or is repeated, asks for nothing twice.
"""

import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import queue
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from data_gen.llm_chat import ChatConfig, Prompt, Reply
from medvlp_jax.core import jsonl
from medvlp_jax.core.errors import UserError
from medvlp_jax.generation.sampling import row_key

#: Statuses that a later attempt may not get.
PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
#: Prompts in a row that may fail for good before the server is given up.
GIVE_UP = 10
#: Longest pause between two attempts, in seconds, whatever the server asks for.
LONGEST_PAUSE = 120.0


class _PassingTroubleError(Exception):
    """An attempt failed in a way that may pass. ``pause``: seconds the server asked for, or 0."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclasses.dataclass(frozen=True)
class _Task:
    prompt_id: str
    body: dict[str, Any]
    key: str


#: A reply and what the server says about its cost.
_Answer = tuple[Reply, Any]


class OpenAIChat:
    """Asks ``{url}/chat/completions``."""

    def __init__(self, config: ChatConfig, sleep: Callable[[float], Any] | None = None) -> None:
        """``sleep`` waits between attempts; tests give their own."""
        self.config = config
        self._cache = AnswerCache(config.cache) if config.cache else None
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait

    @property
    def name(self) -> str:
        return f"openai:{self.config.model}"

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """See :class:`data_gen.llm_chat.Chat`.

        Raises:
          UserError: the server refuses the request for good (its words are in the message), or
            :data:`GIVE_UP` prompts in a row failed.
        """
        waiting = iter(prompts)
        inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        outbox: queue.SimpleQueue[tuple[_Task, _Answer | BaseException]] = queue.SimpleQueue()
        self._stopped.clear()
        # Threads of our own: those of a pool would be waited for at Ctrl-C, each until its
        # request is answered.
        for _ in range(self.config.concurrency):
            threading.Thread(target=self._work, args=(inbox, outbox), daemon=True).start()
        running = failed = 0
        try:
            while True:
                while running < self.config.concurrency:
                    prompt = next(waiting, None)
                    if prompt is None:
                        break
                    body = self._body(prompt)
                    task = _Task(prompt.id, body, _key(body))
                    known = None if self._cache is None else self._cache.get(task.key)
                    if known is not None:
                        yield Reply(prompt.id, known["text"], cut=known["cut"])
                    else:
                        inbox.put(task)
                        running += 1
                if not running:
                    return
                task, answer = outbox.get()
                running -= 1
                if isinstance(answer, BaseException):
                    raise answer
                reply, usage = answer
                failed = failed + 1 if reply.error else 0
                if not reply.error and self._cache is not None:
                    entry = {"text": reply.text, "cut": reply.cut, "usage": usage}
                    self._cache.put(task.key, entry)
                yield reply
                if failed >= GIVE_UP:
                    raise UserError(
                        f"{self.config.url}: {failed} prompts in a row failed, the last after "
                        f"{reply.error}. Look after the server; the same command goes on where "
                        "this one stopped"
                    )
        finally:
            self._stopped.set()  # ends the pauses of attempts that are under way
            for _ in range(self.config.concurrency):
                inbox.put(None)

    def _work(self, inbox: Any, outbox: Any) -> None:
        while (task := inbox.get()) is not None:
            if self._stopped.is_set():
                continue
            try:
                outbox.put((task, self._ask(task)))
            except BaseException as error:  # raised where the answers are taken
                outbox.put((task, error))

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        c = self.config
        body: dict[str, Any] = {
            "model": c.model,
            "messages": [dict(m) for m in prompt.messages],
            "temperature": c.temperature,
            "top_p": c.top_p,
            "max_tokens": c.max_new_tokens,
            # The same record gets the same draw from a server that honours it.
            "seed": int(row_key(c.seed, prompt.id)[0] >> 1),
        }
        if c.stop:
            body["stop"] = list(c.stop)
        if c.top_k:
            body["top_k"] = c.top_k
        if c.repetition_penalty != 1:
            body["repetition_penalty"] = c.repetition_penalty
        return body

    def _ask(self, task: _Task) -> _Answer:
        """The attempts at one prompt, in a thread."""
        name = task.prompt_id
        pauses = random.Random(name)
        reason = ""
        for attempt in range(self.config.attempts):
            if self._stopped.is_set():
                break
            try:
                text, cut, usage = self._attempt(task.body)
                return Reply(name, text, cut=cut), usage
            except _PassingTroubleError as trouble:
                reason = str(trouble)
                if attempt + 1 < self.config.attempts:
                    # Spread out, or all who were refused together would come back together.
                    pause = self.config.backoff * 2**attempt * pauses.uniform(0.5, 1.5)
                    self._sleep(min(max(pause, trouble.pause), LONGEST_PAUSE))
        return Reply(name, "", f"{self.config.attempts} attempts, the last: {reason}"), None

    def _attempt(self, body: dict[str, Any]) -> tuple[str, bool, Any]:
        c = self.config
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(c.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        url = c.url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=c.timeout) as response:
                raw = response.read()
        except urllib.error.HTTPError as error:
            self._refused(error)
        except TimeoutError as error:
            raise _PassingTroubleError(f"no answer within {c.timeout:g} s") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                raise _PassingTroubleError(f"no answer within {c.timeout:g} s") from error
            raise _PassingTroubleError(f"no connection: {reason!r}") from error
        try:
            answer = json.loads(raw)
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError(f"content is {type(text).__name__}")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            start = raw[:80].decode(errors="replace")
            raise _PassingTroubleError(f"an answer that is no completion: {start!r}") from error
        return text.strip(), choice.get("finish_reason") == "length", answer.get("usage")

    def _refused(self, error: urllib.error.HTTPError) -> None:
        with error:
            said = " ".join(error.read()[:300].decode(errors="replace").split())
        reason = f"status {error.code} ({said or error.reason})"
        if error.code in PASSING:
            raise _PassingTroubleError(reason, _retry_after(error.headers.get("Retry-After")))
        hint = {
            401: f"; put the key into the environment variable {self.config.key_variable}",
            403: f"; put the right key into the environment variable {self.config.key_variable}",
            404: "; check url (it ends in /v1) and model",
        }.get(error.code, "")
        raise UserError(f"{self.config.url} refuses the request: {reason}{hint}") from error


def _retry_after(value: str | None) -> float:
    try:
        return max(0.0, float(value or 0))
    except ValueError:  # a date, which our own pause will do for
        return 0.0


def _key(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Answers on disk by the request that they answer: one JSON line each, in one file."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Reads what is there; a last line that a kill cut short is left out and overwritten.

        Raises:
          UserError: the folder cannot be made.
        """
        path = pathlib.Path(folder) / "answers.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cache={folder} cannot be a folder: {error.strerror}") from error
        self._known: dict[str, dict[str, Any]] = {}
        for entry in jsonl.resumed(path, "delete the line: it is asked anew"):
            self._known[str(entry.pop("key", ""))] = entry
        self._path = path

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> dict[str, Any] | None:
        return self._known.get(key)

    def put(self, key: str, answer: dict[str, Any]) -> None:
        self._known[key] = answer
        with self._path.open("a") as stream:
            stream.write(jsonl.line({"key": key, **answer}))
