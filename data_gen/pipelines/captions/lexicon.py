"""The words of captions as data: modalities, places, findings, details and abbreviations."""

import dataclasses
import difflib
import functools
import json
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_gen.entities.tokens import Tokens

_FOLDER = pathlib.Path(__file__).parent / "lexicon"
#: British spellings, and what the negation rules know instead of it.
_FOLDED = (
    (re.compile(r"haem(?=[aeo])"), "hem"),
    (re.compile(r"oedem"), "edem"),
    (re.compile(r"isch?aem"), "ischem"),
    (re.compile(r"leukaem"), "leukem"),
    (re.compile(r"tumour"), "tumor"),
    (re.compile(r"colour"), "color"),
    (re.compile(r"n[’']t\b"), " not"),
    (re.compile(r"\bfail(?:s|ed|ing)? to (?=show|demonstrate|reveal|display|depict)"), "does not "),
    (re.compile(r"\bexcluding\b"), "excludes"),
    (re.compile(r"\bnothing\b"), "no"),
    (re.compile(r"\bfree from\b"), "free of"),
)


def table(name: str) -> dict[str, Any]:
    """A table of the lexicon, as it is on disk."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def fold(text: str) -> str:
    """Lower case without accents, in American spelling."""
    plain = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    for pattern, other in _FOLDED:
        plain = pattern.sub(other, plain)
    return plain


@functools.lru_cache(maxsize=1 << 14)  # terms and labels come again with every caption
def words_of(text: str) -> tuple[str, ...]:
    """Normalised words (singular, American) and marks of a text."""
    return tuple(Tokens(fold(text)).words)


@dataclasses.dataclass(frozen=True)
class Match:
    """A term in a text: words ``start`` to ``stop`` (exclusive)."""

    id: str
    start: int
    stop: int

    def within(self, others: Iterable["Match"]) -> bool:
        """Whether one of ``others`` covers it."""
        return any(o.start <= self.start and self.stop <= o.stop for o in others)


class Terms:
    """Word sequences that stand for things; a text is read with the longest first."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        """``terms``: id -> its names."""
        self._first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        known: dict[tuple[str, ...], str] = {}
        for name, spelled in terms.items():
            for text in spelled:
                words = words_of(text)
                if words:
                    known.setdefault(words, name)
        for words, name in known.items():
            self._first.setdefault(words[0], []).append((words, name))
        for entries in self._first.values():
            entries.sort(key=lambda entry: -len(entry[0]))

    def find(self, words: tuple[str, ...]) -> list[Match]:
        """The things that a text names, in order, disjoint."""
        found, at = [], 0
        while at < len(words):
            for sequence, name in self._first.get(words[at], ()):
                if words[at : at + len(sequence)] == sequence:
                    found.append(Match(name, at, at + len(sequence)))
                    break
            at = found[-1].stop if found and found[-1].stop > at else at + 1
        return found

    def single_words(self) -> Iterator[str]:
        """Every word of every name."""
        for entries in self._first.values():
            for words, _ in entries:
                yield from words


@dataclasses.dataclass(frozen=True)
class Place:
    """A region or organ that pictures are of.

    Attributes:
      name: its id among the places.
      phrase, adjective: as sentences use it ("the knee", "knee").
      generic: places that may be named in any caption of it.
      stated_by: places whose mention says the region too.
    """

    name: str
    phrase: str
    adjective: str
    generic: frozenset[str] = frozenset()
    stated_by: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Modality:
    """How a picture was made; ``nouns`` and ``technique`` are what the grammar calls it."""

    name: str
    nouns: tuple[str, ...]
    technique: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Code:
    """An abbreviation: what it means; ``plain`` ones may stay; ``misread``: wrong readings."""

    means: str
    plain: bool
    misread: tuple[str, ...]


class Lexicon:
    """All tables, read once."""

    def __init__(self) -> None:
        modalities, regions = table("modalities"), table("regions")
        structures, findings = table("structures"), table("findings")
        details, english = table("details"), table("english")
        self.modalities = {
            name: Modality(name, tuple(m["nouns"]), tuple(m["technique"]))
            for name, m in modalities.items()
        }
        self._modality_keys = {
            key: name for name, m in modalities.items() for key in (name, *m["keys"])
        }
        self.places = {
            name: Place(
                name,
                r["place"],
                r["adjective"],
                frozenset(r["generic"]),
                frozenset(r.get("stated_by", ())),
            )
            for name, r in regions.items()
        }
        self._place_keys = {
            key: name for name, r in regions.items() for key in (*r["terms"], *r.get("keys", ()))
        } | {name: name for name in regions}
        #: Structure -> regions that it lies in.
        self.inside = {
            name: frozenset(s["in"]) for name, s in (regions | structures).items() if "in" in s
        }
        self._spelled = findings["findings"]
        named = {name: list(s["terms"]) for name, s in structures.items()}
        for name, region in regions.items():
            named[name] = [*region["terms"], *named.get(name, ())]
        self.place_terms = Terms(named)
        self.modality_terms = Terms({n: m["terms"] for n, m in modalities.items()})
        self.generic = frozenset(findings["generic"])
        self.finding_terms = Terms(
            {**findings["generic"], **findings["states"], **findings["findings"]}
        )
        self.side_terms = Terms({s: (s,) for s in details["sides"]})
        self.plural_terms = Terms({p: (p,) for p in details["plurals"]})
        self.doubt_terms = Terms({d: (d,) for d in details["doubts"]})
        self.detail_terms = Terms({d: (d,) for d in details["details"]})
        self.codes = {
            code: Code(c["means"], c["plain"], tuple(c["misread"]))
            for code, c in table("glossary")["codes"].items()
        }
        #: Abbreviations that a caption may not keep.
        self.code_terms = Terms(
            {
                code: (code,)
                for code, c in self.codes.items()
                if not c.plain and words_of(code) != words_of(c.means)
            }
        )
        self._endings = tuple(details["endings"])
        self._harmless = frozenset(details["no diseases"])
        self.foreign = frozenset(english["foreign"])
        self.prefixes = frozenset(english["prefixes"])
        self.small = frozenset(english["small"])
        self.words = frozenset(
            {*english["small"], *english["words"], *english["compounds"]}
            | {w for t in self._every() for w in t.single_words()}
        )

    def _every(self) -> tuple[Terms, ...]:
        return (
            self.modality_terms,
            self.place_terms,
            self.finding_terms,
            self.side_terms,
            self.detail_terms,
            self.plural_terms,
            self.doubt_terms,
        )

    def canonical(self, words: Iterable[str]) -> frozenset[str]:
        """Words without the small ones; an adjective of a place is the place ("macular")."""
        found = set()
        for word in words:
            place = self.place_terms.find((word,))
            if word[0].isalnum() and word not in self.small:
                found.add(place[0].id if place else word)
        return frozenset(found)

    @functools.cache  # noqa: B019 - there is one lexicon
    def spelled(self, finding: str) -> tuple[frozenset[str], ...]:
        """The words of each name of a finding that has more than one, see :meth:`canonical`."""
        names = (words_of(name) for name in self._spelled.get(finding, ()))
        return tuple(self.canonical(words) for words in names if len(words) > 1)

    def is_disease(self, word: str) -> bool:
        """Whether a word that no table has is built like the name of a disease."""
        return (
            word.endswith(self._endings)
            and len(word) > 5
            and word not in self.words
            and word not in self._harmless
        )

    def modality(self, key: str) -> Modality | None:
        """Of a record's or a table's word for it; None if it is not known."""
        name = self._modality_keys.get(" ".join(key.lower().split()))
        return None if name is None else self.modalities[name]

    def place(self, key: str) -> Place:
        """Of a record's or a table's word for it; what is not known stands for itself."""
        plain = " ".join(key.replace("_", " ").lower().split())
        name = self._place_keys.get(key.lower()) or self._place_keys.get(plain)
        if name is not None:
            return self.places[name]
        found = self.place_terms.find(words_of(plain))
        stated = frozenset(m.id for m in found)
        return Place(plain, f"the {plain}", plain, stated, stated)

    def knows_place(self, key: str) -> bool:
        """Whether a word for an anatomy is one of ours, or made of such words."""
        place = self.place(key)
        return place.name in self.places or bool(place.stated_by)

    def place_like(self, key: str) -> str:
        """The word of ours that one that is not known may be meant for, or ""."""
        return next(iter(difflib.get_close_matches(key.lower(), self._place_keys, 1, 0.75)), "")

    def expand(self, text: str) -> str:
        """A label or anatomy with its abbreviations written out."""
        known = sorted(self.codes, key=len, reverse=True)
        pattern = "|".join(re.escape(code) for code in known)
        return re.sub(
            rf"(?<![\w+-])(?:{pattern})(?![\w+-])",
            lambda m: self.codes[m[0].lower()].means,
            text,
            flags=re.IGNORECASE,
        )


@functools.cache
def lexicon() -> Lexicon:
    """The lexicon that ships with the package."""
    return Lexicon()
