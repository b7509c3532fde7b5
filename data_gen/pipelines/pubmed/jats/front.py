"""What an article says about itself: numbers, titles, journal, year, retraction."""

import re
from typing import Any

from data_gen.pipelines.pubmed.jats.flow import plain

_RETRACTED = re.compile(r"^\W*(?:retracted|withdrawn)\b(?:\s+article)?\s*(?:[:\].]|$)", re.I)
_SUBJECT = re.compile(r"^\W*(?:retracted|withdrawn)(?:\s+(?:article|paper|publication))?\W*$", re.I)
_VERSION = re.compile(r"^PMC(\d+)\.(\d+)$", re.I)


def identifiers(meta: Any | None) -> dict[str, str]:
    """Values of ``article-id`` by type ("pmcid", "pmid", "doi"), the first of each."""
    found: dict[str, str] = {}
    for element in meta.findall("article-id") if meta is not None else ():
        kind, value = element.get("pub-id-type") or "", (element.text or "").strip()
        if value:
            found.setdefault({"pmc": "pmcid", "pmcaid": "pmcaid"}.get(kind, kind), value)
    return found


def pmcid_of(value: str, name: str) -> tuple[str, int]:
    """PMC number and version: of the article's own id, else of the file's name, else ("", 0).

    ``PMC123.2.xml`` gives the version, which articles themselves seldom tell.
    """
    file = re.search(r"PMC(\d+)(?:\.(\d+))?(?!\d)", name)
    version = int(file[2]) if file and file[2] else 0
    whole = _VERSION.match(value)
    if whole:
        return f"PMC{whole[1]}", int(whole[2])
    digits = re.fullmatch(r"(?:PMC)?(\d+)", value, re.I)
    if digits:
        same = file is not None and file[1] == digits[1]
        return f"PMC{digits[1]}", version if same else 0
    return (f"PMC{file[1]}", version) if file else ("", 0)


def title_of(meta: Any | None) -> str:
    return plain(meta.find("title-group/article-title")) if meta is not None else ""


def abstract_of(meta: Any | None) -> str:
    """The first abstract that is none of a kind of its own (graphical, for a lay reader, …)."""
    if meta is None:
        return ""
    found = meta.findall("abstract")
    usual = [e for e in found if not e.get("abstract-type")] or found
    return plain(usual[0]) if usual else ""


def keywords_of(meta: Any | None) -> tuple[str, ...]:
    found = (plain(e) for e in meta.iterfind("kwd-group/kwd")) if meta is not None else ()
    return tuple(dict.fromkeys(word for word in found if word))


def journal_of(front: Any | None) -> str:
    if front is None:
        return ""
    for path in ("journal-meta/journal-title-group/journal-title", "journal-meta/journal-title"):
        if title := plain(front.find(path)):
            return title
    return plain(front.find("journal-meta/journal-id"))


def year_of(meta: Any | None) -> int:
    """The earliest year of publication, 0 where none is told."""
    if meta is None:
        return 0
    years = [plain(e) for e in meta.iterfind("pub-date/year")]
    found = [int(year) for year in years if re.fullmatch(r"[12]\d{3}", year)]
    return min(found, default=0)


def retracted(meta: Any | None, title: str, article_type: str) -> bool:
    """Whether the article says of itself that it was retracted (a notice of another's is none)."""
    if article_type in ("retracted-article", "withdrawn-article"):
        return True
    if meta is None or article_type in ("retraction", "correction", "expression-of-concern"):
        return False
    if _RETRACTED.match(title):
        return True
    for element in meta.iter("related-article"):
        kind = element.get("related-article-type") or ""
        if kind in ("retraction-forward", "retraction", "retracted-by", "withdrawal-forward"):
            return True
    events = (e.get("event-type") or "" for e in meta.iter("event"))
    if any(event.startswith(("retract", "withdraw")) for event in events):
        return True
    return any(_SUBJECT.match(plain(e)) for e in meta.iter("subject"))
