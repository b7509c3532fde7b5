"""Which articles and images are wanted, asked when the text is there and before the images are."""

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is wanted of an article.

    Attributes:
      reason: why none of it is; empty where it is wanted. A key word, and after ": " the rest.
      graphics: hrefs of the images to fetch, as they stand in the JATS, with or without their
        ending; None for every one.
    """

    reason: str = ""
    graphics: frozenset[str] | None = None


class Choice(Protocol):
    """Decides by an article's text; an instance must be picklable and decide the same each time.

    Attributes:
      fingerprint: equal for equal decisions.
    """

    @property
    def fingerprint(self) -> str: ...

    def wanted(self, name: str, xml: bytes) -> Wanted:
        """What is wanted of the article whose JATS is ``xml``.

        Args:
          name: "PMC123.1".

        Raises:
          UserError: the article cannot be read; it counts as failed.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Everything:
    """Every article, and every image of it."""

    fingerprint: str = "everything"

    def wanted(self, name: str, xml: bytes) -> Wanted:
        """See :class:`Choice`."""
        return Wanted()
