"""Reports that are checked against the entities they had to state, and written again if not."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_gen.entities.entity import Entity
from data_gen.entities.phantom import labels_of
from data_gen.reports.base import ReportRequest, ReportWriter, WrittenReport, items_of
from data_gen.reports.check import ReportChecker
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.record import Text


@dataclasses.dataclass(frozen=True)
class CheckedReport:
    """What came of a request.

    Attributes:
      id: of the request.
      report: the report that passed; None where none did.
      texts: its sections, each with the labels that it states.
      labels: of the study (:func:`data_gen.entities.phantom.labels_of`).
      attempts: how many reports were written.
      rejects: those that did not pass: ``attempt``, ``findings``, ``impression``, ``reasons``.
    """

    id: str
    report: WrittenReport | None
    texts: tuple[Text, ...]
    labels: dict[str, int]
    attempts: int
    rejects: tuple[dict[str, Any], ...] = ()


def request_for(id: str, entities: Sequence[Entity], view: str = "") -> ReportRequest:
    """The request for a report of ``entities``."""
    return ReportRequest(
        id,
        tuple(e.text for e in entities if e.positive),
        view,
        absent=tuple(e.text for e in entities if e.negative),
        anatomy=tuple(e.text for e in entities if e.is_anatomy),
        items=tuple(entities),
    )


def checked_reports(
    writer: ReportWriter,
    checker: ReportChecker,
    requests: Iterable[ReportRequest],
    attempts: int = 3,
    window: int = 256,
) -> Iterator[CheckedReport]:
    """Writes and checks reports; what fails is written again, told what was wrong.

    Args:
      writer, checker: the two sides.
      requests: with entities; their ids are distinct.
      attempts: most reports per request.
      window: requests that are with the writer at a time.

    Yields:
      One per request: within a window in the order of the requests.

    Raises:
      UserError: the writer cannot write at all.
    """
    if attempts < 1 or window < 1:
        raise UserError(f"attempts={attempts} and window={window} must be positive")
    queue = iter(requests)
    while some := list(itertools.islice(queue, window)):
        yield from _window(writer, checker, some, attempts)


def _window(
    writer: ReportWriter, checker: ReportChecker, requests: list[ReportRequest], attempts: int
) -> Iterator[CheckedReport]:
    items = {r.id: items_of(r) for r in requests}
    kept: dict[str, WrittenReport] = {}
    rejects: dict[str, list[dict[str, Any]]] = {r.id: [] for r in requests}
    todo = {r.id: r for r in requests}
    for attempt in range(attempts):
        if not todo:
            break
        for report in writer.write(list(todo.values())):
            faults = checker.check(report, items[report.id])
            if not faults:
                kept[report.id] = report
                continue
            rejects[report.id].append(
                {
                    "attempt": attempt,
                    "findings": report.findings,
                    "impression": report.impression,
                    "reasons": [f"{f.kind}: {f}" for f in faults],
                }
            )
            todo[report.id] = dataclasses.replace(
                todo[report.id],
                attempt=attempt + 1,
                feedback=tuple(str(f) for f in faults if f.kind != "error"),
            )
        todo = {name: r for name, r in todo.items() if name not in kept}
    for request in requests:
        labels = labels_of(items[request.id])
        report = kept.get(request.id)
        texts = () if report is None else _texts(report, checker, labels)
        tried = len(rejects[request.id]) + (report is not None)
        yield CheckedReport(request.id, report, texts, labels, tried, tuple(rejects[request.id]))


def _texts(
    report: WrittenReport, checker: ReportChecker, labels: Mapping[str, int]
) -> tuple[Text, ...]:
    return tuple(
        dataclasses.replace(t, labels=checker.stated_labels(t.text, labels)) for t in report.texts()
    )
