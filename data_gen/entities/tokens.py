"""Texts as normalised words: what a lexicon compares, with the places that they came from."""

import re

#: Plurals and spellings that no rule makes.
_IRREGULAR = {
    "pneumothoraces": "pneumothorax",
    "metastases": "metastasis",
    "apices": "apex",
    "sulci": "sulcus",
    "bullae": "bulla",
    "hila": "hilum",
    "bronchi": "bronchus",
    "vertebrae": "vertebra",
    "diagnoses": "diagnosis",
    "granulomata": "granuloma",
    "calices": "calyx",
    "septa": "septum",
    "axillae": "axilla",
    "oedema": "edema",
    "haemothorax": "hemothorax",
    "haemorrhage": "hemorrhage",
    "oesophagus": "esophagus",
    "tumour": "tumor",
    "goitre": "goiter",
    "calibre": "caliber",
    "fibre": "fiber",
    "opacifications": "opacification",
    "hiatus": "hiatal",
    "aicd": "icd",
}
_TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?(?:st|nd|rd|th)?|[.;:,?!()\n]")
_cache: dict[str, str] = {}


def normal(word: str) -> str:
    """A word in lower case, singular, in American spelling: ``"Opacities"`` -> ``"opacity"``."""
    found = _cache.get(word)
    if found is None:
        found = _cache[word] = _normal(word.lower())
    return found


def _normal(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


class Tokens:
    """The words and marks of a text.

    Attributes:
      words: normalised words; marks stand for themselves, and a line break that ends a sentence
        (an empty line, or one before a heading, a dash or a number) is ``"."``. Hyphens separate.
      starts, ends: where they stand, in characters.
    """

    __slots__ = ("ends", "starts", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        cache = _cache
        words, starts, ends = self.words, self.starts, self.ends
        for match in _TOKEN.finditer(text):
            word = match[0]
            start, end = match.span()
            if word == "\n":
                if not _LINE_ENDS.match(text, end):
                    continue
                word = "."
            words.append(cache.get(word) or normal(word))
            starts.append(start)
            ends.append(end)

    def __len__(self) -> int:
        return len(self.words)


_LINE_ENDS = re.compile(r"\s*(?:\n|\d+[.)]\s|[-*•]\s|[A-Z][A-Za-z /]*:|\Z)")


def content_words(text: str) -> tuple[str, ...]:
    """The normalised words of a phrase, without articles, "of" and marks."""
    return tuple(w for w in Tokens(text).words if w not in ARTICLES and w[0].isalnum())


ARTICLES = frozenset({"the", "a", "an", "of"})
