"""What captions are about: a modality, an anatomy and a label, and what may be said of them."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

from data_gen.entities.tokens import normal
from data_gen.pipelines.captions.lexicon import Lexicon, Modality, Place, lexicon, table, words_of
from medvlp_jax.core.errors import UserError, one_net

Kind = Literal["finding", "normal", "organ"]
#: Labels that say that nothing was found.
NORMAL = frozenset({"normal", "no finding", "healthy", "no abnormality", "no dr", "negative"})
#: Names (or ``normal``, ``organ``), doubt, place and codes of a key.
_Entry = tuple[Any, str, Place, tuple[str, ...]]
_MEND = "see docs/data.md for the form of a table of labels"


class CaptionError(UserError, ValueError):
    """A label cannot become captions; one line that names it and the mend."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A key of a label, read.

    Attributes:
      modality, place: of the pictures.
      label: as records have it.
      kind: ``finding``; ``normal``, nothing is wrong; ``organ``, only what is shown is known.
      names: how a caption may name the finding, with its article; ``+`` marks a plural.
      stated: sets of (finding, place) ids, one of which a caption must hold entirely.
      findings, places: ids that a caption may name.
      words: words that must be said because the lexicon does not know them: of a label that is in
        no table.
      doubt: why the reading of the key is not certain; empty if it is.
      codes: abbreviations that the key holds.
    """

    modality: Modality
    place: Place
    label: str
    kind: Kind
    names: tuple[str, ...]
    stated: tuple[tuple[frozenset[str], frozenset[str]], ...] = ()
    findings: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    doubt: str = ""
    codes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What files and messages call it."""
        return f"{self.modality.name}, {self.place.name}, {self.label}"

    @property
    def says(self) -> str:
        """The finding in words, for a prompt and for the grammar."""
        return self.names[0].lstrip("+") if self.names else self.label


class Labels:
    """Reads keys with a table of labels and, for what is not in it, with the lexicon."""

    def __init__(self, path: str = "", words: Lexicon | None = None) -> None:
        """``path``: a table of one's own, of the form of ``lexicon/radimagenet.json``; its keys
        come before the shipped ones.

        Raises:
          CaptionError: it cannot be read.
        """
        self.lexicon = words or lexicon()
        self._known: dict[tuple[str, str, str], _Entry] = {}
        for shipped_table in ("common", "radimagenet"):
            self._add(table(shipped_table)["groups"])
        if path:
            with one_net(path, _MEND, CaptionError):
                self._add(json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["groups"])

    def _add(self, groups: Any) -> None:
        for group in groups:
            modality = self._modality(str(group["modality"]))
            place = self.lexicon.place(str(group.get("region", group["anatomy"])))
            doubts = group.get("doubts", {})
            for label, names in group["labels"].items():
                if names not in ("normal", "organ") and not (
                    isinstance(names, list) and names and all(isinstance(n, str) for n in names)
                ):
                    raise CaptionError(f"label {label!r} has {names!r}; give a list of names")
                codes = self._codes(f"{group['anatomy']} {label}")
                entry = (names, str(doubts.get(label, "")), place, codes)
                for anatomy in (str(group["anatomy"]).lower(), place.name):
                    self._known[modality.name, anatomy, label.lower()] = entry

    def _codes(self, key: str) -> tuple[str, ...]:
        words = key.lower().split()
        return tuple(c for c in self.lexicon.codes if c in words or (" " in c and c in key.lower()))

    def _modality(self, key: str) -> Modality:
        found = self.lexicon.modality(key)
        if found is None:
            raise CaptionError(
                f"modality {key!r} is not known; use one of {', '.join(self.lexicon.modalities)}, "
                "or map it with config.modalities"
            )
        return found

    def read(self, modality: str, anatomy: str, label: str) -> Subject:
        """The subject of a key.

        Raises:
          CaptionError: the modality is not known.
        """
        how = self._modality(modality)
        plain, place = label.lower().strip(), self.lexicon.place(anatomy)
        entry = self._known.get((how.name, anatomy.lower(), plain))
        entry = entry or self._known.get((how.name, place.name, plain))
        listed = entry is not None
        names, doubt, place, codes = entry or self._unlisted(place, anatomy, plain)
        if isinstance(names, str):
            kind: Kind = "normal" if names == "normal" else "organ"
            return self._named(Subject(how, place, label, kind, (), doubt=doubt, codes=codes))
        found = Subject(how, place, label, "finding", tuple(names), doubt=doubt, codes=codes)
        return self._named(found, listed)

    def _unlisted(self, place: Place, anatomy: str, label: str) -> _Entry:
        """What no table has, read by its words."""
        codes = self._codes(f"{anatomy} {label}")
        if label in NORMAL:
            return "normal", "", place, codes
        if self.lexicon.place(label).name == place.name:
            return "organ", "", place, codes
        name = self.lexicon.expand(label)
        last = name.split()[-1]
        return [f"+{name}" if normal(last) != last else name], "", place, codes

    def _named(self, subject: Subject, listed: bool = True) -> Subject:
        """With what its names say, read by the lexicon; ``listed``: they are of a table."""
        lex, place = self.lexicon, subject.place
        places = {place.name, *place.generic, *place.stated_by}
        if subject.kind == "organ":
            places.add("organ")
        if subject.kind == "normal":
            places |= {n for n, inside in lex.inside.items() if {place.name, "*"} & inside}
            return dataclasses.replace(subject, places=frozenset(places))
        stated, findings, unknown = [], set(lex.generic), ()
        for name in subject.names:
            words = words_of(name)
            terms, spots = lex.finding_terms.find(words), lex.place_terms.find(words)
            found, sites = {m.id for m in terms}, {m.id for m in spots}
            stated.append((frozenset(found - {"change"} or found), frozenset(sites)))
            findings |= found
            places |= sites
            if not found or not listed:
                known = {at for m in terms + spots for at in range(m.start, m.stop)}
                rest = [w for at, w in enumerate(words) if at not in known]
                unknown = tuple(w for w in rest if w[0].isalnum() and w not in lex.small)
        return dataclasses.replace(
            subject,
            stated=tuple(stated),
            findings=frozenset(findings),
            places=frozenset(places),
            words=unknown,
        )


def radimagenet_keys() -> list[tuple[str, str, str]]:
    """The 165 published keys: modality, anatomy, label."""
    return [
        (group["modality"], group["anatomy"], label)
        for group in table("radimagenet")["groups"]
        for label in group["labels"]
    ]


@functools.cache
def shipped() -> Labels:
    """Labels without a table of one's own."""
    return Labels()


def as_json(subject: Subject) -> Mapping[str, Any]:
    """What a reader of ``captions.json`` needs of a subject."""
    return {
        "modality": subject.modality.name,
        "anatomy": subject.place.name,
        "label": subject.label,
        "kind": subject.kind,
        "read as": subject.says,
        **({"doubt": subject.doubt} if subject.doubt else {}),
    }
