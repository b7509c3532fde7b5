"""What the stages hand to each other: articles, figures, captions cut at offsets, panels, pairs.

All of it is plain and frozen, and goes to JSON and back by :func:`as_json` and :func:`from_json`.
Offsets count characters of the string beside them (Python's ``str``), end exclusive. Boxes are
fractions of the figure's width and height, origin at the top left.
"""

import dataclasses
import functools
import types
import typing
from typing import Any, Literal, TypeVar

#: What an article's licence allows. *commercial*: CC0, CC BY, CC BY-SA, CC BY-ND; *noncommercial*:
#: CC BY-NC and its like; *other*: anything else, and none.
LicenceGroup = Literal["commercial", "noncommercial", "other"]
#: How a pair was found. A pair that is none of the first three is rejected, with a reason.
Status = Literal["label_match", "order_match", "whole_figure", "rejected"]
MarkKind = Literal["bold", "italic", "superscript", "subscript", "title", "list_item", "paragraph"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Span:
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Mark:
    """How a stretch of a text is set; ``label`` is the label of a list item."""

    start: int
    end: int
    kind: MarkKind
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Licence:
    """``code`` as the field writes it ("CC BY", "CC BY-NC-ND", "CC0"), "" where none is named."""

    code: str = ""
    group: LicenceGroup = "other"
    url: str = ""
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Mention:
    """A paragraph that refers to a figure.

    Attributes:
      text: the whole paragraph.
      start, end: the reference within it ("Figure 3A-C").
      letters: panel labels that it names, ranges expanded ("A", "B", "C"); none for all of it.
      section: title of the section that the paragraph stands in.
    """

    text: str
    start: int
    end: int
    letters: tuple[str, ...] = ()
    section: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure as the article has it.

    Attributes:
      id: of the element; made of the label or the place where the article gives none.
      label: "Figure 2"; "" where there is none.
      caption: the whole text, pieces (title, paragraphs, list items) joined by one space.
      marks: how stretches of the caption are set.
      graphics: hrefs as they stand, in order.
      group: id of the ``fig-group`` around it, or "".
      rights: what the figure's own permissions or attribution say; "" where it has none and the
        article's licence alone holds.
    """

    id: str
    label: str = ""
    caption: str = ""
    marks: tuple[Mark, ...] = ()
    graphics: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    group: str = ""
    rights: str = ""


@dataclasses.dataclass(frozen=True)
class Article:
    """What is read of one article's JATS; ``pmcid`` is "PMC123", ``version`` 0 where not known.

    ``retracted`` says that the article itself tells of its retraction.
    """

    pmcid: str
    version: int = 0
    pmid: str = ""
    doi: str = ""
    title: str = ""
    abstract: str = ""
    journal: str = ""
    year: int = 0
    article_type: str = ""
    keywords: tuple[str, ...] = ()
    licence: Licence = Licence()
    figures: tuple[Figure, ...] = ()
    retracted: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a caption and the panels that it is about.

    Attributes:
      labels: upper case, ranges expanded ("A", "B", "C"; "A1"; "2"; "IV"); positional words as
        they are ("left", "upper right"); never empty.
      body: where its own words stand; several stretches where the caption interleaves.
      marks: where the labels themselves stand.
    """

    labels: tuple[str, ...]
    body: tuple[Span, ...]
    marks: tuple[Span, ...] = ()


@dataclasses.dataclass(frozen=True)
class SplitCaption:
    """A caption taken apart; its spans cover the text once, without overlap.

    Attributes:
      text: the caption.
      style: which kind of delimiter won the vote ("(a)", "A,", "bold", "position", ...), "" for a
        caption of one piece.
      parts: in the order of the text.
      preface, suffix: stretches about every panel, before and after.
    """

    text: str
    style: str = ""
    parts: tuple[Part, ...] = ()
    preface: tuple[Span, ...] = ()
    suffix: tuple[Span, ...] = ()


@dataclasses.dataclass(frozen=True)
class Region:
    """A box with a score in [0, 1]."""

    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0


@dataclasses.dataclass(frozen=True)
class ReadLabel:
    """A panel label read in the pixels; ``text`` as printed ("a", "B", "iv", "A1")."""

    text: str
    box: Region
    score: float = 1.0


@dataclasses.dataclass(frozen=True)
class Separated:
    """A figure taken apart.

    Attributes:
      width, height: of the image, in pixels.
      panels: in reading order.
      labels: candidates per panel, best first, as (index of the panel, label); a label outside of
        every panel belongs to the nearest one.
      method: "detector" or "xy_cut".
    """

    width: int
    height: int
    panels: tuple[Region, ...] = ()
    labels: tuple[tuple[int, ReadLabel], ...] = ()
    method: str = "detector"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Panels and the part of the caption that is about them.

    Attributes:
      panels: indices into ``Separated.panels``; none for the whole figure.
      part: index into ``SplitCaption.parts``; -1 for the whole caption.
      status, reason: why it holds, or why it does not.
      score: 0 to 1.
    """

    panels: tuple[int, ...]
    part: int
    status: Status
    reason: str = ""
    score: float = 1.0


def as_json(value: Any) -> Any:
    """Plain JSON values of any of the above."""
    return dataclasses.asdict(value)


def from_json(kind: type[T], value: Any) -> T:
    """Inverse of :func:`as_json`, also after JSON turned tuples into lists.

    Raises:
      KeyError, TypeError, ValueError: ``value`` is no such thing.
    """
    return _read(kind, value)


@functools.cache  # to ask Python for them takes longer than all the rest
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise TypeError(f"{type(value).__name__} where a {kind.__name__} belongs")
        hints = _hints(kind)
        return kind(**{key: _read(hints[key], item) for key, item in value.items()})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_read(inner[0], item) for item in value)
        return tuple(_read(one, item) for one, item in zip(inner, value, strict=True))
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{value!r} is none of {inner}")
        return value
    if origin is types.UnionType or not isinstance(kind, type):
        raise TypeError(f"no way to read {kind}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r} where {kind.__name__} belongs")
    return value
