"""Radiology reports written from the structured findings of a study.

A report says everything that is there, with the right side, and denies only what is absent:
positive sentences are expanded from the finding itself, normal statements and negations from
tables whose entries are blocked by the facts that they would contradict. The style (prose, terse,
telegraphic, structured by organ), the order and the words vary with (seed, index).
"""

import functools

from data_gen.phantom.base import Report
from data_gen.phantom.chest_xray.findings import Finding, Study
from data_gen.phantom.chest_xray.words import lexicon, normals
from data_gen.phantom.chest_xray.words.facts import GROUPS, facts_of, group_of
from data_gen.phantom.chest_xray.words.impression import write_impression
from data_gen.phantom.chest_xray.words.values import values_of
from data_gen.phantom.grammar import Chooser, Grammar, listing, sentence, tidy

STYLES = {"prose": 0.42, "terse": 0.2, "telegraphic": 0.12, "structured": 0.26}

_ORDERS = (
    ("devices", "lungs", "pleura", "heart", "mediastinum", "bones"),
    ("lungs", "pleura", "heart", "mediastinum", "bones", "devices"),
    ("heart", "mediastinum", "lungs", "pleura", "bones", "devices"),
    ("devices", "heart", "mediastinum", "lungs", "pleura", "bones"),
)
#: How often a report states a normal topic that it may state, before the style's brevity.
_TOPIC_RATES = {
    "clear": 0.8,
    "volumes": 0.3,
    "vessels": 0.3,
    "angles": 0.35,
    "pleura": 0.2,
    "diaphragm": 0.25,
    "heart": 0.85,
    "mediastinum": 0.5,
    "hila": 0.35,
    "trachea": 0.25,
    "bones": 0.6,
    "tissue": 0.2,
    "rotation": 0.5,
    "none": 0.06,
}
#: A denial that would only repeat the normal statement of a topic.
_SAME_AS = {"cardiomegaly": "heart", "fracture": "bones"}
_BREVITY = {"prose": 1.0, "terse": 0.85, "telegraphic": 0.75, "structured": 0.9}
_NEGATION_COUNTS = {
    "prose": (2, 3, 4, 5),
    "terse": (2, 3, 4),
    "telegraphic": (2, 3, 4),
    "structured": (3, 4, 5),
}
_HEADINGS = (
    (
        (("devices",), "SUPPORT DEVICES"),
        (("lungs",), "LUNGS"),
        (("pleura",), "PLEURA"),
        (("heart",), "HEART"),
        (("mediastinum",), "MEDIASTINUM"),
        (("bones",), "BONES"),
    ),
    (
        (("heart", "mediastinum"), "Cardiomediastinal silhouette"),
        (("lungs", "pleura"), "Lungs and pleura"),
        (("bones",), "Bones and soft tissues"),
        (("devices",), "Lines and tubes"),
    ),
    (
        (("lungs",), "Lungs"),
        (("pleura",), "Pleural spaces"),
        (("heart", "mediastinum"), "Heart and mediastinum"),
        (("bones",), "Chest wall"),
        (("devices",), "Devices"),
    ),
    (
        (("devices",), "LINES/TUBES"),
        (("heart", "mediastinum"), "HEART/MEDIASTINUM"),
        (("lungs", "pleura"), "LUNGS/PLEURA"),
        (("bones",), "BONES"),
    ),
)


@functools.cache
def grammar() -> Grammar:
    """The rules for what is present, parsed once per process."""
    return Grammar(lexicon.rules())


@functools.cache
def _normal_grammar() -> Grammar:
    # A normal statement is its own little rule, so that tables of words need no second notation.
    rules = {}
    for i, normal in enumerate(normals.NORMALS):
        rules[f"{i}.full"], rules[f"{i}.note"] = normal.full, normal.note
    return Grammar(rules)


def write_report(study: Study, seed: int, index: int) -> Report:
    """Writes the report of ``study``; equal arguments give equal words on any machine.

    Args:
      study: the truth; its view, position, age, inspiration and rotation may be remarked upon.
      seed, index: choose style, order and words. Another pair gives another report of the
        same study.
    """
    chooser = Chooser(f"report {seed} {index}")
    style = chooser.pick(tuple(STYLES), tuple(STYLES.values()))
    writer = _Writer(study, chooser, style)
    body = writer.structured() if style == "structured" else writer.running()
    phrases = {
        i: tidy(grammar().expand(f"{f.name}.np", values_of(f, study.view, chooser), chooser))
        for i, f in enumerate(study.findings)
    }
    impression = write_impression(study, grammar(), chooser)
    return Report(findings=body, impression=impression, phrases=phrases)


