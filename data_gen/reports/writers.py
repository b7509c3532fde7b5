"""Reports from lists of findings: one protocol, a grammar or any language model behind it.

- ``grammar``: no weights, and nothing that is not so. Of a phantom study it writes with the
  phantom's own grammar, of entities with that of :mod:`data_gen.entities.writer`.
- the back ends of :mod:`data_gen.chat.base`: a language model is asked for a report, and its answer
  is cut into sections.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import medvlp_jax
from data_gen.chat.base import Chat, ChatConfig, Message, Prompt, make_chat
from data_gen.entities.entity import Entity
from data_gen.phantom.chest_xray.findings import Finding, Study
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Seed
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Record, Text


@dataclasses.dataclass(frozen=True)
class ReportRequest:
    """One report to be written.

    Attributes:
      id: of the record; it decides about the random numbers.
      entities: what is there, in words ("moderate left pleural effusion"); none is a normal study.
      view: "PA", "AP", ... where it is known.
      study: the structured truth of a phantom, from which the grammar writes in detail.
      absent: what the report has to deny, in words without the negation.
      anatomy: places that the report has to name.
      items: all of these as entities, where the request was drawn from a bank.
      feedback: what was wrong with the reports written so far; empty for the first.
      attempt: 0 for the first; another attempt has other random numbers.
    """

    id: str
    entities: tuple[str, ...] = ()
    view: str = ""
    study: Study | None = None
    absent: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    items: tuple[Entity, ...] = ()
    feedback: tuple[str, ...] = ()
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """What came of a request.

    Attributes:
      findings, impression: the sections; a text without headings is all findings.
      raw: the answer as it came.
      error: why there is none; one line. The other texts are empty then.
      warnings: what is doubtful about it: ``no headings``, ``cut short``, ``repeats itself``,
        ``not mentioned: ...``.
    """

    id: str
    findings: str
    impression: str
    source: str
    raw: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()

    def texts(self) -> tuple[Text, ...]:
        """As they stand in a record."""
        sections = (("findings", self.findings), ("impression", self.impression))
        return tuple(Text(text, name, self.source) for name, text in sections if text)


class ReportWriter(Protocol):
    """What writes reports.

    Attributes:
      name: for the record's provenance.
      fingerprint: equal for equal reports on equal requests.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def write(self, requests: Iterable[ReportRequest]) -> Iterator[WrittenReport]:
        """One report per request, in the order in which they are finished.

        Raises:
          UserError: nothing can be written at all; the message says what to do.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ReportWriterConfig:
    """Which writer, and its settings.

    Attributes:
      backend: ``grammar``, or ``chat`` for a language model.
      seed: of the grammar's choices.
      chat: the language model.
      impression: of the grammar's reports of entities: ``summary`` sums up what is present, ``all``
        names every entity again.
      system: what it is told to be; empty for :data:`SYSTEM`.
      example: show it one report first, which small models need to keep to the form.
    """

    backend: Literal["grammar", "chat"] = "grammar"
    seed: Seed = 0
    chat: ChatConfig | None = None
    impression: Literal["summary", "all"] = "summary"
    system: str = ""
    example: bool = True

    def __post_init__(self) -> None:
        if (self.backend == "chat") != (self.chat is not None):
            raise ValueError("backend='chat' needs the group chat, and 'grammar' has none")


def make_writer(config: ReportWriterConfig) -> ReportWriter:
    """The writer of a config, loaded.

    Raises:
      UserError: its model cannot be loaded.
    """
    if config.chat is None:
        return GrammarWriter(config.seed, config.impression == "all")
    return ChatWriter(make_chat(config.chat), config.system or SYSTEM, config.example)


class GrammarWriter:
    """Reports by grammar: of a phantom study, or of entities."""

    def __init__(self, seed: int = 0, repeat_all: bool = False) -> None:
        """``repeat_all``: the IMPRESSION of a report of entities names all of them."""
        self.seed, self.repeat_all = seed, repeat_all

    @property
    def name(self) -> str:
        return "grammar"

    @property
    def fingerprint(self) -> str:
        settings = {"backend": "grammar", "seed": self.seed}
        if self.repeat_all:
            settings["repeat_all"] = True
        return fingerprint(medvlp_jax.__version__, settings)

    def write(self, requests: Iterable[ReportRequest]) -> Iterator[WrittenReport]:
        """See :class:`ReportWriter`."""
        from data_gen.entities.writer import write_entities
        from data_gen.phantom.chest_xray.words.report import write_report

        for request in requests:
            if request.study is not None:
                report = write_report(request.study, self.seed, request.study.index)
            else:
                key = f"{self.seed} {request.id} {request.attempt}"
                report = write_entities(items_of(request), key, repeat_all=self.repeat_all)
            yield WrittenReport(request.id, report.findings, report.impression, self.name)


SYSTEM = (
    "You are a radiologist. You are given what was found on a chest X-ray and write the report of "
    "it. Write two sections, FINDINGS and IMPRESSION. State every finding that is listed, with its "
    "side and severity. Describe the other organs as normal. Never add a disease, a device or a "
    "comparison with an earlier study that is not listed. Write nothing but the report."
)
_EXAMPLE_ENTITIES = ("small right pleural effusion", "mild cardiomegaly")
_EXAMPLE_REPORT = (
    "FINDINGS: The heart is mildly enlarged. There is a small right pleural effusion. The left "
    "lung is clear. No pneumothorax. The mediastinal contours are normal. The bones are intact.\n"
    "IMPRESSION: Small right pleural effusion. Mild cardiomegaly."
)


def report_messages(
    request: ReportRequest, system: str = SYSTEM, example: bool = True
) -> tuple[Message, ...]:
    """The conversation that asks for a report."""
    shown = [
        {"role": "user", "content": _question(_EXAMPLE_ENTITIES, "PA")},
        {"role": "assistant", "content": _EXAMPLE_REPORT},
    ]
    return (
        {"role": "system", "content": system},
        *(shown if example else []),
        {
            "role": "user",
            "content": _question(
                request.entities, request.view, request.absent, request.anatomy, request.feedback
            ),
        },
    )


def _question(
    entities: tuple[str, ...],
    view: str,
    absent: tuple[str, ...] = (),
    anatomy: tuple[str, ...] = (),
    feedback: tuple[str, ...] = (),
) -> str:
    what = f"{view} chest X-ray" if view else "Chest X-ray"
    lines = [f"{what}. Found:", *(f"- {entity}" for entity in entities or ("no abnormality",))]
    if absent:
        lines += ["Not there, and to be said so:", *(f"- {thing}" for thing in absent)]
    if anatomy:
        lines += [
            "Places to be named; tie what was found to them where that makes sense, and call them "
            "normal where it does not:",
            *(f"- {place}" for place in anatomy),
        ]
    if absent or anatomy:
        lines.append(
            "Use every item once in FINDINGS, with its own words, and name no other finding. Sum "
            "up in IMPRESSION what was found."
        )
    if feedback:
        lines += ["An earlier report of this was wrong. Mend this:", *(f"- {f}" for f in feedback)]
    return "\n".join([*lines, "Write the report."])


class ChatWriter:
    """A language model that is asked for reports."""

    def __init__(self, chat: Chat, system: str = SYSTEM, example: bool = True) -> None:
        self.chat = chat
        self._system, self._example = system, example

    @property
    def name(self) -> str:
        return f"llm:{self.chat.name}"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.chat.fingerprint, self._system, self._example, _EXAMPLE_REPORT)

    def write(self, requests: Iterable[ReportRequest]) -> Iterator[WrittenReport]:
        """See :class:`ReportWriter`."""
        asked: dict[str, ReportRequest] = {}

        def prompts() -> Iterator[Prompt]:
            for request in requests:
                # Another id is another answer: the random numbers come from it.
                name = f"{request.id}#{request.attempt}" if request.attempt else request.id
                asked[name] = request
                yield Prompt(name, report_messages(request, self._system, self._example))

        for reply in self.chat.answer(prompts()):
            request = asked.pop(reply.id)
            if reply.error:
                yield WrittenReport(request.id, "", "", self.name, error=reply.error)
            else:
                yield read_report(request, reply.text, self.name, cut=reply.cut)


_HEADING = re.compile(r"\b(findings?|impressions?|conclusions?)\b[*_ \t]*:[*_ \t]*", re.I)
#: What may stand before a heading.
_MARKS = "*#_ \t"


def read_report(request: ReportRequest, text: str, source: str, cut: bool = False) -> WrittenReport:
    """Cuts an answer into its sections and notes what is doubtful about it.

    Markdown marks around headings are dropped. An entity counts as mentioned where all its words of
    five letters or more occur (severity words change in prose, organs and diseases do not).
    """
    parts = {"findings": "", "impression": ""}
    headings = list(_HEADING.finditer(text))
    for i, heading in enumerate(headings):
        last = i + 1 == len(headings)
        section = text[heading.end() : None if last else headings[i + 1].start()]
        section = section if last else section.rstrip(_MARKS)
        name = "findings" if heading[1].lower().startswith("f") else "impression"
        parts[name] = parts[name] or _tidy(section)
    warnings = []
    if not any(parts.values()):
        parts["findings"] = _tidy(text)
        warnings.append("no headings")
    if cut:
        warnings.append("cut short")
    sentences = collections.Counter(s.strip() for s in text.split(".") if s.strip())
    if max(sentences.values(), default=0) > _REPEATS:
        warnings.append("repeats itself")
    said = text.lower()
    missing = [e for e in request.entities if not _mentioned(e, said)]
    if missing:
        warnings.append("not mentioned: " + ", ".join(missing))
    if not parts["findings"] and not parts["impression"]:
        return WrittenReport(request.id, "", "", source, text, "an empty answer")
    return WrittenReport(
        request.id, parts["findings"], parts["impression"], source, text, "", tuple(warnings)
    )


def _tidy(text: str) -> str:
    return " ".join(text.replace("**", "").split())


#: How often a report may use the same sentence.
_REPEATS = 2
_SEVERITY = {"small", "large", "minimal", "moderate", "severe", "marked", "slight", "trace"}


def _mentioned(entity: str, said: str) -> bool:
    words = [w for w in re.findall(r"[a-z]{5,}", entity.lower()) if w not in _SEVERITY]
    return all(word[:6] in said for word in words)


def items_of(request: ReportRequest) -> tuple[Entity, ...]:
    """The entities of a request; read from its words where it has none."""
    from data_gen.entities.bank import entity

    if request.items:
        return request.items
    return (
        *(entity(text, "ABNORMALITY") for text in request.entities),
        *(entity(text, "NON-ABNORMALITY") for text in request.absent),
        *(entity(text, "ANATOMY") for text in request.anatomy),
    )


def request_of(record: Record) -> ReportRequest:
    """A request from a record: its entities are the phantom's phrases, or the positive labels.

    Raises:
      UserError: the record says nothing about what is there.
    """
    view = record.images[0].view if record.images else ""
    findings: list[dict[str, Any]] = record.provenance.get("findings", [])
    if record.provenance.get("generator") == "phantom":
        phrases = tuple(str(f["phrase"]) for f in findings)
        return ReportRequest(record.id, phrases, view, _study_of(record))
    present = tuple(k for k, v in record.labels.items() if v == 1 and k != "no finding")
    if not record.labels:
        raise UserError(
            f"record {record.id!r} has no labels: there is nothing to write a report about"
        )
    return ReportRequest(record.id, present, view)


def _study_of(record: Record) -> Study:
    """The phantom study that a record was made from."""
    from data_gen.phantom.chest_xray.sample import sample_study

    p = record.provenance
    found = tuple(
        Finding(f["name"], f["side"], f["zone"], f["severity"], f["attributes"])
        for f in p["findings"]
    )
    # The mix of a data set decides about the findings alone, which the record keeps.
    return dataclasses.replace(sample_study(p["seed"], p["index"]), findings=found)
