"""Samples a folder of texts from prompts, lists of findings or records: resumable, with progress.

The folder holds ``texts.jsonl`` (a line per finished text), ``failed.jsonl`` (what got none in the
last run, with the reason; the next run tries it again), ``settings.json`` and ``summary.json``.
"""

import collections
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from data_gen.chat.base import Prompt
from data_gen.jobs import sampling
from data_gen.jobs.job import Runner
from data_gen.jobs.on_ray import Needs
from data_gen.jobs.sampling import Line, input_lines
from data_gen.reports.base import ReportRequest, ReportWriter, ReportWriterConfig, request_of
from data_gen.reports.on_chat import ChatWriter
from data_gen.reports.registry import make_writer
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.fields import Count, Workers
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.dataset import open_dataset

SUMMARY = "summary.json"
#: Texts that a worker takes at a time, where there are several.
_PER_SHARD = 256


@dataclasses.dataclass(frozen=True)
class SampleTextsConfig:
    """What to sample.

    Attributes:
      prompts: a text file with one prompt a line, or a JSONL file with ``prompt`` and, if wanted,
        ``id``; the language model's answers are kept as they are.
      entities: a JSONL file instead with ``entities`` (a list of phrases) and, if wanted, ``id``
        and ``view``; a report is written of each.
      records: a data folder instead; a report is written of each record's findings.
      split: of the records.
      limit: at most so many; 0 takes all.
      writer: the back end.
      processes: 1 works in this process, on whatever device JAX has; 0 is one per CPU core.
      ray: what a worker takes of a Ray cluster, if the texts are made on one.
    """

    prompts: str = ""
    entities: str = ""
    records: str = ""
    split: str = "train"
    limit: Count = 0
    writer: ReportWriterConfig = dataclasses.field(default_factory=ReportWriterConfig)
    processes: Workers = 1
    ray: Needs = dataclasses.field(default_factory=Needs)

    def __post_init__(self) -> None:
        if [bool(self.prompts), bool(self.entities), bool(self.records)].count(True) != 1:
            raise ValueError("give prompts, entities or records, one of the three")
        if self.limit < 0:
            raise ValueError("limit must be at least 0")
        if self.prompts and self.writer.chat is None:
            raise ValueError("prompts need a language model: writer.backend='chat'")


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What :func:`sample_texts` did: texts made now, found from an earlier run, failed."""

    made: int
    found: int
    failed: int
    warnings: dict[str, int]

    def __str__(self) -> str:
        doubts = "".join(f"\n  {n} with {what}" for what, n in sorted(self.warnings.items()))
        return f"{self.made} texts made, {self.found} found, {self.failed} failed{doubts}"


class TextSampler:
    """Implements :class:`data_gen.jobs.sampling.Sampler`."""

    unit, lines, failures, per_shard = "texts", "texts.jsonl", "failed.jsonl", _PER_SHARD
    mend = "delete the line, and its text is made again"

    def __init__(self, config: SampleTextsConfig) -> None:
        self.config = config
        self._listed: Sequence[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_listed": None}

    def total(self) -> int:
        c = self.config
        if c.records:
            count = len(open_dataset(c.records, c.split))
            return min(count, c.limit or count)
        return len(self._list())

    def items(self, start: int, stop: int) -> Iterator[Any]:
        c = self.config
        if c.records:
            records = open_dataset(c.records, c.split)
            return (request_of(records[i]) for i in range(start, stop))
        return iter(self._list()[start:stop])

    def _list(self) -> Sequence[Any]:
        if self._listed is None:
            self._listed = _read(self.config)
        return self._listed

    def load(self) -> ReportWriter:
        return make_writer(self.config.writer)

    def settings(self, backend: ReportWriter) -> dict[str, Any]:
        return {
            "writer": backend.name,
            "kind": "prompts" if self.config.prompts else "reports",
            "fingerprint": backend.fingerprint,
        }

    def is_done(self, line: Line, item: Any, folder: pathlib.Path) -> bool:
        return True

    def check_line(self, line: Line) -> None:
        list(_kinds([line]))

    def sample(
        self, backend: ReportWriter, items: Iterator[Any], folder: pathlib.Path
    ) -> Iterator[Line]:
        if not self.config.prompts:
            for report in backend.write(items):
                line = dataclasses.asdict(report)
                yield {k: v for k, v in line.items() if v or k in ("id", "findings", "impression")}
            return
        assert isinstance(backend, ChatWriter)
        for reply in backend.chat.answer(items):
            line = {"id": reply.id, "text": reply.text, "source": backend.name}
            yield (
                line
                | ({"error": reply.error} if reply.error else {})
                | ({"warnings": ["cut short"]} if reply.cut else {})
            )

    def finish(self, folder: pathlib.Path, result: sampling.Sampled) -> None:
        told = json.dumps(dataclasses.asdict(_counted(result)), indent=1)
        replace(folder / SUMMARY, told)


def sample_texts(
    config: SampleTextsConfig,
    writer: ReportWriter | None,
    out: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> Sampled:
    """Makes the texts that ``out`` lacks.

    Args:
      config: what to sample.
      writer: the back end of ``config.writer``, if it is loaded.
      out: empty, or where the same command was interrupted.
      progress: a line on stderr, if that is a terminal.
      runner: where, instead of ``config.processes`` processes of this machine.

    Raises:
      UserError: see :func:`data_gen.jobs.sampling.sample`.
      KeyboardInterrupt: Ctrl-C; its message says how many texts are finished.
    """
    done = sampling.sample(TextSampler(config), out, writer, config.processes, progress, runner)
    return _counted(done)


def _counted(done: sampling.Sampled) -> Sampled:
    warnings = collections.Counter(_kinds(done.lines.values()))
    return Sampled(done.made, done.found, done.failed, dict(warnings))


def _read(config: SampleTextsConfig) -> list[Any]:
    """All prompts or requests of a file."""
    path = pathlib.Path(config.prompts or config.entities)
    read = _read_prompts if config.prompts else _read_entities
    items = list(itertools.islice(read(path), config.limit or None))
    if not items:
        raise UserError(f"{path} holds nothing to write about")
    twice = [name for name, n in collections.Counter(i.id for i in items).items() if n > 1]
    if twice:
        raise UserError(f"{path}: the id {twice[0]!r} occurs twice; make ids unique")
    return items


def _read_prompts(path: pathlib.Path) -> Iterator[Prompt]:
    for number, line in input_lines(path):
        if path.suffix == ".jsonl":
            with _line(path, number):
                given = _object(line, "prompt")
                text, name = _text(given, "prompt", ""), _text(given, "id", f"{number:06d}")
        else:
            text, name = line.strip(), f"{number:06d}"
        yield Prompt(name, ({"role": "user", "content": text},))


def _read_entities(path: pathlib.Path) -> Iterator[ReportRequest]:
    for number, line in input_lines(path):
        with _line(path, number):
            given = _object(line, "entities")
            listed = given["entities"]
            if not isinstance(listed, list) or not all(isinstance(e, str) for e in listed):
                raise TypeError("'entities' must be a list of phrases")
            request = ReportRequest(
                _text(given, "id", f"{number:06d}"),
                tuple(_whole(e) for e in listed),
                _text(given, "view", ""),
            )
        yield request


def _line(path: pathlib.Path, number: int) -> AbstractContextManager[None]:
    return one_net(f"{path}, line {number}", "mend the line, a JSON object", verb="cannot be used")


def _object(line: str, key: str) -> dict[str, Any]:
    given = json.loads(line)
    if not isinstance(given, dict) or key not in given:
        raise TypeError(f"a JSON object with {key!r} is needed")
    return given


def _text(given: dict[str, Any], key: str, default: str) -> str:
    value = given.get(key, default)
    if key == "id" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{key!r} must be a text")
    return _whole(value)


def _whole(text: str) -> str:
    text.encode()  # half of a surrogate pair is no text, and cannot be written to a file
    return text


def _kinds(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        for warning in line.get("warnings", ()):
            yield warning.partition(":")[0]
