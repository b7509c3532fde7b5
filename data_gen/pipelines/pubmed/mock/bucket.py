"""The bucket's answers: listings, metadata, files, written as the live one writes them."""

import base64
import binascii
import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from data_gen.pipelines.pubmed.mock.library import Library, LibraryArticle, LibraryVersion

#: What metadata say where a version's ``fields`` do not.
USUAL: Mapping[str, Any] = {
    "pmid": None,
    "doi": None,
    "mid": None,
    "title": "",
    "citation": "",
    "is_pmc_openaccess": True,
    "is_manuscript": False,
    "is_historical_ocr": False,
    "is_retracted": False,
    "license_code": "CC BY",
}
_ARTICLES, _FILES = 64, 256  # that are kept in memory: they are asked for in one go
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class NoSuchKeyError(KeyError):
    """The bucket has no such file."""


class Bucket:
    """A library as a bucket; from several threads at once."""

    def __init__(self, library: Library, ends: Endpoints) -> None:
        self._library, self._ends = library, ends
        self._known = frozenset(library.ids())
        self._lock = threading.RLock()
        self._articles: OrderedDict[str, LibraryArticle] = OrderedDict()
        self._files: OrderedDict[tuple[str, int, str], bytes] = OrderedDict()
        self._digests: dict[tuple[str, int, str], str] = {}

    def get(self, key: str) -> bytes:
        """A file.

        Raises:
          NoSuchKeyError: there is none of that key.
        """
        match = re.fullmatch(r"metadata/(PMC\d+)\.(\d+)\.json", key)
        if match:
            return self._metadata(match[1], int(match[2]))
        match = re.fullmatch(r"(PMC\d+)\.(\d+)/(.+)", key)
        if not match:
            raise NoSuchKeyError(key)
        pmcid, number, name = match[1], int(match[2]), match[3]
        if name == f"{pmcid}.{number}.json":
            return self._metadata(pmcid, number)
        version = self._version(pmcid, number)
        if name == f"{pmcid}.{number}.xml":
            return version.xml
        return self._media(pmcid, version, name)

    def listing(self, query: Mapping[str, str]) -> bytes:
        """A page of ``list-type=2``: at most ``max-keys`` of keys and common prefixes together."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", "1000")), 1000)
        after = _untoken(query.get("continuation-token", ""))
        rows: list[tuple[str, bool]] = []
        for key in self._keys(prefix):
            rest = key[len(prefix) :]
            cut = rest.find(delimiter) if delimiter else -1
            row = (prefix + rest[: cut + 1], True) if cut >= 0 else (key, False)
            if row not in rows[-1:] and row[0] > after:
                rows.append(row)
        page = rows[:most]
        more = len(rows) > len(page)
        parts = [f"<Name>pmc-oa-opendata</Name><Prefix>{escape(prefix)}</Prefix>"]
        parts.append(f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>")
        parts.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            token = base64.urlsafe_b64encode(page[-1][0].encode()).decode()
            parts.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        for name, is_prefix in page:
            inner = escape(name)
            parts.append(
                f"<CommonPrefixes><Prefix>{inner}</Prefix></CommonPrefixes>"
                if is_prefix
                else f"<Contents><Key>{inner}</Key></Contents>"
            )
        body = "".join(parts)
        head = '<?xml version="1.0" encoding="UTF-8"?>\n'
        return f'{head}<ListBucketResult xmlns="{_XMLNS}">{body}</ListBucketResult>'.encode()

    def _keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with ``prefix``, in their order."""
        match = re.match(r"(?:metadata/)?(PMC\d+)\.", prefix)
        chosen = sorted(self._known & {match[1]} if match else self._known)
        keys = []
        for pmcid in chosen:
            for version in self._article(pmcid).versions:
                name = f"{pmcid}.{version.version}"
                files = [f"{name}.json", f"{name}.xml", *version.media]
                keys += [f"metadata/{name}.json", *(f"{name}/{file}" for file in files)]
        return (key for key in sorted(keys) if key.startswith(prefix))

    def _article(self, pmcid: str) -> LibraryArticle:
        with self._lock:
            if pmcid not in self._known:
                raise NoSuchKeyError(pmcid)
            if pmcid not in self._articles:
                self._articles[pmcid] = self._library.article(pmcid)
            self._articles.move_to_end(pmcid)
            while len(self._articles) > _ARTICLES:
                self._articles.popitem(last=False)
            return self._articles[pmcid]

    def _version(self, pmcid: str, number: int) -> LibraryVersion:
        for version in self._article(pmcid).versions:
            if version.version == number:
                return version
        raise NoSuchKeyError(f"{pmcid}.{number}")

    def _media(self, pmcid: str, version: LibraryVersion, name: str) -> bytes:
        place = (pmcid, version.version, name)
        with self._lock:
            if name not in version.media:
                raise NoSuchKeyError(name)
            if place not in self._files:
                self._files[place] = version.media[name]
                while len(self._files) > _FILES:
                    self._files.popitem(last=False)
            return self._files[place]

    def _md5(self, pmcid: str, version: LibraryVersion, name: str) -> str:
        place = (pmcid, version.version, name)
        if place not in self._digests:
            self._digests[place] = _md5(self._media(pmcid, version, name))
        return self._digests[place]

    def _metadata(self, pmcid: str, number: int) -> bytes:
        version = self._version(pmcid, number)
        name, keys = f"{pmcid}.{number}", self._ends.keys
        base = f"{self._ends.bucket_uri}{name}/"
        media = [
            f"{base}{file}?{keys.digest}={self._md5(pmcid, version, file)}"
            for file in version.media
        ]
        values = {
            keys.pmcid: pmcid,
            keys.version: number,
            **USUAL,
            keys.xml: f"{base}{name}.xml?{keys.digest}={_md5(version.xml)}",
            keys.media: media,
            **version.fields,
        }
        return json.dumps(values, indent=2).encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _untoken(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
