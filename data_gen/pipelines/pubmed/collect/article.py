"""One article of the bucket: its versions looked at, one chosen, its files fetched and checked."""

import dataclasses
import hashlib
from collections.abc import Sequence

from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.choice import Choice, Wanted
from data_gen.pipelines.pubmed.collect.config import IMAGES, CollectConfig
from data_gen.pipelines.pubmed.collect.items import Item
from data_gen.pipelines.pubmed.collect.licences import group_of
from data_gen.pipelines.pubmed.collect.services import bucket
from data_gen.pipelines.pubmed.collect.services.client import (
    AbsentError,
    Client,
    GaveUpError,
    RefusedError,
    TooLargeError,
)
from data_gen.pipelines.pubmed.collect.store import Draft, Kept, Provenance, Store
from medvlp_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Run:
    """What holds for a whole run.

    Attributes:
      config: what to collect.
      number: of the run; updates count on.
      date: day that it is dated with.
      choice: which articles are wanted.
    """

    config: CollectConfig
    number: int
    date: str
    choice: Choice


def against(config: CollectConfig, retracted: bool, licence: str, ocr: bool) -> str:
    """Why an article is not taken, by what is said of it; "" where it may be."""
    if retracted:
        return "retracted"
    if group_of(licence) not in config.licences:
        return f"licence: {names.shown(licence, 60) or 'none'}"
    return "ocr: its text was read off scanned pages" if ocr and not config.ocr else ""


def unavailable(id: str, reason: str, previous: Item | None, run: Run) -> Item:
    """The item of an article that is not to be had: skipped, or withdrawn if it was there."""
    if previous is None or previous.status not in ("fetched", "withdrawn"):
        return Item(id, "skipped", reason, checked=run.date)
    kept = dataclasses.replace(previous, status="withdrawn", reason=reason, checked=run.date)
    return dataclasses.replace(kept, name="", files=0, bytes=0, refused=())


async def fetch(
    run: Run,
    client: Client,
    store: Store,
    present: Sequence[str],
    pmcid: str,
    previous: Item | None,
) -> Item:
    """Brings one article up to date and says what became of it.

    Args:
      run, client, store: see there.
      present: its directories that were there when the shard began.
      pmcid: "PMC123".
      previous: what became of it in the run before, None if it is new.

    Returns:
      Its one item; nothing that is wrong with one article is an error of the run.
    """
    config, ends = run.config, run.config.endpoints
    held = previous.name if previous is not None and previous.status == "fetched" else ""
    try:
        made, every = made_by(run, store, present), []
        if made is None:
            every = await bucket.all_metadata(client, ends, config.limits.answer, pmcid)
        if made is not None:
            item = made
        elif not every:
            item = unavailable(pmcid, "absent: the bucket does not have it", previous, run)
        elif reason := _against(run, every):
            item = unavailable(pmcid, reason, previous, run)
        else:
            item = await _take(run, client, store, pmcid, bucket.preferred(every))
    except (GaveUpError, AbsentError, RefusedError) as error:
        if held and held in present:
            assert previous is not None
            return previous  # ``checked`` keeps the date of the last answer
        kind = "absent" if isinstance(error, AbsentError) else "refused"
        passing = isinstance(error, GaveUpError)
        reason = f"{'no answer' if passing else kind}: {error}"
        return Item(pmcid, "failed", reason, checked=run.date, passing=passing)
    if held and held != item.name:
        store.remove(held)
    return item


def made_by(run: Run, store: Store, present: Sequence[str]) -> Item | None:
    """The item of an article that this very run put in its place before it was interrupted."""
    for name in present:
        provenance = store.read(name)
        if provenance is not None and provenance.run == run.number:
            return provenance.item(run.date)
    return None


def _against(run: Run, every: list[bucket.Metadata]) -> str:
    best = bucket.preferred(every)
    # What one version was retracted for is in the others too.
    retracted = any(metadata.retracted for metadata in every)
    return against(run.config, retracted, best.licence, best.ocr)


async def _take(
    run: Run, client: Client, store: Store, pmcid: str, chosen: bucket.Metadata
) -> Item:
    name = f"{pmcid}.{chosen.version}"
    digest = hashlib.md5(chosen.raw, usedforsecurity=False).hexdigest()
    there = store.read(name)
    if there is not None and there.digest == digest:
        return there.item(run.date)
    provenance = Provenance(
        pmcid,
        chosen.version,
        chosen.licence,
        chosen.group,
        bucket.uri_of(run.config.endpoints, name),
        run.date,
        run.number,
        digest,
    )
    if chosen.xml is None:
        raise RefusedError(f"the metadata of {name} name no XML")
    with store.draft(name) as draft:
        draft.add(f"{name}.json", chosen.raw)
        limit = run.config.limits.xml
        xml = (await client.file(chosen.xml.key, limit, md5=chosen.xml.md5)).data
        draft.add(f"{name}.xml", xml, stated=bool(chosen.xml.md5))
        wanted = judged(run, name, xml)
        if isinstance(wanted, Item):
            return dataclasses.replace(
                wanted,
                id=pmcid,
                version=chosen.version,
                licence=chosen.licence,
                group=chosen.group,
            )
        await _media(run.config, client, draft, chosen, wanted)
        return store.publish(draft, provenance).item(run.date)


def judged(run: Run, name: str, xml: bytes) -> Wanted | Item:
    """What the choice says of an article's text, or its item where it is not wanted."""
    try:
        wanted = run.choice.wanted(name, xml)
    except UserError as error:
        return Item(name, "failed", f"unreadable: {error}", checked=run.date)
    if wanted.reason:
        return Item(name, "skipped", wanted.reason, checked=run.date)
    return wanted


def is_wanted(config: CollectConfig, wanted: Wanted, name: str) -> bool:
    """Whether a file beside the XML is asked for."""
    if config.media == "none" or (config.media == "images" and names.ending(name) not in IMAGES):
        return False
    if wanted.graphics is None:
        return True
    return any(names.names_graphic(href, name) for href in wanted.graphics)


async def _media(
    config: CollectConfig, client: Client, draft: Draft, chosen: bucket.Metadata, wanted: Wanted
) -> None:
    """Fetches the files that are wanted; what is refused is noted, one line each."""
    limits = config.limits
    for stored in chosen.media:
        name = stored.key.partition("/")[2]
        if why := names.flaw(name):
            draft.refused.append(f"{names.shown(name)}: {why}")
        elif not is_wanted(config, wanted, name):
            draft.unwanted += 1
        elif draft.has(name):
            draft.refused.append(f"{names.shown(name)}: a second file of that name")
        elif len(draft.files) >= limits.files:
            draft.refused.append(f"{names.shown(name)}: more than {limits.files} files")
        else:
            left = max(0, limits.article - draft.size)
            await _file(client, draft, stored, min(limits.file, left))


async def _file(client: Client, draft: Draft, stored: bucket.Stored, limit: int) -> None:
    name = stored.name
    try:
        with draft.open(name) as out:
            got = await client.file(stored.key, limit, out, stored.md5)
    except TooLargeError:
        draft.drop(name, f"more than {limit} bytes")
    except AbsentError:
        draft.drop(name, "the bucket does not have it")
    except RefusedError as error:
        draft.drop(name, str(error))
    else:
        draft.files.append(Kept(name, got.size, got.md5, bool(stored.md5)))
