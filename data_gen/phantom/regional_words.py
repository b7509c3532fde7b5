"""Reports of a modality of several regions: what is seen, what is not, and what it comes to.

The words of a modality are tables (:class:`SiteWords` per site, rules of
:mod:`data_gen.phantom.grammar` per finding); this writes a report from them. A sentence can only
follow from the study: findings are affirmed from the list, and denied by the labels of the site.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from data_gen.phantom.base import Report
from data_gen.phantom.grammar import Alternatives, Chooser, Grammar, listing, sentence
from data_gen.phantom.regional import SEVERITIES, Finding, Study

Slots = dict[str, str | None]


@dataclasses.dataclass(frozen=True)
class Normal:
    """What may be said of an organ where no finding speaks against it.

    Attributes:
      words: sentences without full stop.
      blocked: labels that forbid it.
    """

    words: tuple[str, ...]
    blocked: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class SiteWords:
    """Words of a site.

    Attributes:
      region: what was examined, e.g. ``"brain"``.
      denials: label -> what is not there, e.g. ``"acute infarct"``.
      normals: sentences about organs.
      healthy: impressions of a study without findings; slots as in a grammar.
    """

    region: str
    denials: Mapping[str, tuple[str, ...]]
    normals: tuple[Normal, ...]
    healthy: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Words:
    """Words of a modality.

    Attributes:
      rules: of the grammar; ``"<finding>.np"`` are noun phrases, ``"<finding>.full"`` sentences
        without full stop.
      sites: by name.
      examination: study -> what it is called in a sentence, several ways.
      slots: study, finding, chooser -> values of the slots of that finding.
      advice: label -> what may be recommended.
      urgency: label -> rank in the impression; the highest comes first.
    """

    rules: Mapping[str, Alternatives]
    sites: Mapping[str, SiteWords]
    examination: Callable[[Study], tuple[str, ...]]
    slots: Callable[[Study, Finding, Chooser], Slots]
    advice: Mapping[str, tuple[str, ...]]
    urgency: Mapping[str, float]

    @functools.cached_property
    def grammar(self) -> Grammar:
        return Grammar(self.rules)


_OPENINGS = (
    "{exam} was performed",
    "{exam} was obtained",
    "Technique: {exam}",
    "{exam}",
    "One image is reviewed: {exam}",
)
_NEGATIVES = ("No {list}", "No {list} in this image", "There is no evidence of {list}")
_TAILS = ("on {exam}", "seen on {exam}", "shown by {exam}", "in this {exam}")
_HEADS = ("{Exam} showing {np}", "{Exam} with {np}", "{Exam}: {np}", "{Exam} demonstrating {np}")


def write_report(words: Words, study: Study, seed: int) -> Report:
    """The report of a study; another seed gives other words."""
    chooser = Chooser(f"{seed}/{study.seed}/{study.index}/{study.site}/report")
    site = words.sites[study.site]
    present = {name for name, value in study.labels().items() if value == 1}
    affirmed = []
    for found in chooser.shuffled(study.findings):
        slots = words.slots(study, found, chooser)
        affirmed.append(words.grammar.expand(f"{found.name}.full", slots, chooser))
    fine = [n for n in site.normals if not n.blocked & present]
    kept = chooser.sample(fine, 1 + int(chooser.chance(0.7)) + int(chooser.chance(0.5)))
    normals = [chooser.pick(n.words) for n in kept]
    normals += _denied(site, present, chooser)
    body = [*affirmed, *chooser.shuffled(normals)]
    if chooser.chance(0.25):
        body = [*chooser.shuffled(normals), *affirmed]
    exam = chooser.pick(words.examination(study))
    if chooser.chance(0.6):
        body.insert(0, chooser.pick(_OPENINGS).format(exam=exam))
    phrases = {i: _phrase(words, study, f, chooser) for i, f in enumerate(study.findings)}
    impression = _impression(words, study, site, chooser)
    return Report(" ".join(sentence(text) for text in body), impression, phrases)


def _denied(site: SiteWords, present: set[str], chooser: Chooser) -> list[str]:
    """Sentences that deny some of what is not there."""
    absent = [name for name in site.denials if name not in present]
    if not absent:
        return []
    chosen = chooser.sample(absent, 1 + int(3 * float(chooser.chance(0.6))))
    items = [chooser.pick(site.denials[name]) for name in chosen]
    if len(items) > 1 and chooser.chance(0.3):
        cut = len(items) // 2
        return [chooser.pick(_NEGATIVES).format(list=listing(p, "or")) for p in
                (items[:cut], items[cut:])]  # fmt: skip
    return [chooser.pick(_NEGATIVES).format(list=listing(items, "or"))]


def _phrase(words: Words, study: Study, found: Finding, chooser: Chooser) -> str:
    """A noun phrase; half of the time it says what the picture is."""
    slots = words.slots(study, found, chooser)
    phrase = words.grammar.expand(f"{found.name}.np", slots, chooser)
    exam = chooser.pick(words.examination(study))
    if chooser.chance(0.25):
        return chooser.pick(_HEADS).format(Exam=exam[:1].upper() + exam[1:], np=phrase)
    if chooser.chance(0.35):
        return f"{phrase} {chooser.pick(_TAILS).format(exam=exam)}"
    return phrase


def _impression(words: Words, study: Study, site: SiteWords, chooser: Chooser) -> str:
    exam = chooser.pick(words.examination(study))
    if not study.findings:
        return sentence(chooser.pick(site.healthy).format(exam=exam, region=site.region))
    ranked = sorted(
        study.findings,
        key=lambda f: words.urgency[f.name] + SEVERITIES.index(f.severity),
        reverse=True,
    )
    items = []
    for found in ranked:
        slots = words.slots(study, found, chooser)
        items.append(words.grammar.expand(f"{found.name}.np", slots, chooser))
    if len(items) > 1 and chooser.chance(0.35):
        items = [listing(items, "and")]
    advised = [n for n in (f.name for f in ranked[:1]) if n in words.advice]
    if advised and chooser.chance(0.25):
        items.append(chooser.pick(words.advice[advised[0]]))
    return _laid_out([sentence(item) for item in items], chooser)


def _laid_out(lines: Sequence[str], chooser: Chooser) -> str:
    if len(lines) > 1 and chooser.chance(0.35):
        return " ".join(f"{i}. {line}" for i, line in enumerate(lines, 1))
    return " ".join(lines)
