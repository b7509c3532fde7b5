"""What a run came to: one status for every id, rejects, and the numbers of each stage."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.curation.rejects import RejectRow
from data_gen.pipelines.pubmed.collect.run import Collected
from data_gen.pipelines.pubmed.match.reasons import kind
from data_gen.pipelines.pubmed.stages import matching, reading, screening, separating, splitting
from data_gen.pipelines.pubmed.stages.lines import Line, Place, every_line
from data_gen.pipelines.pubmed.stages.recording import RecordsJob
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace

#: A line for every id of the list: its status, why, and what came of it.
ARTICLES = "articles.jsonl"
USED = "used"


@dataclasses.dataclass(frozen=True)
class ArticleStatus:
    """What became of one id in the end.

    Attributes:
      id: "PMC123".
      name: of its directory; "" where none was collected.
      status: ``used`` where it gave a record; else the stage at which it ended: ``collect``,
        ``jats``, ``screen``, ``separate``, ``records``.
      reason: why it ended there; "" where it was used.
      figures, records: that came of it.
      licence: code, where one is known.
    """

    id: str
    name: str
    status: str
    reason: str = ""
    figures: int = 0
    records: int = 0
    licence: str = ""


@dataclasses.dataclass(frozen=True)
class Told:
    """What :func:`tell` tells.

    Attributes:
      articles: a status for every id, in the order of the list.
      rejects: panels, parts and figures that are no records.
      numbers: for the summary, by stage.
    """

    articles: list[ArticleStatus]
    rejects: list[RejectRow]
    numbers: dict[str, Any]


def tell(place: Place, collected: Collected, job: RecordsJob) -> Told:
    """Reads what the stages wrote; every id has exactly one status."""
    made = {name: (figures, records) for name, figures, records, _ in job.told()}
    rejects = [row for *_, rows in job.told() for row in rows]
    ends = {line["id"]: _end(line) for line in every_line(place, screening.NAME)}
    articles = []
    for item in collected.items():
        if item.status != "fetched":
            reason = f"{item.status}: {item.reason}"
            articles.append(ArticleStatus(item.id, "", "collect", reason, licence=item.licence))
            continue
        figures, records = made.get(item.name, (0, 0))
        status, reason = (USED, "") if records else ends[item.name]
        articles.append(
            ArticleStatus(item.id, item.name, status, reason, figures, records, item.licence)
        )
    numbers = {
        "collect": dict(collected.counts),
        **_counts(place),
        "records": {
            "records": sum(records for _, records in made.values()),
            "rejects": _sorted(Counter(f"{r.stage}: {r.reasons[0]}" for r in rejects)),
        },
        "articles": _sorted(Counter(a.status for a in articles)),
        "ended": _sorted(
            Counter(f"{a.status}: {_short(a.reason)}" for a in articles if a.status != USED)
        ),
    }
    return Told(articles, rejects, numbers)


def _end(line: Line) -> tuple[str, str]:
    """Where an article ended that gave no record, by its line of the screens."""
    if "dropped" in line:
        return reading.NAME, line["dropped"]
    if not screening.kept(line):
        reasons = Counter(image["reason"] for image in line["images"])
        first = max(reasons.items(), key=lambda pair: (pair[1], pair[0]))[0] if reasons else ""
        return screening.NAME, first or "no picture in any figure"
    return "records", "no pair became a record"


def _short(reason: str) -> str:
    """The key words of a reason, without what differs from article to article."""
    parts = reason.split(": ")
    return ": ".join(parts[:2]) if parts[0] in ("skipped", "failed", "withdrawn") else parts[0]


def _counts(place: Place) -> dict[str, Any]:
    """Numbers of the stages between the articles and the records."""
    read: Counter[str] = Counter()
    for line in every_line(place, reading.NAME):
        if "dropped" in line:
            read[f"dropped: {line['dropped'].split(':')[0]}"] += 1
            continue
        figures = line["article"]["figures"]
        read["articles"] += 1
        read["figures"] += len(figures)
        read["mentions"] += sum(len(figure["mentions"]) for figure in figures)
    screen: dict[str, Counter[str]] = {"images": Counter(), "classes": Counter()}
    for line in every_line(place, screening.NAME):
        for image in line.get("images", ()):
            screen["images"]["kept" if image["keep"] else image["reason"].split(":")[0]] += 1
            if image["class"]:
                screen["classes"][image["class"]] += 1
    separate: Counter[str] = Counter()
    for line in every_line(place, separating.NAME):
        for image in line.get("images", ()):
            found = image["separated"]
            panels = len(found["panels"])
            separate["images"] += 1
            separate["compound" if panels > 1 else "single" if panels else "no panel"] += 1
            separate["panels"] += panels
            separate["labels"] += len({panel for panel, _ in found["labels"]})
            separate["panels unwanted"] += len(image["unwanted"])
    split: dict[str, Counter[str]] = {"captions": Counter(), "styles": Counter()}
    for line in every_line(place, splitting.NAME):
        for one in line.get("splits", {}).values():
            split["captions"]["with parts" if one["parts"] else "whole"] += 1
            split["styles"][one["style"] or "none"] += 1
    match: dict[str, Counter[str]] = {"pairs": Counter(), "rejected": Counter()}
    for line in every_line(place, matching.NAME):
        for image in line.get("images", ()):
            for pair in image["pairs"]:
                match["pairs"][pair["status"]] += 1
                if pair["status"] == "rejected":
                    match["rejected"][kind(pair["reason"])] += 1
    return {
        reading.NAME: _sorted(read),
        screening.NAME: {key: _sorted(some) for key, some in screen.items()},
        separating.NAME: _sorted(separate),
        splitting.NAME: {key: _sorted(some) for key, some in split.items()},
        matching.NAME: {key: _sorted(some) for key, some in match.items()},
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def write_articles(folder: pathlib.Path, articles: Sequence[ArticleStatus]) -> None:
    """Writes :data:`ARTICLES`, whole or not at all."""
    lines = jsonl.dump(dataclasses.asdict(article) for article in articles)
    replace(folder / ARTICLES, lines)


def commonest(place: Place) -> str:
    """Why nothing came through, for a message."""
    reasons: Counter[str] = Counter()
    for line in every_line(place, screening.NAME):
        reasons[": ".join(_end(line))[:60]] += 1
    listed = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common(3))
    return listed or "no article was fetched"


def as_lines(numbers: Mapping[str, Any]) -> str:
    """The part ``pubmed`` of a summary as lines for the terminal."""
    status = ", ".join(f"{name} {n}" for name, n in numbers["articles"].items())
    lines = [f"articles: {status}"]
    for name in (screening.NAME, separating.NAME, matching.NAME):
        inner = numbers[name]
        counts = inner.get("images", inner.get("pairs", inner)) if name != "separate" else inner
        if isinstance(counts, Mapping):
            lines.append(f"{name}: " + ", ".join(f"{key} {n}" for key, n in counts.items()))
    made = numbers["records"]
    refused = ", ".join(f"{reason} {n}" for reason, n in list(made["rejects"].items())[:5])
    lines.append(f"records: {made['records']}; rejects: {refused or 'none'}")
    return "\n".join(lines)


def collected_lines(counts: Mapping[str, Any]) -> str:
    """What became of the ids, as lines for the terminal."""
    status = ", ".join(f"{name} {n}" for name, n in counts["status"].items())
    reasons = ", ".join(f"{reason} {n}" for reason, n in counts["reasons"].items())
    return f"articles: {status}\nreasons: {reasons or 'none'}"


def scores_lines(scores: Mapping[str, Any]) -> str:
    """Scores against a truth as lines for the terminal, each with its interval."""
    lines = []
    for stage, found in scores.items():
        for name, one in found.get("scores", found).items():
            if not isinstance(one, Mapping) or one.get("value") is None:
                continue
            low, high = one.get("low"), one.get("high")
            between = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
            lines.append(f"{stage}, {name.replace('_', ' ')}: {one['value']:.3f}{between}\n")
    return "".join(lines)
