"""Entities drawn for 200,000 studies, and reports written and checked per second, on one core."""

import statistics

from benchmarks.harness import Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target
from benchmarks.settings import Settings

TARGET = Target(60, at_most=True, unit=" s")
_STUDIES = 200_000


def run(settings: Settings, tell: Tell) -> list[Row]:
    """The draw, which has the target; then writing, extraction and checks."""
    rounds = 2 if settings.quick else 4
    with Worker(Side("reports", "benchmarks.our_reports:make", {}), 1, keep_memory=False) as worker:
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
        rate = statistics.median(values)
        raw = {"unit": "reports/s", "ours": values}
        rows.append(Row(what, f"{rate:,.0f} reports/s", rate, raw=raw))
    return rows
