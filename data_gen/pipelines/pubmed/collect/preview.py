"""What collecting would do, without doing it: how many articles, which licences, how long."""

import dataclasses
from collections import Counter
from typing import Any

from data_gen.pipelines.pubmed.collect.article import against, is_wanted
from data_gen.pipelines.pubmed.collect.choice import Wanted
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.runs import Entry
from data_gen.pipelines.pubmed.collect.services import bucket
from data_gen.pipelines.pubmed.collect.services.client import AbsentError, Client, RefusedError

#: Articles whose metadata are looked at, spread over the list.
SAMPLE = 20


@dataclasses.dataclass(frozen=True)
class Preview:
    """What would be collected.

    Attributes:
      articles: ids of the list.
      first: some of them.
      found: how the list came about.
      sample: of so many articles, what would become of each: "taken" or the reason against it.
      licences: of the sample, by code.
      requests: to the bucket, and ``seconds`` that they take at the configured rate; estimated
        from the sample, 0 for articles on disk.
    """

    articles: int
    first: tuple[str, ...]
    found: dict[str, Any]
    sample: dict[str, int] = dataclasses.field(default_factory=dict)
    licences: dict[str, int] = dataclasses.field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """For people."""
        out = [f"{self.articles:,} articles: {', '.join(self.first)}{' …' * (self.articles > 5)}"]
        if self.sample:
            total = sum(self.sample.values())
            shares = ", ".join(f"{key} {count}" for key, count in self.sample.items())
            out.append(f"of a sample of {total}: {shares}")
            codes = ", ".join(f"{key} {count}" for key, count in self.licences.items())
            out.append(f"licences of the sample: {codes}")
            out.append(
                f"about {self.requests:,} requests to the bucket, {self.seconds / 60:,.0f} minutes "
                "at the configured rate"
            )
        return [*out, "nothing was written"]


def of_disk(entries: list[Entry], found: dict[str, Any]) -> Preview:
    """Of articles on disk."""
    return Preview(len(entries), tuple(entry.id for entry in entries[:5]), found)


async def of_service(config: CollectConfig, entries: list[Entry], found: dict[str, Any]) -> Preview:
    """Of articles of the bucket, with a look at the metadata of a few.

    Raises:
      GaveUpError: the bucket does not answer.
    """
    step = max(1, len(entries) // SAMPLE)
    chosen = entries[::step][:SAMPLE]
    outcomes, licences, requests = Counter(), Counter(), 0
    async with Client(config) as client:
        for entry in chosen:
            outcome, licence, asked = await _look(client, config, entry.id)
            outcomes[outcome] += 1
            licences[licence or "none"] += 1
            requests += asked
    whole = round(requests * len(entries) / max(1, len(chosen)))
    return Preview(
        len(entries),
        tuple(entry.id for entry in entries[:5]),
        found,
        dict(sorted(outcomes.items())),
        dict(sorted(licences.items())),
        whole,
        whole / config.pace.files,
    )


async def _look(client: Client, config: CollectConfig, pmcid: str) -> tuple[str, str, int]:
    """What would become of an article, its licence, and how many requests it would take."""
    try:
        every = await bucket.all_metadata(client, config.endpoints, config.limits.answer, pmcid)
    except (AbsentError, RefusedError) as error:
        return ("absent" if isinstance(error, AbsentError) else "refused"), "", 2
    if not every:
        return "absent", "", 1
    best = bucket.preferred(every)
    retracted = any(metadata.retracted for metadata in every)
    why = against(config, retracted, best.licence, best.ocr)
    media = sum(is_wanted(config, Wanted(), stored.name) for stored in best.media)
    asked = 1 + len(every) + (0 if why else 1 + media)
    return (why.partition(":")[0] or "taken"), best.licence, asked
