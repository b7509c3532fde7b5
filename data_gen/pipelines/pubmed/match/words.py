"""The stretches of a caption as texts of their own."""

import re
from collections.abc import Iterable

from data_gen.pipelines.pubmed.base import Span, SplitCaption

#: What is left of a list at the ends of a stretch.
_ENDS = " \t\n,;:–—-"


def text_of(split: SplitCaption, spans: Iterable[Span]) -> str:
    """The stretches joined by blanks, without the separators that they end in."""
    pieces = (split.text[s.start : s.end].strip(_ENDS) for s in spans)
    return re.sub(r"\s+", " ", " ".join(piece for piece in pieces if piece)).strip()


def body_text(split: SplitCaption, part: int) -> str:
    """A part's own words, without its labels."""
    return text_of(split, split.parts[part].body)
