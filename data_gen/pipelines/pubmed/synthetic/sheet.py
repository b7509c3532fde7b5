"""A caption as it is written: text, markup and what each stretch is, kept in step."""

import dataclasses
from typing import Literal
from xml.sax.saxutils import escape

from data_gen.pipelines.pubmed.base import Mark, Part, Span, SplitCaption

Role = Literal["preface", "suffix", "body", "mark"]
_TAGS = {"bold": "bold", "italic": "italic", "superscript": "sup", "subscript": "sub"}


@dataclasses.dataclass(frozen=True)
class Written:
    """A caption and its truth.

    Attributes:
      split: the text, taken apart.
      marks: how it is set.
      xml: what stands within the ``caption`` element.
    """

    split: SplitCaption
    marks: tuple[Mark, ...]
    xml: str


class Sheet:
    """Takes a caption stretch by stretch; its blocks (title, paragraphs, items) are joined by one
    space, which belongs to the stretch before it."""

    def __init__(self) -> None:
        self._text, self._xml = "", ""
        self._marks: list[Mark] = []
        self._runs: list[tuple[Role, int, int, int]] = []
        self._block = ("", 0, "")
        self._in_list = False

    def block(self, kind: Literal["title", "paragraph", "list_item"], label: str = "") -> None:
        """Opens a block; what is put from here on stands in it."""
        self._close()
        if self._text and self._runs:
            self._text += " "
            role, part, start, _ = self._runs[-1]
            self._runs[-1] = (role, part, start, len(self._text))
        if kind == "list_item" and not self._in_list:
            self._xml += '<list list-type="simple">'
        if kind != "list_item" and self._in_list:
            self._xml += "</list>"
        self._in_list = kind == "list_item"
        self._block = (kind, len(self._text), label)
        opening = {"title": "<title>", "paragraph": "<p>"}.get(kind)
        self._xml += opening or f"<list-item><label>{escape(label)}</label><p>"

    def _close(self) -> None:
        kind, start, label = self._block
        if not kind:
            return
        self._xml += {"title": "</title>", "paragraph": "</p>"}.get(kind, "</p></list-item>")
        self._marks.append(Mark(start, len(self._text), kind, label))  # type: ignore[arg-type]
        self._block = ("", 0, "")

    def put(self, text: str, role: Role, part: int = -1, style: str = "") -> None:
        """Adds a stretch; ``style`` is that of a :class:`Mark`, or nothing."""
        if not text:
            return
        start = len(self._text)
        self._text += text
        code = escape(text)
        if style:
            self._marks.append(Mark(start, len(self._text), style))  # type: ignore[arg-type]
            code = f"<{_TAGS[style]}>{code}</{_TAGS[style]}>"
        self._xml += code
        last = self._runs[-1] if self._runs else None
        if last and last[:2] == (role, part) and last[3] == start:
            self._runs[-1] = (role, part, last[2], len(self._text))
        else:
            self._runs.append((role, part, start, len(self._text)))

    def written(self, labels: list[tuple[str, ...]], style: str) -> Written:
        """The finished caption; ``labels`` of each part."""
        self._close()
        if self._in_list:
            self._xml += "</list>"

        def spans(role: Role, part: int = -1) -> tuple[Span, ...]:
            return tuple(Span(s, e) for r, p, s, e in self._runs if (r, p) == (role, part))

        parts = tuple(
            Part(names, spans("body", i), spans("mark", i)) for i, names in enumerate(labels)
        )
        split = SplitCaption(self._text, style, parts, spans("preface"), spans("suffix"))
        marks = tuple(sorted(self._marks, key=lambda m: (m.start, -m.end)))
        return Written(split, marks, self._xml)
