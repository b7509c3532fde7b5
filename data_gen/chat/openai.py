"""Replies of a server with OpenAI's chat interface: the ``openai`` back end of
:mod:`data_gen.chat.base`.

Requests run side by side, a bounded number at a time. What may pass (429, 5xx, a time-out, a broken
connection, an answer that is no completion) is tried again after a pause that doubles; what will
not (a wrong key, an unknown model, a redirect) stops the run at once. Answers are kept on disk, so
that a run that was stopped, or is repeated, asks for nothing twice.
"""

import dataclasses
import json
import queue
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import anyio.from_thread

from data_gen.chat.base import ChatConfig, Prompt, Reply
from data_gen.chat.cache import AnswerCache, CachedAnswer, request_key
from data_gen.chat.server import PassingTroubleError, Server, flaw_of
from medvlp_jax.core.errors import UserError
from medvlp_jax.generation.text.sampling import row_key

#: Prompts in a row that may fail for good before the server is given up.
GIVE_UP = 10
#: Longest pause of our own between two attempts, in seconds.
LONGEST_PAUSE = 120.0
#: Characters of an answer per token that was allowed; more says that the limit was not heeded.
_CHARACTERS = 100


@dataclasses.dataclass(frozen=True)
class _Task:
    prompt_id: str
    body: dict[str, Any]
    key: str


#: A reply, and the same as it is kept (None after an error).
_Answer = tuple[Reply, CachedAnswer | None]


class OpenAIChat:
    """Asks ``{url}/chat/completions``."""

    def __init__(self, config: ChatConfig, sleep: Callable[[float], Any] | None = None) -> None:
        """``sleep`` waits between attempts; tests give their own."""
        self.config = config
        self._cache = AnswerCache(config.cache) if config.cache else None
        self._sleep = sleep

    @property
    def name(self) -> str:
        return f"openai:{self.config.model}"

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """See :class:`data_gen.chat.base.Chat`.

        Raises:
          UserError: the server refuses the request for good (its words are in the message), or
            :data:`GIVE_UP` prompts in a row failed.
        """
        c = self.config
        waiting = iter(prompts)
        outbox: queue.SimpleQueue[Future[_Answer]] = queue.SimpleQueue()
        running: dict[Future[_Answer], _Task] = {}
        failed = 0
        with (
            anyio.from_thread.start_blocking_portal() as portal,
            portal.wrap_async_context_manager(
                Server(c.url, c.key_variable, c.timeout, c.max_bytes)
            ) as server,
        ):
            try:
                while True:
                    while len(running) < c.concurrency:
                        prompt = next(waiting, None)
                        if prompt is None:
                            break
                        body = self._body(prompt)
                        task = _Task(prompt.id, body, request_key(body))
                        known = None if self._cache is None else self._cache.get(task.key)
                        if known is not None:
                            yield Reply(prompt.id, known.text, cut=known.cut)
                        else:
                            future = portal.start_task_soon(self._ask, server, task)
                            running[future] = task
                            future.add_done_callback(outbox.put)
                    if not running:
                        return
                    future = outbox.get()
                    task = running.pop(future)
                    reply, kept = future.result()
                    failed = failed + 1 if reply.error else 0
                    if kept is not None and self._cache is not None:
                        self._cache.put(task.key, kept)
                    yield reply
                    if failed >= GIVE_UP:
                        raise UserError(
                            f"{c.url}: {failed} prompts in a row failed, the last after "
                            f"{reply.error}. Look after the server; the same command goes on where "
                            "this one stopped"
                        )
            finally:
                for future in running:
                    future.cancel()

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

    async def _ask(self, server: Server, task: _Task) -> _Answer:
        """The attempts at one prompt, which last ``patience`` seconds at most."""
        c, name = self.config, task.prompt_id
        pauses = random.Random(name)
        left, trouble, made = c.patience, PassingTroubleError(""), 0
        while made < c.attempts and left > 0:
            if made:
                # Spread out, or all who were refused together would come back together.
                own = c.backoff * 2 ** (made - 1) * pauses.uniform(0.5, 1.5)
                pause = max(min(own, LONGEST_PAUSE), trouble.pause)
                left -= pause
                if left <= 0:
                    break
                await self._pause(pause)
            started, made = time.monotonic(), made + 1
            try:
                raw = await server.post("/chat/completions", task.body)
                kept = self._completion(server, raw)
                return Reply(name, kept.text, cut=kept.cut), kept
            except PassingTroubleError as error:
                trouble = error
            left -= time.monotonic() - started
        over = "" if made == c.attempts else f" (no more within patience={c.patience:g} s)"
        times = "1 attempt" if made == 1 else f"{made} attempts"
        return Reply(name, "", f"{times}{over}, the last: {trouble}"), None

    async def _pause(self, seconds: float) -> None:
        if self._sleep is None:
            await anyio.sleep(seconds)
        else:
            self._sleep(seconds)

    def _completion(self, server: Server, raw: bytes) -> CachedAnswer:
        """What an answer says.

        Raises:
          PassingTroubleError: it is no completion, or its text is empty or no plain text.
        """
        try:
            answer = json.loads(raw)
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError(f"content is {type(text).__name__}")
            cut = choice.get("finish_reason") == "length"
            usage = _usage(answer.get("usage"))
        except Exception as error:  # JSON of any depth and shape
            start = server.said(raw.decode(errors="replace"))[:80]
            raise PassingTroubleError(f"an answer that is no completion: {start!r}") from error
        text = server.secret.out_of_answer(text.strip())
        allowed = _CHARACTERS * self.config.max_new_tokens
        flaw = flaw_of(text)
        if len(text) > allowed:
            flaw = f"an answer of {len(text)} characters to max_tokens={self.config.max_new_tokens}"
        if flaw:
            raise PassingTroubleError(flaw)
        return CachedAnswer(text, cut, usage)


def _usage(said: Any) -> dict[str, int]:
    """The counts of tokens alone: a server may say anything there."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    given = said if isinstance(said, dict) else {}
    return {k: given[k] for k in names if type(given.get(k)) is int and 0 <= given[k] < 2**53}
