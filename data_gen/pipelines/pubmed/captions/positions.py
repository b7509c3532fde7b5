"""Panels that a caption names by where they stand: left, upper row, bottom right."""

import re
from collections.abc import Iterator, Sequence

from data_gen.pipelines.pubmed.base import Mark
from data_gen.pipelines.pubmed.captions.candidates import Candidate, Style

_SIDE = r"(?:left|right|cent(?:er|re)|middle|central)"
_HEIGHT = r"(?:upper|lower|top|bottom|middle)"
_PLACE = rf"(?:far[ -]{_SIDE}|{_HEIGHT}(?:[ -]{_SIDE})?|{_SIDE}(?:[ -]{_HEIGHT})?)"
_NOUN = r"(?:panels?|rows?|columns?|images?|pictures?|sides?|half|graphs?|plots?|insets?|figures?)"
_SAYS = r"(?:shows?|is|are|depicts?|displays?|illustrates?|demonstrates?|represents?|presents?)"
_POSITION = re.compile(
    rf"\((?:(?:on|at|in)\s+)?(?:the\s+)?({_PLACE})(?:\s+{_NOUN})?\)"
    rf"|(?:(?<=[.;:!?]\s)|(?<=[,]\s)|(?<=\sand\s)|^)(?:(?:on|at|in)\s+)?(?:the\s+)?({_PLACE})"
    rf"(?:(?:\s+{_NOUN})?\s?[:,](?=\s)|\s+{_NOUN}(?=\s+{_SAYS}\b))",
    re.I,
)


def _find(text: str, marks: Sequence[Mark]) -> Iterator[Candidate]:
    for match in _POSITION.finditer(text):
        place = " ".join((match[1] or match[2]).lower().replace("-", " ").split())
        yield Candidate(match.start(), match.end(), (place,))


POSITION = Style("position", 0.7, 2, False, False, _find)
