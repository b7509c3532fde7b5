"""The search service's answers: terms, ranges of days, pages, and the limit of ids per query."""

import datetime
import json
import re
import threading
from collections.abc import Callable, Mapping

from data_gen.pipelines.pubmed.mock.bucket import USUAL
from data_gen.pipelines.pubmed.mock.library import Library, LibraryArticle

_TOKEN = re.compile(r"\s*(\(|\)|AND\b|OR\b|NOT\b|\"[^\"]*\"(?:\[[^\]]*\])?|[^\s()]+)")
_DAYS = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2}):(\d{4})/(\d{1,2})/(\d{1,2})\[pmcrdat\]", re.I)
_FIELD = re.compile(r"\[([^\]]*)\]$")

_Test = Callable[["_Row"], bool]


class _Row:
    """What a search sees of an article."""

    def __init__(self, article: LibraryArticle) -> None:
        self.number = int(article.pmcid.removeprefix("PMC"))
        self.released = article.released
        self.words = " ".join(article.words.lower().split())
        fields = {**USUAL, **article.versions[-1].fields}
        self.licence = str(fields["license_code"] or "")


class SearchService:
    """A library as a search service; from several threads at once."""

    def __init__(self, library: Library, limit: int) -> None:
        self._library, self._limit = library, limit
        self._lock = threading.Lock()
        self._rows: list[_Row] | None = None

    def answer(self, query: Mapping[str, str]) -> bytes:
        """The answer to a query of ``esearch`` in JSON: the newest ids first."""
        start, most = int(query.get("retstart", "0")), int(query.get("retmax", "20"))
        try:
            test = _Parser(query.get("term", "")).parse()
        except ValueError as error:
            return _json({"ERROR": f"Invalid term: {error}"})
        if start >= self._limit:
            return _json({"ERROR": f"Search allows no retstart of {self._limit} and more"})
        with self._lock:
            if self._rows is None:
                articles = map(self._library.article, self._library.ids())
                self._rows = sorted(map(_Row, articles), key=lambda row: -row.number)
        numbers = [row.number for row in self._rows if test(row)]
        page = numbers[start : min(start + most, self._limit)]
        return _json(
            {
                "count": str(len(numbers)),
                "retmax": str(len(page)),
                "retstart": str(start),
                "idlist": [str(number) for number in page],
            }
        )


def _json(result: object) -> bytes:
    return json.dumps({"header": {"type": "esearch"}, "esearchresult": result}).encode()


class _Parser:
    """Terms with AND, OR, NOT and parentheses; AND and OR bind alike, from the left."""

    def __init__(self, term: str) -> None:
        self._tokens = _TOKEN.findall(term)
        self._at = 0

    def parse(self) -> _Test:
        """Raises ValueError for a term that is none."""
        test = self._either()
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at]!r} is too much")
        return test

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _either(self) -> _Test:
        test = self._one()
        while (word := self._next()) and word != ")":
            if word in ("AND", "OR", "NOT"):
                self._at += 1
            test = _joined(word if word in ("OR", "NOT") else "AND", test, self._one())
        return test

    def _one(self) -> _Test:
        word = self._next()
        self._at += 1
        if word in ("", ")", "AND", "OR", "NOT"):
            raise ValueError("a word is missing")
        if word != "(":
            return _leaf(word)
        test = self._either()
        if self._next() != ")":
            raise ValueError("a parenthesis is open")
        self._at += 1
        return test


def _joined(how: str, a: _Test, b: _Test) -> _Test:
    if how == "OR":
        return lambda row: a(row) or b(row)
    if how == "NOT":
        return lambda row: a(row) and not b(row)
    return lambda row: a(row) and b(row)


def _leaf(word: str) -> _Test:
    if match := _DAYS.fullmatch(word):
        y, m, d, y2, m2, d2 = map(int, match.groups())
        first, last = datetime.date(y, m, d), datetime.date(y2, m2, d2)
        return lambda row: first <= row.released <= last
    field = _FIELD.search(word)
    plain = _FIELD.sub("", word).strip('"').lower()
    if field and field[1].lower() == "filter":
        return _filter(plain)
    plain = " ".join(plain.split())
    return lambda row: plain in row.words


def _filter(name: str) -> _Test:
    if name in ("open_access", "open access"):
        return lambda row: row.licence.startswith("CC")
    match = re.fullmatch(r"(cc[a-z0-9_-]*)(\*?)_license", name)
    if not match:
        raise ValueError(f"no filter {name!r}")
    code, more = match[1].replace("_", " ").upper(), bool(match[2])
    return lambda row: row.licence.startswith(code) if more else row.licence == code
