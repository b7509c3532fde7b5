"""The page of a run: what every stage took in and gave out, figures taken apart, scores."""

import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen.data_page import write_data_report
from data_gen.pipelines.pubmed.config import PubMedConfig
from data_gen.pipelines.pubmed.outcome import USED, Told
from data_gen.pipelines.pubmed.page.counts import Step
from data_gen.pipelines.pubmed.page.page import PageInputs, write_pubmed_page
from data_gen.pipelines.pubmed.page.shown import Shown, count_reasons, pick
from data_gen.pipelines.pubmed.records.pixels import pixels_of
from data_gen.pipelines.pubmed.stages import matching, reading, screening, separating, splitting
from data_gen.pipelines.pubmed.stages.lines import Place
from data_gen.pipelines.pubmed.stages.matched import every_figure

PAGE = "pubmed_report.html"


def write_page(
    folder: pathlib.Path, place: Place, config: PubMedConfig, whole: Mapping[str, Any], told: Told
) -> pathlib.Path:
    """Writes :data:`PAGE` beside the page of the data folder, which it links to.

    Args:
      folder: of the data.
      place: of the stages.
      whole: the summary of the folder.
      told: what the run came to.
    """
    beside = write_data_report(folder)
    every = [one.matched.pairs for one in every_figure(place)]
    chosen = set(pick(every, config.shown))
    shown = [
        Shown(one.matched, pixels_of(one.path.read_bytes()))
        for i, one in enumerate(every_figure(place))
        if i in chosen
    ]
    numbers = whole["pubmed"]
    splits = whole["splits"]
    used = sum(article.status == USED for article in told.articles)
    inputs = PageInputs(
        title=config.name,
        about=whole["description"],
        facts={
            "articles": f"{len(told.articles):,}, of which {used:,} were used",
            "records": ", ".join(f"{name} {one['records']:,}" for name, one in splits.items()),
            "library": config.library,
        },
        steps=steps_of(numbers, told),
        counts=count_reasons(every),
        shown=shown,
        scores=_scores(numbers.get("scores", {})),
        links={"all records of the folder": beside.name},
    )
    return write_pubmed_page(folder / PAGE, inputs)


def steps_of(numbers: Mapping[str, Any], told: Told) -> list[Step]:
    """What came in, what went on, and why the rest did not, stage by stage."""
    collect = numbers["collect"]
    read, screen = numbers[reading.NAME], numbers[screening.NAME]["images"]
    separate, split = numbers[separating.NAME], numbers[splitting.NAME]["captions"]
    fetched = collect["status"].get("fetched", 0)
    dropped = {key.partition(": ")[2]: n for key, n in read.items() if key.startswith("dropped")}
    pairs, rows = numbers[matching.NAME], numbers["records"]
    records = rows["records"]
    return [
        Step("collect", "articles", collect["items"], fetched, collect["reasons"]),
        Step("jats", "articles", fetched, read.get("articles", 0), dropped),
        Step(
            "screen",
            "images",
            sum(screen.values()),
            screen.get("kept", 0),
            {key: n for key, n in screen.items() if key != "kept"},
        ),
        Step("separate", "images", screen.get("kept", 0), separate.get("images", 0)),
        Step("split", "captions", sum(split.values()), sum(split.values())),
        Step(
            "match",
            "pairs",
            sum(pairs["pairs"].values()),
            sum(pairs["pairs"].values()) - pairs["pairs"].get("rejected", 0),
            pairs["rejected"],
        ),
        Step(
            "records",
            "panels, parts and figures",
            records + len(told.rejects),
            records,
            rows["rejects"],
        ),
    ]


def _scores(scores: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Stage -> score -> interval; counts are left out."""
    out: dict[str, dict[str, dict[str, float | None]]] = {}
    for stage, found in scores.items():
        inner = found.get("scores", found)
        rows = {
            name: one if isinstance(one, Mapping) else {"value": one, "low": None, "high": None}
            for name, one in inner.items()
            if isinstance(one, (Mapping, float))
        }
        out[stage] = {
            name: {key: one.get(key) for key in ("value", "low", "high")}
            for name, one in rows.items()
        }
    return {stage: rows for stage, rows in out.items() if rows}
