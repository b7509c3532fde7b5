"""Running text out of JATS elements, white space collapsed, with offsets of what is marked."""

import functools
import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

from data_gen.pipelines.pubmed.base import Mark, MarkKind
from data_gen.pipelines.pubmed.jats.parse import etree

_INLINE: dict[str, MarkKind] = {
    "bold": "bold",
    "italic": "italic",
    "sup": "superscript",
    "sub": "subscript",
}
_BLOCKS: dict[str, MarkKind] = {
    "p": "paragraph",
    "title": "title",
    "list-item": "list_item",
    "def-item": "list_item",
}
#: What floats beside the text, or says again what the text says.
_FLOATS = """
fig fig-group table-wrap table-wrap-group boxed-text supplementary-material graphic media
inline-graphic chem-struct-wrap alt-text long-desc object-id permissions attrib fn
"""
FLOATS = frozenset(_FLOATS.split())
_SPACED_WORDS = """
break list def-list def term disp-formula disp-quote td th tr sec
"""
_SPACED = frozenset(_SPACED_WORDS.split())
_MATH = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)


#: Characters that Unicode reserves from ever standing in a text.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_SPACES = re.compile(rf"^\s|\s$|[{_OPEN}{_CLOSE}]")


class Flow:
    """Text gathered piece by piece; ``skip`` are the elements that do not belong to it."""

    def __init__(self, skip: frozenset[str] = FLOATS):
        self._skip = skip
        self._pieces: list[str] = []
        self._length = 0
        self._gap = False
        self._marks: list[tuple[int, int, MarkKind, str]] = []
        self._watched: list[tuple[Any, int, int]] = []

    def add(self, element: Any, watch: frozenset[Any] | None = None) -> None:
        """Appends what stands in ``element``, itself as a block where its tag is one.

        Args:
          element: of lxml.
          watch: elements whose place in the text is wanted; see :meth:`places`.
        """
        self._element(element, watch or frozenset())

    def gap(self) -> None:
        """What comes next is set off by a space."""
        self._gap = True

    def text(self) -> str:
        return "".join(self._pieces)

    def marks(self) -> tuple[Mark, ...]:
        """Sorted by start, the outer one first; marks without text are left out."""
        text, found = self.text(), []
        for start, end, kind, label in self._marks:
            start, end = _trimmed(text, start, end)
            if end > start:
                found.append(Mark(start, end, kind, label))
        return tuple(sorted(found, key=lambda m: (m.start, -m.end)))

    def places(self) -> list[tuple[Any, int, int]]:
        """The watched elements in the order of the text: element, start, end."""
        text = self.text()
        return [(e, *_trimmed(text, start, end)) for e, start, end in self._watched]

    def _write(self, text: str | None) -> None:
        if not text:
            return
        words = text.split()
        if not words:
            self._gap = True
            return
        joined = " ".join(words)
        if (self._gap or text[0].isspace()) and self._length:
            joined = " " + joined
        self._pieces.append(joined)
        self._length += len(joined)
        self._gap = text[-1].isspace()

    def _element(self, element: Any, watch: frozenset[Any], label: str = "") -> None:
        tag = element.tag
        kind = _INLINE.get(tag)
        block = _BLOCKS.get(tag)
        if block or tag in _SPACED:
            self._gap = True
        start = self._length
        if tag == "list":
            self._list(element, watch)
        else:
            if tag == "list-item":
                own = element.find("label")
                label = label if own is None else plain(own)
            self._inside(element, watch, labelled=tag == "list-item")
        if kind or block:
            self._marks.append((start, self._length, kind or block or "paragraph", label))
        if watch and element in watch:
            self._watched.append((element, start, self._length))
        if block or tag in _SPACED:
            self._gap = True

    def _inside(self, element: Any, watch: frozenset[Any], labelled: bool = False) -> None:
        self._write(element.text)
        for child in element:
            tag = child.tag
            if not isinstance(tag, str):
                self._write(_entity(child))
            elif tag == "tex-math":
                self._write(_tex(child))
            elif tag in self._skip or (labelled and tag == "label"):
                pass
            elif len(child) or tag in _SPACED or tag in _BLOCKS or child in watch:
                self._element(child, watch)
            else:  # most are like that
                start = self._length
                self._write(child.text)
                if kind := _INLINE.get(tag):
                    self._marks.append((start, self._length, kind, ""))
            self._write(child.tail)

    def _list(self, element: Any, watch: frozenset[Any]) -> None:
        labels = _numbering(element.get("list-type") or "")
        for child in element:
            if child.tag == "list-item":
                self._element(child, watch, next(labels))
            elif isinstance(child.tag, str) and child.tag not in self._skip:
                self._element(child, watch)


