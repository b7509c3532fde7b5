"""A small library for the mock of the services: articles of a few bytes, in all their states."""

import dataclasses
import datetime
import hashlib

from data_gen.pipelines.pubmed.mock.library import LibraryArticle, LibraryVersion

#: Every seventh, eleventh and so on article is one that must not be taken.
LICENCES = ("CC BY", "CC0", "CC BY-SA", "CC BY-ND")


@dataclasses.dataclass
class Shelf:
    """Articles by id; change ``articles`` and serve it again for an update."""

    articles: dict[str, LibraryArticle]

    def ids(self):
        return list(self.articles)

    def article(self, pmcid):
        return self.articles[pmcid]


def bytes_of(name: str, size: int = 600) -> bytes:
    """Bytes that no other name has, and a truncated or turned copy is told from."""
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"{name} {len(out)}".encode()).digest()
    return out[:size]


def version(pmcid: str, number: int = 1, media=("gr1.jpg", "gr2.png"), **fields) -> LibraryVersion:
    name = f"{pmcid}.{number}"
    graphics = "".join(f'<fig><graphic xlink:href="{m}"/></fig>' for m in media)
    xml = (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>'
        f'<article-id pub-id-type="pmc">{pmcid[3:]}</article-id></article-meta></front>'
        f"<body>{graphics}</body></article>"
    ).encode()
    files = {m: bytes_of(f"{name}/{m}") for m in media}
    return LibraryVersion(number, xml, files, {"title": f"Of {name}", **fields})


def article(number: int, *versions: LibraryVersion, day: str = "", words: str = "") -> LibraryArticle:
    pmcid = f"PMC{number}"
    released = datetime.date.fromisoformat(day) if day else _day(number)
    return LibraryArticle(
        pmcid, released, versions or (version(pmcid),), words or f"Brain number {number}"
    )


def _day(number: int) -> datetime.date:
    return datetime.date(2020, 1, 1) + datetime.timedelta(days=number % 1000)


def shelf(count: int, first: int = 100) -> Shelf:
    """Most can be taken; some are retracted, not free, scanned, manuscripts or of two versions."""
    articles = {}
    for number in range(first, first + count):
        pmcid = f"PMC{number}"
        fields = {"license_code": LICENCES[number % 4]}
        versions = (version(pmcid, **fields),)
        if number % 7 == 0:
            versions = (version(pmcid, license_code="CC BY-NC"),)
        elif number % 11 == 0:
            versions = (version(pmcid, is_retracted=True, **fields),)
        elif number % 13 == 0:
            versions = (version(pmcid, is_historical_ocr=True, **fields),)
        elif number % 5 == 0:
            two = version(pmcid, 2, is_manuscript=number % 2 == 0, **fields)
            versions = (*versions, two)
        articles[pmcid] = article(number, *versions)
    return Shelf(articles)
