"""Entities drawn for 200,000 studies, and reports written and checked per second, on one core."""

import statistics
import time

from benchmarks.harness import Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, rate_row
from benchmarks.settings import Settings
from data_gen.entities.bank import EntityBank, default_bank
from data_gen.entities.entity import NON_ANATOMY, Entity
from data_gen.entities.extract import default_extractor
from data_gen.entities.sampler import SamplerConfig, plan
from data_gen.reports.base import items_of
from data_gen.reports.check import ReportChecker
from data_gen.reports.checked import request_for
from data_gen.reports.grammar import GrammarWriter

TARGET = Target(60, at_most=True, unit=" s")
_STUDIES = 200_000
#: The bank of SynCXR in size: places, and entities of the other types. A bank of 150,000 could not
#: serve: 200,000 x 12 draws, none above 15, need 160,000.
_PLACES, _THINGS = 40_517, 136_532
_REPORTS = 500


def run(settings: Settings, tell: Tell) -> list[Row]:
    """The draw, which has the target; then writing, extraction and checks."""
    rounds = 2 if settings.quick else 4
    with Worker(Side("reports", f"{__name__}:OurReports", {}), 1, keep_memory=False) as worker:
        seconds = in_turn([lambda: worker.call("draw", count=_STUDIES)], 2, tell)[0]
        rates = in_turn(
            [lambda m=m: 1.0 / worker.call(m) for m in ("write", "extract", "check")], rounds, tell
        )
    middle = statistics.median(seconds)
    rows = [
        Row(
            f"{_STUDIES:,} x (9 + 3) entities, cap 15, bank of 177,049",
            f"{middle:.1f} s, {_STUDIES / middle:,.0f} reports/s",
            middle,
            target=TARGET,
            note="one core, with the rules of contradiction and anatomy",
            raw={"unit": "s", "ours": seconds},
        )
    ]
    for what, values in zip(
        ("reports written from entities", "reports read by the lexicon", "reports checked"),
        rates,
        strict=True,
    ):
        rows.append(rate_row(what, values, "reports/s"))
    return rows


def large_bank() -> EntityBank:
    """177,049 entities of the shipped bank's concepts, so that every rule has work to do."""
    shipped = default_bank()
    places = [e for e in shipped if e.is_anatomy]
    things = [e for kind in NON_ANATOMY for e in shipped if e.type == kind]
    return EntityBank((*_more(things, _THINGS), *_more(places, _PLACES)), "benchmark")


def _more(entities: list[Entity], count: int) -> list[Entity]:
    """The entities again and again, each time with other words."""
    out = []
    for i in range(count):
        e = entities[i % len(entities)]
        text = f"{e.text} {i // len(entities)}"
        out.append(
            Entity(
                text, e.type, e.canonical, 1, e.side, e.zone, e.severity, e.finding, e.attributes
            )
        )
    return out


class OurReports:
    """A large bank to draw from, and reports to check."""

    def __init__(self) -> None:
        self._bank = large_bank()
        drawn = plan(default_bank().drawable(), _REPORTS, SamplerConfig())
        self._requests = [request_for(str(i), drawn.entities(i)) for i in range(_REPORTS)]
        self._writer = GrammarWriter()
        self._reports = list(self._writer.write(self._requests))
        self._checker = ReportChecker(default_extractor())

    def draw(self, count: int) -> float:
        """Seconds to draw 9 + 3 entities, none more than 15 times, for ``count`` studies."""
        start = time.perf_counter()
        plan(self._bank, count, SamplerConfig())
        return time.perf_counter() - start

    def write(self) -> float:
        """Seconds per report to write some from entities."""
        start = time.perf_counter()
        for _ in self._writer.write(self._requests):
            pass
        return (time.perf_counter() - start) / _REPORTS

    def check(self) -> float:
        """Seconds per report to check them."""
        start = time.perf_counter()
        for request, report in zip(self._requests, self._reports, strict=True):
            self._checker.check(report, items_of(request))
        return (time.perf_counter() - start) / _REPORTS

    def extract(self) -> float:
        """Seconds per report to find its entities."""
        start = time.perf_counter()
        for report in self._reports:
            self._checker.extractor.extract(report.findings)
        return (time.perf_counter() - start) / _REPORTS
