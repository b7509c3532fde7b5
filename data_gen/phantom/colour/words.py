"""Reports of the colour modalities: one writer over tables of words.

A report says everything that is there and denies only what is absent: a positive statement is
expanded from the finding, normal statements and denials come from tables whose entries are blocked
by the findings that they would contradict.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from data_gen.phantom.base import Report, Study
from data_gen.phantom.colour.finding import Finding
from data_gen.phantom.grammar import Chooser, Grammar, listing, sentence

Words = tuple[str, ...]


@dataclass(frozen=True)
class Normal:
    """A statement that something is normal, unless one of ``blocked`` is there."""

    topic: str
    blocked: frozenset[str]
    words: Words


@dataclass(frozen=True)
class Lexicon:
    """The words of a modality, in the notation of :mod:`data_gen.phantom.grammar`.

    Attributes:
      grammar: for each finding the symbols ``"NAME.np"`` (a phrase) and ``"NAME.full"`` (a
        sentence), and ``"opening"`` (what is looked at), ``"caption"`` (a phrase, with the slot
        ``np``, and what it is a picture of), ``"normal"`` (the impression of a normal study).
      normals: for one kind of study.
      denials: finding -> how it is denied, after "no".
      slots: what the rules may use for a study.
      values: what they may use for one of its findings too.
      conclude: the impression of a study with findings, a list of clauses.
    """

    grammar: Grammar
    normals: Callable[[Study], Sequence[Normal]]
    denials: Callable[[Study], Mapping[str, Words]]
    slots: Callable[[Study, Chooser], dict[str, str | None]]
    values: Callable[[Finding, Chooser], dict[str, str | None]]
    conclude: Callable[[Study, Sequence[Finding], Sequence[str], Chooser], list[str]]


def write_report(study: Study, seed: int, words: Lexicon) -> Report:
    """The report of a study; equal arguments give equal words on any machine."""
    chooser = Chooser(f"report {seed} {study.index}")
    common = words.slots(study, chooser)
    findings: list[Finding] = list(study.findings)  # pyright: ignore[reportAssignmentType]

    def expand(symbol: str, finding: Finding | None = None) -> str:
        slots = common if finding is None else {**common, **words.values(finding, chooser)}
        return words.grammar.expand(symbol, slots, chooser)

    terse = chooser.chance(0.25)
    present = {f.name for f in findings}
    parts = [] if terse and chooser.chance(0.5) else [expand("opening")]
    positives = [expand(f"{f.name}.{'np' if terse else 'full'}", f) for f in findings]
    normals: dict[str, str] = {}
    for normal in chooser.shuffled(words.normals(study)):
        if not normal.blocked & present and normal.topic not in normals and chooser.chance(0.75):
            normals[normal.topic] = chooser.pick(normal.words)
    calm = list(normals.values())
    parts += [*calm, *positives] if chooser.chance(0.25) else [*positives, *calm]
    absent = [name for name in words.denials(study) if name not in present]
    denied = chooser.sample(absent, chooser.pick((1, 2, 3, 4)))
    if denied:
        items = listing([chooser.pick(words.denials(study)[n]) for n in denied], "or")
        forms = ("No {}", "The picture shows no {}", "No signs of {}", "There is no evidence of {}")
        parts.append(f"no {items}" if terse else chooser.pick(forms).format(items))
    phrases = {}
    for i, finding in enumerate(findings):
        phrase = expand(f"{finding.name}.np", finding)
        if chooser.chance(0.6):
            slots = {**common, "np": phrase}
            phrase = words.grammar.expand("caption", slots, chooser)
        phrases[i] = phrase
    if findings:
        order = sorted(findings, key=lambda f: -("mild", "moderate", "severe").index(f.severity))
        nouns = [expand(f"{f.name}.np", f) for f in order]
        clauses = words.conclude(study, order, nouns, chooser)
    else:
        clauses = [expand("normal")]
    return Report(
        " ".join(sentence(p) for p in parts), " ".join(sentence(c) for c in clauses), phrases
    )