def plain(element: Any | None) -> str:
    """The text in an element, "" for none."""
    if element is None:
        return ""
    if not len(element):
        return " ".join((element.text or "").split())
    if _is_simple(element):
        return " ".join("".join(element.itertext()).split())
    flow = Flow()
    flow.add(element)
    return flow.text()


def with_places(
    element: Any, watched: Sequence[Any], skip: frozenset[str] = FLOATS
) -> tuple[str, list[tuple[Any, int, int]]]:
    """Text of an element and where in it the watched ones stand: element, start, end.

    The watched elements are changed: what is read is for once.
    """
    whole = all(ref.text and not _SPACES.search(ref.text) and not len(ref) for ref in watched)
    if not whole or not _is_simple(element):
        flow = Flow(skip)
        flow.add(element, frozenset(watched))
        return flow.text(), flow.places()
    # Signs that no text has around each, so that the text is put together in C.
    for ref in watched:
        ref.text = _OPEN + ref.text
        ref.tail = _CLOSE + (ref.tail or "")
    first, *others = " ".join("".join(element.itertext()).split()).split(_OPEN)
    pieces, places, position = [first], [], len(first)
    for ref, piece in zip(watched, others, strict=True):
        inner, _, after = piece.partition(_CLOSE)
        places.append((ref, position, position + len(inner)))
        position += len(inner) + len(after)
        pieces += [inner, after]
    return "".join(pieces), places


def _is_simple(element: Any) -> bool:
    """Whether all that an element holds is running text."""
    return all(e is element for e in element.iter(*_not_simple()))


@functools.cache
def _not_simple() -> tuple[Any, ...]:
    return (*(FLOATS | _SPACED | frozenset(_BLOCKS)), "tex-math", etree().Entity)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] == " ":
        start += 1
    while end > start and text[end - 1] == " ":
        end -= 1
    return start, end


def _entity(node: Any) -> str:
    """A named character that the DTD would have declared; one that HTML does not know stays."""
    text = node.text or ""
    return html.unescape(text) if text.startswith("&") else ""


def _tex(element: Any) -> str:
    """TeX only where there is no MathML beside it, and then without its preamble."""
    parent = element.getparent()
    if parent is not None and parent.find("{http://www.w3.org/1998/Math/MathML}math") is not None:
        return ""
    text = "".join(element.itertext())
    body = _MATH.search(text)
    return (body[1] if body else text).replace("$", "")


def _numbering(kind: str) -> Iterator[str]:
    """Labels that a list of this ``list-type`` is shown with; "" for bullets and plain lists."""
    number = 0
    while True:
        number += 1
        yield _numbered(kind, number)


def _numbered(kind: str, number: int) -> str:
    if kind == "order":
        return str(number)
    if kind in ("alpha-lower", "alpha-upper") and number <= 26:
        letter = chr(ord("a") + number - 1)
        return letter.upper() if kind == "alpha-upper" else letter
    if kind in ("roman-lower", "roman-upper") and number <= len(_ROMAN):
        roman = _ROMAN[number - 1]
        return roman.upper() if kind == "roman-upper" else roman
    return ""


_ROMAN_WORDS = """
i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx
"""
_ROMAN = _ROMAN_WORDS.split()
