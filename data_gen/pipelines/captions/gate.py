"""The caption gate: a caption says what its label says, no more, no less, nothing else.

Findings are read with the negation rules of :mod:`data_gen.entities.scope`, everything else with
the tables of the lexicon. The gate knows English words of its tables; a finding that none of them
names passes unseen, so a table of labels of one's own should come with the words that it needs.
"""

import dataclasses
from collections.abc import Iterator

from data_gen.entities.scope import Span, judge
from data_gen.entities.tokens import Tokens
from data_gen.pipelines.captions import reasons as why
from data_gen.pipelines.captions.form import faults_of_form
from data_gen.pipelines.captions.lexicon import Lexicon, Match, fold, words_of
from data_gen.pipelines.captions.subject import Subject


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a caption is refused: a key of :data:`.reasons.REASONS`, and what it was."""

    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class _Read:
    """A caption, read."""

    words: tuple[str, ...]
    findings: list[tuple[Match, Span]]
    places: list[Match]
    modalities: list[Match]


def faults(subject: Subject, text: str, lexicon: Lexicon) -> list[Fault]:
    """Everything that is wrong with ``text`` as a caption of ``subject``; empty if it may stay.

    Duplicates are another matter: see :class:`.duplicates.Kept`.
    """
    found = [Fault(reason, detail) for reason, detail in faults_of_form(text, lexicon)]
    read = _read(text, lexicon)
    found += _codes(subject, read, lexicon)
    found += _modality(subject, read)
    found += _place(subject, read)
    found += _finding(subject, read, lexicon)
    found += _extras(subject, read, lexicon)
    return found


def _read(text: str, lexicon: Lexicon) -> _Read:
    tokens = Tokens(fold(text))
    words = tuple(tokens.words)
    findings = lexicon.finding_terms.find(words)
    places = lexicon.place_terms.find(words)
    modalities = lexicon.modality_terms.find(words)
    # "Retinal photograph" says a place and a modality; a finding holds its own place.
    spans = [(m, Span(m.start, m.stop)) for m in findings]
    rest = [Span(m.start, m.stop, is_anatomy=True) for m in places if not m.within(findings)]
    taken = {at for m, _ in spans for at in range(m.start, m.stop)}
    rest = [s for s in rest if not taken & set(range(s.start, s.stop))]
    judge(tokens, sorted([*(s for _, s in spans), *rest], key=lambda s: s.start))
    return _Read(words, spans, places, modalities)


def _codes(subject: Subject, read: _Read, lexicon: Lexicon) -> Iterator[Fault]:
    inside = [m for m, _ in read.findings] + read.places
    for code in subject.codes:
        for wrong in lexicon.codes[code].misread:
            if _holds(read.words, words_of(wrong)):
                yield Fault(why.MISREAD, f"{code!r} read as {wrong!r}")
    for match in lexicon.code_terms.find(read.words):
        if not match.within(inside):
            yield Fault(why.CODE, repr(match.id))


def _holds(words: tuple[str, ...], sequence: tuple[str, ...]) -> bool:
    n = len(sequence)
    return any(words[at : at + n] == sequence for at in range(len(words) - n + 1))


def _modality(subject: Subject, read: _Read) -> Iterator[Fault]:
    named = {m.id for m in read.modalities}
    if subject.modality.name not in named:
        yield Fault(why.NO_MODALITY, f"no word for {subject.modality.name}")
    for other in sorted(named - {subject.modality.name}):
        yield Fault(why.MODALITY, other)


def _place(subject: Subject, read: _Read) -> Iterator[Fault]:
    place = subject.place
    named = {m.id for m in read.places}
    if not named & ({place.name} | place.stated_by) and not _holds(
        read.words, words_of(place.adjective)
    ):
        yield Fault(why.NO_ANATOMY, f"no word for {place.name}")
    outside = [m for m in read.places if not m.within(f for f, _ in read.findings)]
    for other in dict.fromkeys(m.id for m in outside if m.id not in subject.places):
        yield Fault(why.ORGAN, other)


def _finding(subject: Subject, read: _Read, lexicon: Lexicon) -> Iterator[Fault]:
    if subject.kind == "normal":
        yield from _normal(read)
    elif subject.kind == "organ":
        for match, _ in read.findings:
            if match.id != "change":
                yield Fault(why.NEGATION if match.id == "normal" else why.INVENTED, match.id)
    else:
        yield from _present(subject, read, lexicon)


def _normal(read: _Read) -> Iterator[Fault]:
    said = False
    for match, span in read.findings:
        good = match.id == "normal"
        if good == span.negated:  # "not normal", or a finding that is not denied
            if not good and match.id == "change":
                continue
            wrong = why.NEGATION if good or match.id == "abnormality" else why.INVENTED
            yield Fault(wrong, f"{'not ' if good else ''}{match.id}")
        else:
            said = True
    if not said:
        yield Fault(why.NO_FINDING, "does not say that it is normal")


def _present(subject: Subject, read: _Read, lexicon: Lexicon) -> Iterator[Fault]:
    affirmed: set[str] = set()
    every = lexicon.canonical(read.words)
    for match, span in read.findings:
        if match.id == "normal" and "normal" not in subject.findings:
            if not span.negated:
                yield Fault(why.NEGATION, "normal")
        elif whole := _parts_of(subject, read, match, lexicon):
            if span.negated:
                yield Fault(why.NEGATION, f"denies {match.id}")
            else:
                affirmed |= {f for f in whole if any(n <= every for n in lexicon.spelled(f))}
        elif match.id not in subject.findings:
            denied = "denies " if span.negated else ""
            yield Fault(why.INVENTED, f"{denied}{match.id}")
        elif span.negated:
            yield Fault(why.NEGATION, f"denies {match.id}")
        elif span.hedged:
            yield Fault(why.UNCERTAIN, match.id)
        else:
            affirmed.add(match.id)
    places = {m.id for m in read.places} | {subject.place.name}
    missing = [w for w in subject.words if w not in read.words]
    if missing:
        yield Fault(why.NO_FINDING, f"no word for {', '.join(missing)}")
    elif not any(f <= affirmed and p <= places for f, p in subject.stated):
        yield Fault(why.NO_FINDING, f"does not say {subject.says!r}")


def _parts_of(subject: Subject, read: _Read, match: Match, lexicon: Lexicon) -> list[str]:
    """The subject's findings that a wider one is part of: "edema" of "macular edema", which a
    caption may call edema of the macula."""
    if match.id in subject.findings:
        return []
    said = lexicon.canonical(read.words[match.start : match.stop])
    return [f for f in sorted(subject.findings) if any(said < n for n in lexicon.spelled(f))]


def _extras(subject: Subject, read: _Read, lexicon: Lexicon) -> Iterator[Fault]:
    own = {w for name in (*subject.names, subject.label) for w in words_of(name)}
    held = [m for m, _ in read.findings]
    for word in read.words:
        if word not in own and lexicon.is_disease(word):
            yield Fault(why.INVENTED, f"{word!r}, which no table has")
    for match in lexicon.side_terms.find(read.words):
        if not set(read.words[match.start : match.stop]) <= own:
            yield Fault(why.SIDE, match.id)
            break
    details = lexicon.detail_terms.find(read.words)
    for match in details:
        if not match.within(held) and not set(read.words[match.start : match.stop]) <= own:
            yield Fault(why.DETAIL, match.id)
            break
    for match in lexicon.doubt_terms.find(read.words):
        if not match.within(held) and not set(read.words[match.start : match.stop]) <= own:
            yield Fault(why.UNCERTAIN, match.id)
    several = [m for m in lexicon.plural_terms.find(read.words) if not m.within(held)]
    if several and not any(name.startswith("+") for name in subject.names):
        yield Fault(why.DETAIL, several[0].id)
    numbers = [w for w in read.words if w[0].isdigit() and w not in own]
    if numbers and not details:
        yield Fault(why.DETAIL, f"the number {numbers[0]}")
