"""The bucket's layout: which versions an article has, what is said of each, and which is taken."""

import dataclasses
import json
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Any

from data_gen.pipelines.pubmed.base import LicenceGroup
from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from data_gen.pipelines.pubmed.collect.licences import group_of, normal_code
from data_gen.pipelines.pubmed.collect.services.client import Client, RefusedError

#: Pages of one article's listing; each has up to a thousand keys.
_PAGES = 20
_VERSION = re.compile(r"PMC\d+\.(\d{1,6})/")
_MD5 = re.compile(r"[0-9a-f]{32}")
_TRUE = ("true", "yes", "y", "1")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A file of the bucket: its key there, and its MD5 or "" where the metadata say none."""

    key: str
    md5: str = ""

    @property
    def name(self) -> str:
        """Its own name, without the folder."""
        return self.key.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What the bucket says of one version of an article.

    Attributes:
      raw: the answer, as it came.
      version: counts from 1.
      licence: code in the form of the field, "" for none.
      retracted, manuscript, ocr: flags.
      xml: the JATS; None where there is none.
      media: the other files, in the order of the metadata.
    """

    raw: bytes
    version: int
    licence: str
    retracted: bool
    manuscript: bool
    ocr: bool
    xml: Stored | None
    media: tuple[Stored, ...]

    @property
    def group(self) -> LicenceGroup:
        """What the licence allows."""
        return group_of(self.licence)


async def versions(client: Client, ends: Endpoints, pmcid: str) -> list[int]:
    """The versions of an article that the bucket has, ascending; none for an unknown article.

    Raises:
      RefusedError: the answer is no listing.
      GaveUpError: the service does not answer.
    """
    prefix = ends.article_prefix.format(pmcid=pmcid)
    query = {
        "list-type": "2",
        "delimiter": "/",
        "prefix": prefix,
        "max-keys": str(ends.listing_keys),
    }
    found: set[int] = set()
    for _ in range(_PAGES):
        names, token = _read_listing(await client.listing(query, _check), prefix)
        for name in names:
            match = _VERSION.fullmatch(name)
            if match and name.startswith(prefix):
                found.add(int(match[1]))
        if not token:
            return sorted(found)
        query = {**query, "continuation-token": token}
    raise RefusedError(f"the listing of {prefix} has more than {_PAGES} pages")


def _check(answer: bytes) -> None:
    if b"<!DOCTYPE" in answer:  # a listing has none: no entity can be declared in it
        raise ValueError("a document type")
    root = ElementTree.fromstring(answer)
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        raise ValueError(f"{root.tag[:60]!r} where a listing belongs")


def _read_listing(answer: bytes, prefix: str) -> tuple[list[str], str]:
    """Common prefixes of a page of a listing, and the token for the next page or ""."""
    root = ElementTree.fromstring(answer)
    names = [node.text or "" for node in root.iterfind("{*}CommonPrefixes/{*}Prefix")]
    more = (root.findtext("{*}IsTruncated") or "").strip().lower() == "true"
    token = root.findtext("{*}NextContinuationToken") or ""
    if more and not token:
        raise RefusedError(f"the listing of {prefix} is cut short without a token for the rest")
    return names, token if more else ""


def read_metadata(raw: bytes, ends: Endpoints, pmcid: str, version: int) -> Metadata:
    """Reads the metadata of one version.

    Raises:
      RefusedError: they are of another article, or an address in them is of no file of it.
    """
    name, keys = f"{pmcid}.{version}", ends.keys
    try:
        values: dict[str, Any] = json.loads(raw)
        said = (str(values[keys.pmcid]), int(values[keys.version]))
        licence = normal_code(str(values.get(keys.licence) or ""))
        media = [str(address) for address in values.get(keys.media) or ()]
        xml = values.get(keys.xml)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(
            f"the metadata of {name} cannot be read ({type(error).__name__}: {error}); if the "
            "service changed its names, set config.endpoints.keys"
        ) from error
    if said != (pmcid, version):
        raise RefusedError(f"the metadata of {name} are of {said[0][:20]}.{said[1]}")
    return Metadata(
        raw,
        version,
        licence,
        _flag(values.get(keys.retracted)),
        _flag(values.get(keys.manuscript)),
        _flag(values.get(keys.ocr)),
        _stored(str(xml), ends, name) if xml else None,
        tuple(_stored(address, ends, name) for address in media),
    )


def _flag(value: Any) -> bool:
    return str(value).strip().lower() in _TRUE


def _stored(address: str, ends: Endpoints, name: str) -> Stored:
    """The file that an address in the metadata stands for."""
    plain, mark, query = address.rpartition(f"?{ends.keys.digest}=")
    key = (plain if mark else address).removeprefix(ends.bucket_uri)
    md5 = query.strip().lower() if mark else ""
    if not address.startswith(ends.bucket_uri) or not key.startswith(f"{name}/"):
        raise RefusedError(f"the metadata of {name} name {address[:100]!r}, which is none of it")
    if md5 and not _MD5.fullmatch(md5):
        raise RefusedError(f"the metadata of {name} give {md5[:40]!r} as MD5 of {key[:100]}")
    return Stored(key, md5)


def preferred(every: Sequence[Metadata]) -> Metadata:
    """The version to take: what the journal published before the author's manuscript, then the
    latest."""
    return max(every, key=lambda metadata: (not metadata.manuscript, metadata.version))


async def all_metadata(client: Client, ends: Endpoints, limit: int, pmcid: str) -> list[Metadata]:
    """The metadata of every version of an article; none for an unknown article.

    Raises:
      AbsentError, RefusedError, GaveUpError: see :class:`Client`.
    """
    out = []
    for version in await versions(client, ends, pmcid):
        key = ends.metadata.format(name=f"{pmcid}.{version}")
        got = await client.file(key, limit, check=json.loads)
        out.append(read_metadata(got.data, ends, pmcid, version))
    return out


def uri_of(ends: Endpoints, name: str) -> str:
    """Address of a version's folder, for its provenance; the same for every mirror."""
    return ends.bucket_uri + urllib.parse.quote(name) + "/"
