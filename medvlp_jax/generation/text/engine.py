"""Continuous batching: a queue of prompts in, finished texts out, no row left idle in between."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from medvlp_jax.core.errors import UserError
from medvlp_jax.generation.text.decoding import (
    GenerationConfig,
    Programs,
    Prompts,
    State,
    empty_state,
)
from medvlp_jax.generation.text.sampling import row_key
from medvlp_jax.models.lm.config import LMConfig

Decode = Callable[[Sequence[int]], str]
#: Prompts are padded to one of these lengths (or to the capacity), each of which is a program.
BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclasses.dataclass(frozen=True)
class Request:
    """A prompt.

    Attributes:
      id: of the record; it decides about the random numbers, so that a record gets the same text
        in any batch, on any mesh and in any order (up to ties within rounding).
      prompt: token ids, at least one.
      max_new_tokens: 0 for the config's.
    """

    id: str
    prompt: Sequence[int]
    max_new_tokens: int = 0


@dataclasses.dataclass(frozen=True)
class Completion:
    """A finished text.

    Attributes:
      tokens: without the end token; those of a stop string may be among them.
      text: without the stop string; empty if the generator was given no ``decode``.
      reason: ``end`` token, ``stop`` string, or ``length``.
    """

    id: str
    tokens: list[int]
    text: str
    reason: Literal["end", "stop", "length"]


class Generator:
    """Generates with one model. Programs are compiled when a shape is first met.

    Attributes:
      steps, tokens: decoding steps done and tokens delivered so far; ``tokens / (steps * rows)``
        is how busy the rows were.
    """

    def __init__(
        self,
        lm: LMConfig,
        params: Any,
        config: GenerationConfig,
        mesh: Mesh,
        *,
        decode: Decode | None = None,
    ) -> None:
        """Sets up the programs; nothing is compiled yet.

        Args:
          lm: the model.
          params: its arrays, on ``mesh``.
          config: sizes; see :class:`GenerationConfig`.
          mesh: rows are split over its batch axes, heads over its tensor axis.
          decode: ids to text; stop strings need it.

        Raises:
          UserError: stop strings without ``decode``.
          ValueError: the mesh does not divide the rows.
        """
        if config.stop and decode is None:
            raise UserError("stop strings need the tokenizer: give decode=")
        self.config = config
        self.steps = self.tokens = 0
        self._vocab = lm.vocab
        self._params = params
        self._decode = decode
        self._programs = Programs(lm, config, mesh)

    def all(self, requests: Iterable[Request]) -> dict[str, Completion]:
        """Every completion by its id."""
        return {done.id: done for done in self(requests)}

    def __call__(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yields completions as they are finished, which is not the order of the requests.

        Requests are taken from the iterator only as rows become free. On several processes each
        must give the same requests, and gets all completions.

        Raises:
          UserError: a prompt that is empty, too long for the capacity, or has ids that the model
            does not know; the message names the request.
        """
        rows = self.config.rows
        queue = iter(requests)
        state = empty_state(self._programs.abstract)
        running: dict[int, Request] = {}
        stopped = np.zeros(rows, bool)
        while True:
            free = [row for row in range(rows) if row not in running]
            taken = [self._checked(r) for r in itertools.islice(queue, len(free))]
            for bucket, group in _by_bucket(taken, self.config.capacity).items():
                into, free = free[: len(group)], free[len(group) :]
                running.update(zip(into, group, strict=True))
                stopped[into] = False
                prompts = self._prompts(group, into, bucket)
                state, _ = self._programs.admit(self._params, state, prompts)
            if not running:
                return
            # A row that becomes free is refilled at once, unless the queue has run dry.
            until = rows if free else rows - len(running) + 1
            state, steps = self._programs.advance(self._params, state, stopped, np.int32(until))
            self.steps += int(steps)
            for row, completion in self._finished(state, running):
                del running[row]
                stopped[row] = True
                self.tokens += len(completion.tokens)
                yield completion

    def _checked(self, request: Request) -> Request:
        c = self.config
        new = request.max_new_tokens or c.max_new_tokens
        length = len(request.prompt)
        if not length:
            raise UserError(f"request {request.id!r} has an empty prompt")
        if new > c.max_new_tokens:
            raise UserError(
                f"request {request.id!r} asks for {new} tokens; max_new_tokens is "
                f"{c.max_new_tokens}"
            )
        if length + new > c.capacity:
            raise UserError(
                f"request {request.id!r}: {length} tokens of prompt and {new} of text exceed "
                f"capacity={c.capacity}; shorten the prompt or raise the capacity"
            )
        if not 0 <= min(request.prompt) <= max(request.prompt) < self._vocab:
            raise UserError(
                f"request {request.id!r} has token ids outside 0..{self._vocab - 1}: the tokenizer "
                "is not the model's"
            )
        return dataclasses.replace(request, max_new_tokens=new)

    def _prompts(self, group: Sequence[Request], rows: Sequence[int], bucket: int) -> Prompts:
        # A power of two keeps the number of programs small; the surplus goes nowhere.
        size = 1 << (len(group) - 1).bit_length()
        ids = np.zeros((size, bucket), np.int32)
        lengths, limits = np.ones(size, np.int32), np.ones(size, np.int32)
        into = np.full(size, self.config.rows, np.int32)
        keys = np.zeros((size, 2), np.uint32)
        for i, (request, row) in enumerate(zip(group, rows, strict=True)):
            lengths[i] = len(request.prompt)
            ids[i, : lengths[i]] = request.prompt
            into[i] = row
            limits[i] = request.max_new_tokens
            keys[i] = row_key(self.config.sampling.seed, request.id)
        # numpy arrays, which jit takes where it takes others
        parts: Any = (ids, lengths, into, limits, keys)
        return Prompts(*parts)

    def _finished(
        self, state: State, running: Mapping[int, Request]
    ) -> list[tuple[int, Completion]]:
        tokens, count, done, last = jax.device_get(
            (state.tokens, state.count, state.done, state.last)
        )
        found: list[tuple[int, Completion]] = []
        for row, request in running.items():
            text = tokens[row, : count[row]].tolist()
            stop = self._stop(text)
            if stop is not None:
                found.append((row, Completion(request.id, *stop, "stop")))
            elif done[row]:
                decoded = self._decode(text) if self._decode is not None else ""
                reason = "end" if last[row] in self.config.end_ids else "length"
                found.append((row, Completion(request.id, text, decoded, reason)))
        return found

    def _stop(self, tokens: list[int]) -> tuple[list[int], str] | None:
        """The text up to the first stop string and the tokens up to its end, if there is one."""
        if not self.config.stop or self._decode is None:
            return None
        if _before(self._decode(tokens), self.config.stop) is None:
            return None
        # From the front, so that the result does not depend on how far the row has run on.
        for end in range(1, len(tokens) + 1):
            text = _before(self._decode(tokens[:end]), self.config.stop)
            if text is not None:
                return tokens[:end], text
        return None


def _before(text: str, stops: Sequence[str]) -> str | None:
    """What stands before the first of ``stops``, None if there is none of them."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


def _by_bucket(requests: Sequence[Request], capacity: int) -> dict[int, list[Request]]:
    """Requests by the length that their prompts are padded to, which is their own affair."""
    groups: dict[int, list[Request]] = {}
    for request in requests:
        length = len(request.prompt)
        bucket = min(next((b for b in BUCKETS if b >= length), capacity), capacity)
        groups.setdefault(bucket, []).append(request)
    return groups
