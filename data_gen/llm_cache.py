"""Answers of a server on disk, by the request that they answer."""

import hashlib
import json
import logging
import os
import pathlib
from typing import Any, NamedTuple

from data_gen.llm_server import flaw_of
from medvlp_jax.core.errors import UserError, one_net

_log = logging.getLogger(__name__)


class CachedAnswer(NamedTuple):
    """``text`` of the model; ``cut``: by the longest length; ``usage``: tokens, as counted there."""

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
        with one_net(path, mend):
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                os.truncate(path, len(whole))
        self._known: dict[str, CachedAnswer] = {}
        damaged = 0
        for line in whole.split(b"\n")[:-1]:
            try:
                with one_net(path, mend):
                    key, answer = _entry(json.loads(line))
                self._known[key] = answer
            except UserError:
                damaged += 1
        if damaged:
            _log.warning("%s: %d lines hold no answer and are asked for again", path, damaged)

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
            stream.write(json.dumps({"key": key, **answer._asdict()}) + "\n")


def _entry(line: dict[str, Any]) -> tuple[str, CachedAnswer]:
    key, text, cut = line["key"], line["text"], line["cut"]
    if not (isinstance(key, str) and isinstance(text, str) and isinstance(cut, bool)):
        raise TypeError("a value of another type")
    if flaw := flaw_of(text):
        raise ValueError(flaw)
    return key, CachedAnswer(text, cut, line.get("usage") or {})
