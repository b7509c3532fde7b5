"""A small library for the mock of the services: articles of a few bytes, in all their states."""

import contextlib
import dataclasses
import datetime
import hashlib
import pathlib

from data_gen.pipelines.pubmed.collect.config import CollectConfig, Pace
from data_gen.pipelines.pubmed.mock.library import LibraryArticle, LibraryVersion
from data_gen.pipelines.pubmed.mock.server import serving

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


def version(
    pmcid: str, number: int = 1, /, media=("gr1.jpg", "gr2.png"), **fields
) -> LibraryVersion:
    """A version whose metadata say ``fields``, whatever they are."""
    name = f"{pmcid}.{number}"
    graphics = "".join(f'<fig><graphic xlink:href="{m}"/></fig>' for m in media)
    xml = (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>'
        f'<article-id pub-id-type="pmc">{pmcid[3:]}</article-id></article-meta></front>'
        f"<body>{graphics}</body></article>"
    ).encode()
    files = {m: bytes_of(f"{name}/{m}") for m in media}
    return LibraryVersion(number, xml, files, {"title": f"Of {name}", **fields})


def article(
    number: int, *versions: LibraryVersion, day: str = "", words: str = ""
) -> LibraryArticle:
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


def jats(number: int, graphics=("f1", "f2"), licence="by/4.0") -> bytes:
    """The text of an article that is on disk."""
    figures = "".join(
        f'<fig id="{g}"><label>{g}</label><caption><p>One.</p></caption>'
        f'<graphic xlink:href="{g}"/></fig>'
        for g in graphics
    )
    return (
        '<?xml version="1.0"?><article xmlns:xlink="http://www.w3.org/1999/xlink" '
        'article-type="case-report"><front><article-meta>'
        f'<article-id pub-id-type="pmc">{number}</article-id><permissions>'
        f'<license xlink:href="https://creativecommons.org/licenses/{licence}/"><license-p>Free.'
        f"</license-p></license></permissions></article-meta></front><body><sec>{figures}</sec>"
        "</body></article>"
    ).encode()


@contextlib.contextmanager
def served(library, tmp_path, faults=None, search_limit=9999, **changes):
    """Yields the mock of the services, and a config that collects from it.

    ``changes`` are of :class:`CollectConfig`; those named like fields of ``Pace`` go there.
    """
    with serving(library, faults, search_limit) as mock:
        yield mock, config_for(mock, tmp_path, **changes)


def config_for(mock, tmp_path, **changes) -> CollectConfig:
    """A config for a mock: quick, patient, with tokens in the test's own folder."""
    quick = {"searches": 100.0, "files": 400.0, "timeout": 5.0, "attempts": 12}
    quick |= {"backoff": 0.01, "longest": 0.2, "folder": str(tmp_path / "rate")}
    names = {field.name for field in dataclasses.fields(Pace)}
    pace = Pace(**quick | {k: changes.pop(k) for k in list(changes) if k in names})
    usual = {"term": "brain", "email": "me@here.org", "date": "2026-12-01", "pace": pace}
    return CollectConfig(**usual | {"endpoints": mock.endpoints} | changes)


def tree(folder: pathlib.Path, *without: str) -> dict[str, str]:
    """Every file below a folder by its path, as a digest; locks left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.name not in without
    }
