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
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import tqdm

from data_gen.chat.base import Prompt
from data_gen.reports.base import ReportRequest, ReportWriter, ReportWriterConfig, request_of
from data_gen.reports.on_chat import ChatWriter
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.fields import Count
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.store.dataset import open_dataset

LINES, FAILED, SETTINGS, SUMMARY = "texts.jsonl", "failed.jsonl", "settings.json", "summary.json"


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
    """

    prompts: str = ""
    entities: str = ""
    records: str = ""
    split: str = "train"
    limit: Count = 0
    writer: ReportWriterConfig = dataclasses.field(default_factory=ReportWriterConfig)

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


def sample_texts(
    config: SampleTextsConfig,
    writer: ReportWriter,
    out: str | os.PathLike[str],
    progress: bool = True,
) -> Sampled:
    """Makes the texts that ``out`` lacks.

    Args:
      config: what to sample.
      writer: the back end of ``config.writer``, loaded.
      out: empty, or where the same command was interrupted.
      progress: a line on stderr, if that is a terminal.

    Raises:
      UserError: the input cannot be read, ``out`` holds texts of other settings, or the back end
        cannot answer at all.
      KeyboardInterrupt: Ctrl-C; its message says how many texts are finished.
    """
    total, source = _source(config)
    with workdir_lock(out, "sampling texts") as folder:
        _check_settings(folder, config, writer)
        lines = _read_lines(folder / LINES)
        warnings = collections.Counter(_kinds(lines.values()))
        done = set(lines)
        found = failed = made = 0
        skipped: list[int] = [0]

        def missing() -> Iterator[Any]:
            for item in source():
                if item.id in done:
                    skipped[0] += 1
                    bar.update()
                else:
                    done.add(item.id)
                    yield item

        bar = tqdm.tqdm(
            total=total,
            unit=" texts",
            desc=writer.name,
            disable=None if progress else True,
            dynamic_ncols=True,
        )
        with (
            bar,
            (folder / LINES).open("a", encoding="utf-8") as stream,
            (folder / FAILED).open("w", encoding="utf-8") as failures,
        ):
            try:
                for line in _write(config, writer, missing()):
                    bar.update()
                    if line.get("error"):
                        failed += 1
                        _append(failures, line)
                        continue
                    made += 1
                    warnings.update(_kinds([line]))
                    _append(stream, line)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"stopped: {len(lines) + made} of {total} texts are finished in {folder}; the "
                    "same command makes the others"
                ) from None
        found = skipped[0]
        result = Sampled(made, found, failed, dict(warnings))
        _replace(folder / SUMMARY, json.dumps(dataclasses.asdict(result), indent=1))
    return result


def _write(
    config: SampleTextsConfig, writer: ReportWriter, items: Iterator[Any]
) -> Iterator[dict[str, Any]]:
    if not config.prompts:
        for report in writer.write(items):
            line = dataclasses.asdict(report)
            yield {k: v for k, v in line.items() if v or k in ("id", "findings", "impression")}
        return
    assert isinstance(writer, ChatWriter)
    for reply in writer.chat.answer(items):
        line = {"id": reply.id, "text": reply.text, "source": writer.name}
        yield (
            line
            | ({"error": reply.error} if reply.error else {})
            | ({"warnings": ["cut short"]} if reply.cut else {})
        )


def _source(config: SampleTextsConfig) -> tuple[int, Callable[[], Iterator[Any]]]:
    """How many there are, and an iterator over prompts or requests that is made anew each time."""
    if config.records:
        records = open_dataset(config.records, config.split)
        count = min(len(records), config.limit or len(records))
        return count, lambda: (request_of(records[i]) for i in range(count))
    path = pathlib.Path(config.prompts or config.entities)
    read = _read_prompts if config.prompts else _read_entities
    items = list(itertools.islice(read(path), config.limit or None))
    if not items:
        raise UserError(f"{path} holds nothing to write about")
    twice = [name for name, n in collections.Counter(i.id for i in items).items() if n > 1]
    if twice:
        raise UserError(f"{path}: the id {twice[0]!r} occurs twice; make ids unique")
    return len(items), lambda: iter(items)


def _read_prompts(path: pathlib.Path) -> Iterator[Prompt]:
    for number, line in _lines_of(path):
        if path.suffix == ".jsonl":
            with _line(path, number):
                given = _object(line, "prompt")
                text, name = _text(given, "prompt", ""), _text(given, "id", f"{number:06d}")
        else:
            text, name = line.strip(), f"{number:06d}"
        yield Prompt(name, ({"role": "user", "content": text},))


def _read_entities(path: pathlib.Path) -> Iterator[ReportRequest]:
    for number, line in _lines_of(path):
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


def _lines_of(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    lines = jsonl.text_lines(path)
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


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


def _check_settings(folder: pathlib.Path, config: SampleTextsConfig, writer: ReportWriter) -> None:
    """A folder is of one back end with one set of settings; more inputs may be added to it."""
    settings = {
        "writer": writer.name,
        "kind": "prompts" if config.prompts else "reports",
        "fingerprint": writer.fingerprint,
    }
    path = folder / SETTINGS
    if not path.exists():
        _replace(path, json.dumps(settings, indent=1))
        return
    with one_net(path, "choose another folder, or delete this one"):
        before = json.loads(path.read_text(encoding="utf-8"))
        known = before["writer"]
    if before != settings:
        raise UserError(
            f"{folder} holds texts of {known} with other settings than these of {writer.name}: "
            "choose another folder, or delete it"
        )


def _read_lines(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The finished texts by id; a last line that a kill cut short is taken out of the file."""
    lines = jsonl.resumed(path, "delete the line, and its text is made again")
    with one_net(path, "choose another folder, or delete this one"):
        list(_kinds(lines))
        return {line["id"]: line for line in lines}


def _kinds(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        for warning in line.get("warnings", ()):
            yield warning.partition(":")[0]


def _append(stream: Any, line: dict[str, Any]) -> None:
    stream.write(jsonl.line(line))
    stream.flush()


def _replace(path: pathlib.Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
