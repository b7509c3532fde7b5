"""Which text of a record is read: sentences, sections, candidates, and the key of equal texts."""

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from medvlp_jax.core.fields import Count, Extent, Fraction, NonNegative
from medvlp_jax.data.store.record import Record, Text

Policy = Literal["report", "findings", "impression", "sentence", "caption", "random"]
POLICIES = ("report", "findings", "impression", "sentence", "caption")


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Which text a visit reads, and how long it may be.

    Attributes:
      tokenizer: folder or id of a Hugging Face tokenizer; "" = the WordPiece that is stored with
        the first source (trained on the sources when there is none yet).
      vocab: size limit of that WordPiece where it is trained; the text tower must hold as many.
      policy: "report" (findings and impression joined), "findings", "impression", "sentence" (one
        sentence of the report), "caption", or "random", which draws one of ``mix`` per visit.
      mix: policy -> weight, for "random"; a record without such a text draws among the others.
      min_words: shorter texts are no candidates.
      missing: a record without any candidate is left out of training ("skip") or read with an
        empty text whose mask is all False ("empty"). Evaluation always keeps it, as "empty".
      buckets: text lengths in tokens that batches may have, ascending; the last one truncates.
      window: global batches among which texts of similar length are put together; 0 switches
        buckets off, then every batch has the last length.
      variant: share of the words that a second version of the text (``text_variant``) has changed;
        0: there is none. See :func:`medvlp_jax.data.texts.vary.vary`.
    """

    tokenizer: str = ""
    vocab: Extent = 8192
    policy: Policy = "report"
    mix: dict[str, NonNegative] = dataclasses.field(default_factory=dict)
    min_words: Count = 1
    missing: Literal["skip", "empty"] = "skip"
    buckets: tuple[Extent, ...] = (32, 64, 128, 256)
    window: Count = 16
    variant: Fraction = 0.0

    def __post_init__(self) -> None:
        if (self.policy == "random") != bool(self.mix):
            raise ValueError("text.mix belongs to text.policy='random': give both or neither")
        for name, weight in self.mix.items():
            if name not in POLICIES or not weight > 0:
                raise ValueError(
                    f"text.mix[{name!r}]={weight}: give a positive weight to one of {POLICIES}"
                )
        if not self.buckets or list(self.buckets) != sorted({*self.buckets}) or self.buckets[0] < 4:
            raise ValueError(f"text.buckets={self.buckets} must ascend and be at least 4 tokens")
        if not 0 <= self.variant < 1:
            raise ValueError(f"text.variant={self.variant} must be in [0, 1)")
        if self.window < 0 or self.min_words < 1:
            raise ValueError("text.window must be at least 0 and text.min_words at least 1")

    @property
    def groups(self) -> tuple[str, ...]:
        """The policies that candidates are collected for; sorted, as a config keeps no order."""
        return tuple(sorted(self.mix)) if self.policy == "random" else (self.policy,)

    @property
    def weights(self) -> tuple[float, ...]:
        """One weight per group."""
        return tuple(self.mix[g] for g in self.groups) if self.policy == "random" else (1.0,)

    @property
    def max_len(self) -> int:
        return self.buckets[-1]


def candidates(record: Record, config: TextConfig) -> list[list[str]]:
    """The texts that a visit may read, one list per group of ``config``; lists may be empty.

    The order is that of the record, so that an index into it names the same text everywhere.
    """
    out = []
    for policy in config.groups:
        texts = _texts_of(record, policy)
        out.append([t for t in texts if len(t.split()) >= config.min_words])
    return out


def _texts_of(record: Record, policy: str) -> list[str]:
    if policy in ("findings", "impression", "caption"):
        return [_clean(t.text) for t in record.texts if t.section == policy]
    if policy == "report":
        return reports(record.texts)
    found = [s for report in reports(record.texts) for s in sentences(report)]
    return list(dict.fromkeys(found))  # impressions repeat findings


def stated_labels(record: Record, text: str) -> tuple[str, ...]:
    """The positive labels that ``text``, a candidate of ``record``, affirms.

    Where that is not known (a text without labels, a sentence, a joined report): all of them.
    """
    for t in record.texts:
        if t.labels and _clean(t.text) == text:
            return t.labels
    return tuple(name for name, value in record.labels.items() if value == 1)


def reports(texts: Sequence[Text]) -> list[str]:
    """Whole reports: a "report" section as it is, findings and impressions of one source joined.

    Findings and impressions of the same source are paired in order; one without partner stands
    alone. Where there is neither (a figure of an article), captions count as reports.
    """
    out = []
    for source in dict.fromkeys(t.source for t in texts):
        by_section: dict[str, list[str]] = {}
        for t in texts:
            if t.source == source:
                by_section.setdefault(t.section, []).append(_clean(t.text))
        out += by_section.get("report", [])
        findings = by_section.get("findings", [])
        impressions = by_section.get("impression", [])
        for i in range(max(len(findings), len(impressions))):
            out.append(" ".join([*findings[i : i + 1], *impressions[i : i + 1]]))
    return out or [_clean(t.text) for t in texts if t.section == "caption"]


def _clean(text: str) -> str:
    return re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n")).strip()


# What ends in a full stop without ending a sentence: never, and only before a capital letter.
_NEVER_ENDS = re.compile(
    r"approx|ca|cf|dept|drs?|dx|e\.g|figs?|fx|hosp|hx|i\.e|incl|mrs?|ms|nos|prof|pts?|ref|resp"
    r"|rx|sx|tx|vs"
)
_SELDOM_ENDS = re.compile(
    r"[ap]\.m|al|ant|[bt]\.i\.d|bilat|etc|hrs?|inf|lat|lll|lt|lul|min|mo|no|post|q\.d|rll|rml|rt"
    r"|rul|sec|st|sup|temp|vol|wks?|yrs?"
)
_LIST_MARK = re.compile(r"(?:^|(?<=\s))(?:\(?\d{1,2}[.)]|[-*•–])\s+(?=\S)")
_HEADING = re.compile(
    r"(?:^\s*|(?<=[.!?:]\s))(?:[A-Z][A-Z /&]{2,40}|Findings|Impression)\s*:\s*", re.MULTILINE
)
_STOP = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)")


def sentences(text: str) -> list[str]:
    """Splits a report into sentences.

    Knows numbered and bulleted lists, headings, blank lines, abbreviations, initials, decimals and
    lower-case reports; a line break inside of a paragraph is a space. Sentences come back without
    list marks and headings, with single spaces; those without a letter are dropped.
    """
    out = []
    for block in re.split(r"\n\s*\n", _HEADING.sub("\n\n", text)):
        for item in _list_items(block):
            out += _split_item(item)
    return [s for s in out if any(c.isalpha() for c in s)]


def _list_items(block: str) -> list[str]:
    """Pieces of a paragraph between list marks.

    A number counts as a mark at the start of the paragraph, and later where it continues the count
    at the start of a line or of a sentence: "seen in rib 4. Lungs are clear" is no list.
    """
    cuts, expected = [0], 1
    for mark in _LIST_MARK.finditer(block):
        line_start = not block[: mark.start()].rpartition("\n")[2].strip()
        digits = re.sub(r"\D", "", mark.group())
        after_stop = block[: mark.start()].rstrip().endswith((".", ":", ";", "!", "?"))
        if digits:
            opens = not block[: mark.start()].strip()
            in_order = int(digits) == expected and (line_start or after_stop)
            if not (opens or in_order):
                continue
            expected = int(digits) + 1
        elif not line_start and "•" not in mark.group():
            continue
        cuts += [mark.start(), mark.end()]
    # cuts: text, mark, text, mark, ...; the texts stand between every second pair
    cuts.append(len(block))
    return [block[a:b] for a, b in zip(cuts[0::2], cuts[1::2], strict=True)]


def _split_item(item: str) -> list[str]:
    item = " ".join(item.split())
    out, start = [], 0
    for stop in _STOP.finditer(item):
        rest = item[stop.end() :].lstrip()
        if rest and not _ends_sentence(item[start : stop.start()], stop.group(), rest):
            continue
        out.append(item[start : stop.end()].strip())
        start = stop.end()
    out.append(item[start:].strip())
    return [s for s in out if s]


def _ends_sentence(before: str, stop: str, rest: str) -> bool:
    if stop[0] != ".":
        return True
    word = re.split(r"[\s(\[]", before)[-1]
    if _NEVER_ENDS.fullmatch(word.lower()):
        return False
    if _SELDOM_ENDS.fullmatch(word.lower()):  # "at 3 p.m. The tube", but "the lat. view"
        return rest[0].isupper() or rest[0] in "\"'(["
    initial = len(word) == 1 and word.isupper()  # "J. Smith", "S. pneumoniae"
    return not initial


def normalized(text: str) -> str:
    """Case, width and spacing folded, final full stop dropped."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .")


def text_key(text: str) -> int:
    """A stable 32-bit hash of the normalized text; 0 only for the empty text."""
    plain = normalized(text)
    if not plain:
        return 0
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=4).digest(), "little") or 1


_SIDE = re.compile(
    r"\b(?:left|right|leftward|rightward|lt|rt|lul|lll|rul|rml|rll"
    r"|izquierd[oa]s?|derech[oa]s?|gauches?|droite?s?|links|rechts|linke[nrs]?|rechte[nrs]?)\b",
    re.IGNORECASE,
)


def names_a_side(text: str) -> bool:
    """Whether the text says left or right (English, Spanish, French, German) or such a lobe."""
    return _SIDE.search(text) is not None
