"""Reads captions written by hand with their truth in the text.

``|A|`` starts a stretch about panel A, ``|A,B|`` one about both, ``|-|`` one about all, ``|=|`` a
label (``|=b|`` in bold, ``|=i|`` in italics), ``|+A|`` the item A of a list, ``|t|`` a title and
``|p|`` a new paragraph about all.
"""

import dataclasses
import json
import pathlib

from data_gen.pipelines.pubmed.base import Mark, Span
from data_gen.pipelines.pubmed.captions.texts import join

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Written:
    """A caption and the text of each of its labels."""

    kind: str
    text: str
    marks: tuple[Mark, ...]
    truth: dict[str, str]


def load(name: str) -> list[Written]:
    return [parse(kind, markup) for kind, markup in json.loads((HERE / name).read_text())]


def parse(kind: str, markup: str) -> Written:
    pieces = markup.split("|")
    assert not pieces[0], markup
    assert len(pieces) % 2, markup
    text, marks, spans, labels = "", [], {}, []
    for tag, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if (tag[0] in "+pt" and text and not text.endswith(" ")) or (
            text and marks and marks[-1].kind in ("title", "list_item") and text[-1] != " "
        ):
            text += " "
        start, end = len(text), len(text) + len(piece)
        text += piece
        if tag[0] == "=":
            labels.append(Span(start, end))
        if tag in ("=b", "=i"):
            marks.append(Mark(start, end, "bold" if tag == "=b" else "italic"))
        elif tag == "p":
            marks.append(Mark(start, end, "paragraph"))
        elif tag == "t":
            marks.append(Mark(start, end, "title"))
        elif tag[0] == "+":
            marks.append(Mark(start, end, "list_item", tag[1:]))
            spans.setdefault(tag[1:], []).append(Span(start, end))
        elif tag not in ("-", "="):
            for label in tag.split(","):
                spans.setdefault(label, []).append(Span(start, end))
    truth = {label: join(text, found, labels) for label, found in spans.items()}
    return Written(kind, text, tuple(sorted(marks, key=lambda m: m.start)), truth)