class _Writer:
    """One FINDINGS section in the making."""

    def __init__(self, study: Study, chooser: Chooser, style: str) -> None:
        self.study, self.chooser, self.style = study, chooser, style
        self.facts = facts_of(study)
        prose = style == "prose" or (style == "structured" and chooser.chance(0.5))
        self.form = "full" if prose else "note"
        self.denials = self._choose_negations()
        self.topics: set[str] = set()  # those of the normal statements so far

    def running(self) -> str:
        """Sentences or fragments in one paragraph."""
        chooser = self.chooser
        by_group = {g: self._positives(g) for g in GROUPS}
        order = list(chooser.pick(_ORDERS))
        if chooser.chance(0.35):  # what is abnormal first
            order.sort(key=lambda g: not by_group[g])
        deny_at_end = chooser.chance(0.55)
        parts: list[str] = []
        for group in order:
            parts += by_group[group]
            said = self._normals(group)
            if group == "lungs" and self.form == "full" and said and chooser.chance(0.4):
                said[0] = self._extend_clear(said[0])
            parts += said
            if not deny_at_end:
                parts += self._deny([n for n in self.denials if n.group == group])
        if deny_at_end:
            parts += self._deny(self.denials)
        parts = [*self._opening(), *parts]
        if self.style != "telegraphic":
            return " ".join(sentence(p) for p in parts)
        lines = []
        while parts:
            count = chooser.pick((1, 2, 3, 4))
            lines.append(sentence("; ".join(parts[:count])))
            parts = parts[count:]
        return " ".join(lines)

    def structured(self) -> str:
        """A heading per organ, each followed by its statements."""
        headings = self.chooser.pick(_HEADINGS)
        lines = [sentence(p) for p in self._opening()]
        for groups, heading in headings:
            parts: list[str] = []
            for group in groups:
                parts += self._positives(group)
                parts += self._normals(group)
                parts += self._deny([n for n in self.denials if n.group == group])
            if not parts:
                parts = self._any_normal(groups)
            if parts:
                lines.append(f"{heading}: " + " ".join(sentence(p) for p in parts))
        return self.chooser.pick(("\n", " ")).join(lines)

    def _opening(self) -> list[str]:
        study, parts = self.study, []
        if self.chooser.chance(0.22):
            key = "supine" if study.position == "supine" else study.view
            parts.append(self.chooser.pick(normals.TECHNIQUE[key]))
        if self.chooser.chance(0.07):
            parts.append(self.chooser.pick(normals.COMPARISON))
        return parts

    def _positives(self, group: str) -> list[str]:
        chooser = self.chooser
        found = [f for f in self.study.findings if group_of(f) == group]
        found = chooser.shuffled(found)
        if group != "devices" and chooser.chance(0.6):
            found.sort(key=lambda f: ("severe", "moderate", "mild").index(f.severity))
        if len(found) > 1 and group != "devices" and chooser.chance(0.3):
            pair = listing([self._noun(f) for f in found[:2]], chooser.pick(("and", "with")))
            lead = "There is " if self.form == "full" else ""
            return [lead + pair, *(self._say(f) for f in found[2:])]
        return [self._say(f) for f in found]

    def _noun(self, finding: Finding) -> str:
        slots = values_of(finding, self.study.view, self.chooser)
        article = f"{slots['a']} " if self.form == "full" else ""
        return article + grammar().expand(f"{finding.name}.np", slots, self.chooser)

    def _say(self, finding: Finding) -> str:
        chooser, form = self.chooser, self.form
        if finding.severity == "mild" and lexicon.has_hedge(finding.name):
            if form == "full" and chooser.chance(0.35):
                form = "hedge"
            elif form == "note" and chooser.chance(0.15):
                word = chooser.pick(("possible", "probable", "suspected", "likely"))
                return f"{word} {self._noun(finding)}"
        slots = values_of(finding, self.study.view, chooser)
        return grammar().expand(f"{finding.name}.{form}", slots, chooser)

    def _normals(self, group: str) -> list[str]:
        """At most one statement per topic, each topic with its rate."""
        topics: dict[str, list[int]] = {}
        for i, normal in enumerate(normals.NORMALS):
            if normal.group == group and normal.allowed(self.facts):
                topics.setdefault(normal.topic, []).append(i)
        said = []
        for topic, choices in topics.items():
            if topic not in self.topics and self.chooser.chance(
                _TOPIC_RATES[topic] * _BREVITY[self.style]
            ):
                said.append(self._normal(self.chooser.pick(choices)))
                self.topics.add(topic)
        if any("cardiomediastinal" in text.lower() for text in said):
            self.topics.add("mediastinum")
        return said

    def _normal(self, i: int) -> str:
        return _normal_grammar().expand(f"{i}.{self.form}", {}, self.chooser)

    def _any_normal(self, groups: tuple[str, ...]) -> list[str]:
        # Remarks on the exposure are no answer to "HEART:", so they do not count here.
        choices = [
            i
            for i, normal in enumerate(normals.NORMALS)
            if normal.group in groups and normal.topic != "rotation" and normal.allowed(self.facts)
        ]
        return [self._normal(self.chooser.pick(choices))] if choices else []

    def _choose_negations(self) -> list[normals.Negation]:
        allowed = [n for n in normals.NEGATIONS if not n.blocked & self.facts]
        wanted = self.chooser.pick(_NEGATION_COUNTS[self.style])
        chosen: list[normals.Negation] = []
        while allowed and len(chosen) < wanted:
            one = self.chooser.pick(allowed, [n.weight for n in allowed])
            chosen.append(one)
            allowed = [n for n in allowed if n.label != one.label]
        return chosen

    def _extend_clear(self, statement: str) -> str:
        lungs = [n for n in self.denials if n.group == "lungs"]
        if "clear" not in statement or not lungs:
            return statement
        self.denials = [n for n in self.denials if n.group != "lungs"]
        words = [self.chooser.pick(n.words) for n in lungs]
        return f"{statement}, without {listing(words, 'or')}"

    def _deny(self, negations: list[normals.Negation]) -> list[str]:
        negations = [n for n in negations if _SAME_AS.get(n.label) not in self.topics]
        if not negations:
            return []
        words = [self.chooser.pick(n.words) for n in negations]
        items = listing(words, "or")
        if self.form == "note":
            return [f"no {items}"]
        forms = [
            f"There is no {items}",
            f"No {items}",
            f"No {items} is seen",
            f"No {items} is identified",
            f"There is no evidence of {items}",
        ]
        if len(words) == 2:
            forms.append(f"Neither {words[0]} nor {words[1]} is seen")
        return [self.chooser.pick(forms)]
