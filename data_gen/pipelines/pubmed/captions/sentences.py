"""Where sentences of a caption start, and how firmly a place in it is set off."""

import re
from collections.abc import Iterable, Sequence

from data_gen.pipelines.pubmed.base import Mark

_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[\"'“(\[]*[A-Z0-9*†‡#§¶])")
_LAST_WORD = re.compile(r"([\w.]+)$")
_SHORT_WORDS = """
fig figs al e.g i.e vs approx ca cf nos dr inc resp i.v i.p s.c ref refs eq suppl var
subsp spp
"""
_SHORT = frozenset(_SHORT_WORDS.split())
#: Words before which a label leads what follows ("of (A) controls and (B) patients").
_FUNCTION_WORDS = """
a an the of in on at for from with without by to between among and or but versus vs as are
is was were shows show showing shown including included includes e.g i.e namely using
under after before during per both into onto through via than
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())


def sentence_starts(text: str, marks: Sequence[Mark] = (), more: Iterable[int] = ()) -> list[int]:
    """Offsets at which sentences start, the first one is 0.

    Paragraphs, titles and list items start sentences, whatever stands before them.

    Args:
      text: of the caption.
      marks: how it is set.
      more: further starts.
    """
    starts = {0, *more}
    for match in _END.finditer(text):
        word = _LAST_WORD.search(text, max(0, match.start() - 12), match.start())
        last = word[1] if word else ""
        if last.lower() in _SHORT or (len(last) == 1 and last.isupper()):
            continue
        starts.add(match.end())
    starts |= paragraph_edges(text, marks)
    return sorted(s for s in starts if s < len(text) or s == 0)


def paragraph_edges(text: str, marks: Sequence[Mark]) -> set[int]:
    """Starts of paragraphs, titles and items, and where the text goes on after them."""
    edges: set[int] = set()
    for mark in marks:
        if mark.kind in ("title", "paragraph", "list_item"):
            edges.add(mark.start)
            after = mark.end
            while after < len(text) and text[after] == " ":
                after += 1
            edges.add(after)
    return {e for e in edges if e < len(text)}


def firmness(text: str, place: int, edges: frozenset[int] | set[int]) -> float:
    """How well a label at ``place`` leads what follows, from 0 to 3.

    3 at the start of a sentence, 2 after a semicolon or colon, 1 after a comma or a word such as
    "and" or "of"; 0 where a noun stands before it, so that it may well close what precedes.
    """
    before = place
    while before and text[before - 1] in " \"'“‘":
        before -= 1
    if not before or place in edges or before in edges:
        return 3
    last = text[before - 1]
    if last in ".!?":
        word = _LAST_WORD.search(text, max(0, before - 12), before - 1)
        return 0 if word and word[1].lower() in _SHORT else 3
    if last in ";:—–|•":
        return 2
    if last in ",(&/":
        return 1
    if last == ")":
        return 0
    return 1 if word_before(text, before) in _FUNCTION else 0


def word_before(text: str, place: int) -> str:
    """The word that ends at ``place`` or just before it, in small letters."""
    match = re.search(r"([\w.]+)\W*$", text[max(0, place - 24) : place])
    return match[1].lower() if match else ""
