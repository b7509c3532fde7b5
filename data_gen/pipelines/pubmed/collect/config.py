"""What to collect: from where, what, how fast, and how much at most."""

import dataclasses
import datetime
import re
from typing import Annotated, Literal

from data_gen.pipelines.pubmed.base import LicenceGroup
from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from medvlp_jax.core.fields import (
    Count,
    Extent,
    Folder,
    NonNegative,
    Positive,
    Range,
    Size,
    Workers,
)

#: Longest files; whole numbers up to a terabyte.
Bytes = Annotated[int, Range(1, 2**40)]
#: Endings of the media that figures are made of.
IMAGES = ("jpg", "jpeg", "png", "gif", "tif", "tiff", "bmp", "webp")
#: Keys that change no byte of what is collected: an interrupted run may go on with others.
FREE = (
    *("pace", "tool", "email", "key_variable", "processes"),
    *("endpoints.search", "endpoints.bucket", "endpoints.listing_keys"),  # mirrors hold the same
)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast and how patiently the services are asked.

    Attributes:
      searches: requests to E-utilities in any second; 0 is what its rules allow, 3 without a key
        and 10 with one.
      files: requests to the bucket in any second.
      concurrency: articles that one process fetches at a time.
      timeout: seconds for one request, from connecting to the last byte of the answer.
      attempts: how often a request is tried.
      backoff, longest: seconds of the first pause between attempts and of the longest; they double
        in between, and chance takes up to half off each.
      patience: seconds for all attempts and pauses of one request. A service that asks for a longer
        pause ends the run, which goes on later.
      outage: articles in a row that fail, until the run stops: the service is out, or the endpoints
        are wrong.
      folder: where the processes of this machine agree on the rate; empty is a folder of the user's
        own for temporary files, so that all runs share it.
    """

    searches: NonNegative = 0.0
    files: Positive = 50.0
    concurrency: Extent = 16
    timeout: Positive = 60.0
    attempts: Size = 8
    backoff: Positive = 0.5
    longest: Positive = 30.0
    patience: Positive = 600.0
    outage: Size = 50
    folder: Folder = ""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Largest files in bytes; whatever is larger is refused by one line.

    Attributes:
      answer: a page of a search or listing, and metadata.
      xml: an article's JATS.
      file: an image, or another file of an article.
      article: all files of an article together.
      files: how many files an article may have.
      archive: what an archive may hold when unpacked, members that are not kept included.
      ratio: how many times as large as an archive what it holds may be.
    """

    answer: Bytes = 16 << 20
    xml: Bytes = 64 << 20
    file: Bytes = 128 << 20
    article: Bytes = 1 << 30
    files: Size = 2000
    archive: Bytes = 4 << 30
    ratio: Positive = 200.0


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Attributes:
      source: ``service``, E-utilities and the bucket; ``archives``, a folder with ``tar.gz``
        archives of the old ``oa_package``; ``folder``, a folder of JATS files with their images.
      term: what E-utilities is asked for, with its field tags; dates are added.
      since, until: first and last day of release, YYYY-MM-DD; an empty ``until`` is the run's date.
      ids: a text file with a PMCID a line, instead of a search.
      limit: at most so many articles, the highest ids; 0 for all.
      licences: groups that are kept: commercial (CC0, CC BY, CC BY-SA, CC BY-ND), noncommercial
        (CC BY-NC and its like), other (anything else, and none).
      ocr: keep articles whose text was read off scanned pages by machine.
      media: which files are fetched beside the XML: images, none, or all.
      path: folder of the archives, or of the JATS files.
      file_list: ``oa_file_list.csv`` of the archives, which says their licences; empty looks for it
        in ``path``.
      date: day that every record of the run is dated with, YYYY-MM-DD; empty is the day on which
        the run first starts. A date given makes two runs equal in every byte.
      tool, email: what E-utilities is told in every request; it wants to know whom to write to.
      key_variable: environment variable with the key of E-utilities, if there is one.
      articles_per_shard: of which the status is written at a time.
      processes: 0 is one per CPU core. One is enough for the services: they allow no more.
      pace, limits, endpoints: see there.
    """

    source: Literal["service", "archives", "folder"] = "service"
    term: str = ""
    since: str = "1990-01-01"
    until: str = ""
    ids: Folder = ""
    limit: Count = 0
    licences: tuple[LicenceGroup, ...] = ("commercial",)
    ocr: bool = False
    media: Literal["images", "none", "all"] = "images"
    path: Folder = ""
    file_list: Folder = ""
    date: str = ""
    tool: str = "medvlp_jax"
    email: str = ""
    key_variable: str = "NCBI_API_KEY"
    articles_per_shard: Size = 200
    processes: Workers = 1
    pace: Pace = dataclasses.field(default_factory=Pace)
    limits: Limits = dataclasses.field(default_factory=Limits)
    endpoints: Endpoints = dataclasses.field(default_factory=Endpoints)

    def __post_init__(self) -> None:
        for key in ("since", "until", "date"):
            value = getattr(self, key)
            if value and not _is_day(value):
                raise ValueError(f"{key}={value!r} is no day; write it as YYYY-MM-DD")
        if not self.since:
            raise ValueError("since is empty; give the first day of release, YYYY-MM-DD")
        if not self.licences or len(set(self.licences)) < len(self.licences):
            raise ValueError("licences must name at least one group, and none twice")


def _is_day(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
