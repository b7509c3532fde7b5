"""Texts that hold several captions between words such as ``_radimagenet_``, taken apart.

UniMed joins the captions of an image to one string and parts it again while it trains. Here each
caption becomes a text of its own, and a report that follows them one of section "report".
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from data_gen.sources.importing.report_text import clean
from medvlp_jax.data.store.record import Text


@dataclasses.dataclass(frozen=True)
class _List:
    """How a set joins captions.

    Attributes:
      count: of the captions that it publishes for an image; 0 if that differs.
      report: "last" or "first": which part is a radiologist's text, if any.
      nothing: the word that stands where there is none.
      extra: source of what follows the ``count`` captions.
      source: of the captions.
    """

    count: int = 0
    report: str = ""
    nothing: str = ""
    extra: str = ""
    source: str = "llm"


_LISTS = {
    "radimagenet": _List(10),
    "chexpert": _List(10),
    "chestxray8": _List(10),
    "openi": _List(3, report="first"),
    "mimiccxr": _List(10, report="last", nothing="noreportpresent"),
    "all_retina_merged": _List(10, extra="labels"),
    "dr": _List(15),
    "medicat": _List(nothing="nothingpresent", source="publication"),
}
_UNKNOWN = re.compile(r"\._([a-z][a-z0-9_]*[a-z0-9])_")
_TWO_STOPS = re.compile(r"(?<!\.)\.\s?\.(?!\s?\.)")

MENDED = "captions with a double full stop, which is one now"
OTHER_COUNT = "texts with another number of captions than is published"
UNKNOWN = "texts with a word like _{}_ after a full stop: if it parts captions, name it in "
UNKNOWN += "config.separators"


def caption_texts(
    raw: str, section: str, source: str, separators: Sequence[str], counts: Counter[str]
) -> tuple[Text, ...]:
    """The texts that a string holds: one of ``section`` if no word of a list is in it.

    Args:
      raw: as the data set has it.
      section, source: of a text that stands alone.
      separators: more words that stand between captions, without their outer underscores.
      counts: sentences about what was changed or is odd -> how often; added to.

    Raises:
      ValueError: words of several lists in one text.
    """
    words = sorted({*_LISTS, *separators}, key=len, reverse=True)
    # "_dr_" is part of file names too: a short word parts captions only where none goes on.
    marks = [
        rf"(?<![a-z0-9])_{re.escape(w)}_" if len(w) < 4 else f"_{re.escape(w)}_" for w in words
    ]
    pattern = re.compile("|".join(marks))
    found = sorted({mark.strip("_") for mark in pattern.findall(raw)})
    if not found:
        if odd := _UNKNOWN.search(raw):
            counts[UNKNOWN.format(odd[1])] += 1
        text = clean(raw)
        return (Text(text, section, source),) if text else ()
    if len(found) > 1:
        raise ValueError(f"the text holds words of several lists: {', '.join(found)}")
    return _parted(pattern.split(raw), _LISTS.get(found[0], _List()), counts)


def _parted(parts: Sequence[str], form: _List, counts: Counter[str]) -> tuple[Text, ...]:
    texts: list[Text] = []
    captions = list(parts)
    if form.report == "last":
        report = clean(captions.pop())
        texts += [Text(report, "report", "radiologist")] if report not in ("", form.nothing) else []
    captions = [caption for caption in map(clean, captions) if caption not in ("", form.nothing)]
    if form.report == "first" and captions:
        texts.append(Text(captions.pop(0), "report", "radiologist"))
    extra = captions[form.count :] if form.extra else []
    captions = captions[: form.count] if form.extra else captions
    counts[OTHER_COUNT] += bool(form.count and len(captions) != form.count)
    for group, source in ((captions, form.source), (extra, form.extra)):
        for caption in group:
            mended = _TWO_STOPS.sub(".", caption)
            counts[MENDED] += mended != caption
            texts.append(Text(mended, "caption", source))
    return tuple(texts)


def notes(counts: Counter[str]) -> list[str]:
    """The sentences of ``counts`` with their numbers, for ``rejects.note``."""
    return [f"{n} {sentence}" for sentence, n in counts.items() if n]
