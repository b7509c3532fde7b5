"""The ids that a term finds, however many: E-utilities, cut into ranges of days.

One query gives 9,999 ids at most. Where a range of days finds more it is halved, down to a day.
"""

import datetime
import json
import re
from typing import Any

from absl import logging

from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.services.client import Client, GaveUpError

#: How often a range is searched again whose pages do not add up, as articles come in meanwhile.
_TRIES = 3


async def search(
    client: Client, config: CollectConfig, until: str
) -> tuple[list[str], list[tuple[str, str, int]]]:
    """The ids of every article that the term finds.

    Args:
      client: that asks.
      config: with the term and the first day.
      until: last day of release, YYYY-MM-DD.

    Returns:
      "PMC123" in ascending order of the number, each once; and the ranges of days that were asked
      for, with how many each found.

    Raises:
      CollectError: the term or an answer is no use, or one day alone has too many.
      GaveUpError: the service does not answer.
    """
    first, last = datetime.date.fromisoformat(config.since), datetime.date.fromisoformat(until)
    if first > last:
        raise CollectError(
            f"config.since={config.since} is after the last day, {until}; give an earlier one"
        )
    found: set[int] = set()
    ranges: list[tuple[str, str, int]] = []
    waiting = [(first, last)]
    while waiting:
        start, stop = waiting.pop()
        numbers, count = await _range(client, config, start, stop)
        if count <= config.endpoints.search_limit:
            found |= numbers
            ranges.append((start.isoformat(), stop.isoformat(), count))
            continue
        if start == stop:
            raise CollectError(
                f"{config.endpoints.search}: {count} articles were released on {start} alone, more "
                f"than the {config.endpoints.search_limit} of one query; narrow config.term, for "
                "example by a licence filter, and collect the parts apart"
            )
        middle = start + (stop - start) // 2
        waiting += [(middle + datetime.timedelta(1), stop), (start, middle)]
    return [f"PMC{number}" for number in sorted(found)], ranges


async def _range(
    client: Client, config: CollectConfig, start: datetime.date, stop: datetime.date
) -> tuple[set[int], int]:
    """The ids of a range of days, and how many there are; no ids where these are too many."""
    for _ in range(_TRIES):
        numbers, count = await _page(client, config, start, stop, 0)
        if count > config.endpoints.search_limit:
            return set(), count
        while len(numbers) < count:
            more, again = await _page(client, config, start, stop, len(numbers))
            if not more or again != count or more & numbers:
                break
            numbers |= more
        if len(numbers) == count:
            return numbers, count
    raise GaveUpError(
        f"{config.endpoints.search}: {len(numbers)} ids came of {count} for {start} to {stop}, "
        f"{_TRIES} times; search again later"
    )


async def _page(
    client: Client, config: CollectConfig, start: datetime.date, stop: datetime.date, at: int
) -> tuple[set[int], int]:
    ends = config.endpoints
    days = f"{start:%Y/%m/%d}:{stop:%Y/%m/%d}[{ends.date_field}]"
    query = {
        "db": ends.database,
        "term": f"({config.term}) AND {days}" if config.term else days,
        "retmode": "json",
        "retstart": str(at),
        "retmax": str(ends.search_limit),
    }
    return _read(await client.search(query, _check), config)


def _check(answer: bytes) -> None:
    result = json.loads(answer)["esearchresult"]
    if "backend" in str(result.get("ERROR", "")).lower():
        raise ValueError("the search behind the service failed")


def _read(answer: bytes, config: CollectConfig) -> tuple[set[int], int]:
    """Ids and their whole number, of an answer."""
    where = config.endpoints.search
    result: Any = json.loads(answer)["esearchresult"]
    try:
        if problem := result.get("ERROR"):
            raise CollectError(
                f"{where} says {str(problem)[:200]!r} of the term {config.term!r}; mend config.term"
            )
        missing = [str(p) for p in result.get("errorlist", {}).get("phrasesnotfound", [])]
        ids, count = [str(i) for i in result["idlist"]], int(result["count"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CollectError(
            f"{where}: the answer lacks count or idlist; the service may have changed"
        ) from error
    if missing:
        logging.warning("%s knows none of these phrases of the term: %s", where, missing[:5])
    strange = [i for i in ids if not re.fullmatch(r"(PMC)?\d{1,12}", i)]
    if strange:
        raise CollectError(f"{where}: {strange[0][:40]!r} is no id; the service may have changed")
    numbers = {int(i.removeprefix("PMC")) for i in ids}
    return numbers, count
