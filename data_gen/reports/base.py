"""Reports from lists of findings: the protocol of what writes them, and its settings."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

from data_gen.chat.base import ChatConfig
from data_gen.entities.entity import Entity
from data_gen.phantom.base import Study
from data_gen.phantom.records import GENERATOR
from data_gen.phantom.registry import DEFAULT, PHANTOMS, find_phantom
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Seed
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
      backend: ``grammar``, which needs no weights and says nothing that is not so: of a phantom's
        study it writes with the phantom's own grammar, of entities with that of
        :mod:`data_gen.entities.writer`; or ``chat``, a language model that is asked for a report,
        and whose answer is cut into sections.
      seed: of the grammar's choices.
      chat: the language model.
      impression: of the grammar's reports of entities: ``summary`` sums up what is present, ``all``
        names every entity again.
      system: what it is told to be; empty for the modality's own words.
      example: show it one report first, which small models need to keep to the form.
      modality: what the reports are of, a key of :data:`data_gen.phantom.registry.PHANTOMS`.
    """

    backend: Literal["grammar", "chat"] = "grammar"
    seed: Seed = 0
    chat: ChatConfig | None = None
    impression: Literal["summary", "all"] = "summary"
    system: str = ""
    example: bool = True
    modality: str = DEFAULT

    def __post_init__(self) -> None:
        find_phantom(self.modality)
        if (self.backend == "chat") != (self.chat is not None):
            raise ValueError("backend='chat' needs the group chat, and 'grammar' has none")


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
    if record.provenance.get("generator") == GENERATOR:
        phrases = tuple(str(f["phrase"]) for f in findings)
        phantom = find_phantom(record.provenance.get("modality", DEFAULT))
        return ReportRequest(record.id, phrases, view, phantom.restore(record.provenance))
    nothing = {phantom.no_finding for phantom in PHANTOMS.values()}
    present = tuple(k for k, v in record.labels.items() if v == 1 and k not in nothing)
    if not record.labels:
        raise UserError(
            f"record {record.id!r} has no labels: there is nothing to write a report about"
        )
    return ReportRequest(record.id, present, view)
