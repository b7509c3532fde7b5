"""Answers of a server on disk, by the request that they answer."""

import hashlib
import json
import logging
import os
import pathlib
from typing import Any, NamedTuple

from data_gen.chat.server import flaw_of
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl

_log = logging.getLogger(__name__)


class CachedAnswer(NamedTuple):
    """``text`` of the model; ``cut``: by the longest length; ``usage``: counts of tokens."""

    text: str
    cut: bool
    usage: dict[str, int]


def request_key(body: Any) -> str:
    """SHA-256 of a request; equal requests have equal keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """One JSON line each, in one file; a line that cannot be used is asked for again, and said."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Reads what is there; a last line that a kill cut short is left out and overwritten.

        Raises:
          UserError: the folder cannot be made, or its file cannot be read.
        """
        path = self._path = pathlib.Path(folder) / "answers.jsonl"
        mend = "give another folder as cache"
        with one_net(f"cache={folder}", mend, verb="cannot be a folder"):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, CachedAnswer] = {}
        if not path.exists():
            return
        with one_net(path, mend):
            _drop_half_line(path)
        records, broken = jsonl.tolerant(path)
        unusable = len(broken)
        for record in records:
            known = _entry(record)
            if known is None:
                unusable += 1
            else:
                self._known[known[0]] = known[1]
        if unusable:
            _log.warning("%s: %d lines hold no answer; they are asked for again", path, unusable)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> CachedAnswer | None:
        return self._known.get(key)

    def put(self, key: str, answer: CachedAnswer) -> None:
        """Keeps an answer, also on disk.

        Raises:
          UserError: the file cannot be written.
        """
        self._known[key] = answer
        with (
            one_net(self._path, "mend its permissions", verb="cannot be written"),
            self._path.open("a", encoding="ascii") as stream,
        ):
            stream.write(jsonl.line({"key": key, **answer._asdict()}))


def _drop_half_line(path: pathlib.Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _entry(line: dict[str, Any]) -> tuple[str, CachedAnswer] | None:
    key, text, cut, usage = (line.get(name) for name in ("key", "text", "cut", "usage"))
    if not isinstance(key, str) or not isinstance(text, str) or not isinstance(cut, bool):
        return None
    if flaw_of(text):
        return None
    return key, CachedAnswer(text, cut, usage if isinstance(usage, dict) else {})
