"""What the mock serves: a library of articles, made when they are asked for."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True)
class LibraryVersion:
    """One version of an article as the bucket holds it.

    Attributes:
      version: 1 and up.
      xml: the JATS.
      media: name of a file ("gr1.jpg") -> its bytes. The values may be made when they are asked
        for, the same ones each time; the names are known at once.
      fields: what the metadata say beside the identifiers and addresses, by the names of the live
        service: ``title``, ``citation``, ``pmid``, ``doi``, ``license_code`` ("CC BY"),
        ``is_retracted``, ``is_manuscript`` ... A key that is left out gets the usual value
        (:data:`data_gen.pipelines.pubmed.mock.bucket.USUAL`).
    """

    version: int
    xml: bytes
    media: Mapping[str, bytes]
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LibraryArticle:
    """An article, its versions, and what a search finds it by.

    Attributes:
      pmcid: "PMC123".
      released: day on which PubMed Central released it (``[pmcrdat]``).
      versions: in ascending order, at least one.
      words: what a term is looked up in: title, abstract, keywords, publication types. Upper and
        lower case do not differ.
    """

    pmcid: str
    released: datetime.date
    versions: tuple[LibraryVersion, ...]
    words: str = ""


class Library(Protocol):
    """Articles by their id; the same ones each time, and from several threads at once."""

    def ids(self) -> Sequence[str]:
        """Every "PMC123", each once."""
        ...

    def article(self, pmcid: str) -> LibraryArticle:
        """One article; cheap, but for the bytes of its media.

        Raises:
          KeyError: there is none of that id.
        """
        ...
