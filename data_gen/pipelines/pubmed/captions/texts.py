"""The text of a panel, joined from the stretches that are about it."""

import re
from collections.abc import Iterable, Sequence

from data_gen.pipelines.pubmed.base import Part, Span, SplitCaption

_EDGES = re.compile(
    r"^[\s,;:.)\]}–—-]*(?:(?:and|or|but|while|whereas|&)\s+)?"
    r"|(?:[\s,;:([{–—]|\s-)+(?:and|or|&)?\s*$"
)
_SPACE_BEFORE = re.compile(r"\s+([,.;:)\]])")
_DOUBLED = re.compile(r"([,;:.])(?:\s*[,;:])+")


def panel_text(
    split: SplitCaption, part: int | Part, preface: bool = True, suffix: bool = True
) -> str:
    """What a caption says about the panels of a part, for training and search.

    The stretches stand in the order of the caption, without the labels, and each begins and ends
    without stray signs. Stretches that its panels share with others belong to it.

    Args:
      split: the caption.
      part: the part or its index; -1 for the whole caption as it is.
      preface, suffix: whether to have what is about every panel before, and after.
    """
    if part == -1:
        return split.text
    own = split.parts[part] if isinstance(part, int) else part
    parts = [p for p in split.parts if set(own.labels).issubset(p.labels)]
    return _text(split, parts, preface, suffix)


def label_text(split: SplitCaption, label: str, preface: bool = True, suffix: bool = True) -> str:
    """As :func:`panel_text` for one label, from every part that names it."""
    return _text(split, [p for p in split.parts if label in p.labels], preface, suffix)


def _text(split: SplitCaption, parts: Sequence[Part], preface: bool, suffix: bool) -> str:
    spans = [s for p in parts for s in p.body]
    spans += [s for s in split.preface if preface] + [s for s in split.suffix if suffix]
    return join(split.text, spans, [m for p in parts for m in p.marks])


def join(text: str, spans: Iterable[Span], marks: Iterable[Span] = ()) -> str:
    """Stretches of a text as one, in its order; those that only a label parts are one stretch."""
    ends = {mark.start: mark.end for mark in marks}
    pieces: list[str] = []
    position = -1
    for span in sorted(spans, key=lambda s: s.start):
        piece = text[span.start : span.end]
        if pieces and span.start in (position, ends.get(position)):
            pieces[-1] += piece
        else:
            pieces.append(piece)
        position = span.end
    cleaned = [_clean(piece) for piece in pieces if re.search(r"\w", piece)]
    joined = " ".join(piece for piece in cleaned if piece)
    return _DOUBLED.sub(r"\1", _SPACE_BEFORE.sub(r"\1", " ".join(joined.split())))


def _clean(piece: str) -> str:
    return _EDGES.sub("", piece).strip()
