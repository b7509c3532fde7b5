"""What is wrong with a report, given the entities that it had to state.

The check is recall 1 and no unasked positive: every entity of the request is said with the right
polarity and side, nothing else is stated as present, and the text contradicts neither itself nor
the request. (SynCXR asks for equal sets of recognised strings, which any paraphrase breaks; its
demand that IMPRESSION repeat every entity is an option.)
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from data_gen.entities.entity import Entity, Mention
from data_gen.entities.extract import EntityExtractor
from data_gen.entities.ontology import Ontology, ontology
from data_gen.entities.rules import sides_meet
from data_gen.entities.style import style_faults
from data_gen.entities.tokens import content_words
from data_gen.reports.base import WrittenReport
from medvlp_jax.core.fields import Count

Kind = Literal["missing", "extra", "flipped", "side", "contradiction", "length", "style", "error"]


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong with a report.

    Attributes:
      kind: what sort of fault.
      message: one sentence that a writer can act on.
      section: ``findings``, ``impression``, or empty for both.
    """

    kind: Kind
    message: str
    section: str = ""

    def __str__(self) -> str:
        return f"{self.section}: {self.message}" if self.section else self.message


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """What a report must keep to.

    Attributes:
      impression: ``summary``, where it may leave things out but says nothing new; ``all``, where
        it names every entity again.
      words: least and most words of FINDINGS.
      impression_words: least and most words of IMPRESSION.
      hedged_extra: allow unasked things that the text calls possible.
      sides: compare sides.
      style: refuse markdown, headings within a section, talk of the writer or of an earlier study,
        dates, placeholders, and repeated sentences.
    """

    impression: Literal["summary", "all"] = "summary"
    words: tuple[Count, Count] = (8, 300)
    impression_words: tuple[Count, Count] = (1, 150)
    hedged_extra: bool = False
    sides: bool = True
    style: bool = True

    def __post_init__(self) -> None:
        for name in ("words", "impression_words"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name}={low, high} must be a least and a most")


class ReportChecker:
    """Compares reports with entities, by what an extractor finds in them."""

    def __init__(self, extractor: EntityExtractor, config: CheckConfig | None = None) -> None:
        self.extractor, self.config = extractor, config or CheckConfig()
        self.words: Ontology = getattr(extractor, "ontology", None) or ontology()

    def check(self, report: WrittenReport, entities: Sequence[Entity]) -> tuple[Fault, ...]:
        """What is wrong; empty for a report that can be kept."""
        if report.error:
            return (Fault("error", report.error),)
        c, faults = self.config, []
        for section, text, bounds in (
            ("findings", report.findings, c.words),
            ("impression", report.impression, c.impression_words),
        ):
            count = len(text.split())
            if not bounds[0] <= count <= bounds[1]:
                message = f"it has {count} words, and {bounds[0]} to {bounds[1]} are wanted"
                faults.append(Fault("length", message, section))
            if c.style:
                faults += [Fault("style", why, section) for why in style_faults(text)]
        mentions = {
            "findings": self.extractor.extract(report.findings),
            "impression": self.extractor.extract(report.impression),
        }
        faults += self._stated(entities, mentions["findings"], report.findings, "findings")
        if c.impression == "all":
            faults += self._stated(
                entities, mentions["impression"], report.impression, "impression"
            )
        else:
            faults += self._summed_up(entities, mentions["impression"])
        for section, found in mentions.items():
            faults += self._unasked(entities, found, section)
            faults += self._against_itself(found, section)
        return tuple(dict.fromkeys(faults))

    def stated_labels(
        self, text: str, labels: Mapping[str, int], mentions: Sequence[Mention] | None = None
    ) -> tuple[str, ...]:
        """The labels of value 1 that a text states as present; "no finding" where it denies all."""
        words = self.words
        found = self.extractor.extract(text) if mentions is None else mentions
        stated = {m.label for m in found if m.positive and m.label}
        if not any(m.positive and m.label not in words.incidental for m in found):
            stated.add(words.no_finding)
        return tuple(name for name, value in labels.items() if value == 1 and name in stated)

    def _stated(
        self, entities: Sequence[Entity], found: Sequence[Mention], text: str, section: str
    ) -> Iterator[Fault]:
        """Every entity, with the right polarity and side."""
        for entity in entities:
            if entity.is_anatomy:
                if not _names_place(entity, found, text):
                    yield Fault("missing", f"name the {entity.text}", section)
                continue
            same = [m for m in found if not m.is_anatomy and self._same(entity, m)]
            verb = "state" if entity.positive else "deny"
            if not same:
                yield Fault("missing", f"{verb} {entity.text}", section)
            elif not any(m.positive == entity.positive for m in same):
                yield Fault("flipped", f"{verb} {entity.text}, not the opposite", section)
            elif self.config.sides and entity.positive and not _side_kept(entity, same):
                message = f"{entity.text} is {entity.side}, and the text says otherwise"
                yield Fault("side", message, section)

    def _summed_up(self, entities: Sequence[Entity], found: Sequence[Mention]) -> Iterator[Fault]:
        """An IMPRESSION names one present thing at least, and denies none of them."""
        present = [e for e in entities if e.positive]
        said = [m for m in found if m.positive]
        if present and not any(
            self._same(e, m) or self._implies(e, m) for e in present for m in said
        ):
            yield Fault("missing", f"sum up {', '.join(e.text for e in present)}", "impression")
        for entity in entities:
            same = [m for m in found if self._same(entity, m) and not m.is_anatomy]
            against = [m for m in same if m.positive != entity.positive]
            if same and len(against) == len(same) and _sides_fit(entity, against):
                verb = "state" if entity.positive else "deny"
                yield Fault("flipped", f"{verb} {entity.text}, not the opposite", "impression")

    def _unasked(
        self, entities: Sequence[Entity], found: Sequence[Mention], section: str
    ) -> Iterator[Fault]:
        """Nothing is present that no entity brings, and nothing denied that one shows."""
        present = [e for e in entities if e.positive]
        for mention in found:
            if mention.is_anatomy:
                continue
            if mention.positive:
                asked = any(self._same(e, mention) or self._implies(e, mention) for e in present)
                if asked or (mention.hedged and self.config.hedged_extra):
                    continue
                if any(e.negative and self._same(e, mention) for e in entities):
                    continue  # that is a flip, or another sentence denies it
                yield Fault("extra", f"say nothing of {mention.text}", section)
            else:
                for entity in present:
                    if self._shows(entity, mention) and not self._same(entity, mention):
                        message = f"{mention.text} is denied, but there is {entity.text}"
                        yield Fault("contradiction", message, section)

    def _against_itself(self, found: Sequence[Mention], section: str) -> Iterator[Fault]:
        """The same concept on the same side is not both there and not there."""
        things = [m for m in found if not m.is_anatomy]
        for a, b in itertools.combinations(things, 2):
            if a.canonical == b.canonical and a.positive != b.positive:
                if sides_meet(a.side, b.side):
                    there, gone = (a, b) if a.positive else (b, a)
                    message = f"{there.text} is stated and {gone.text} denied"
                    yield Fault("contradiction", message, section)
            elif a.positive and b.positive and not (a.hedged or b.hedged):
                first = self.words.concepts.get(a.canonical)
                if first is not None and b.canonical in first.contradicts:
                    yield Fault("contradiction", f"{a.text} excludes {b.text}", section)

    def _same(self, entity: Entity, mention: Mention) -> bool:
        if entity.canonical == mention.canonical:
            return True
        if mention.canonical in self.words.concepts and entity.canonical in self.words.concepts:
            return False
        wanted, said = set(content_words(entity.text)), set(content_words(mention.text))
        return bool(wanted) and (wanted <= said or said <= wanted)

    def _implies(self, entity: Entity, mention: Mention) -> bool:
        return mention.canonical in self.words.implied.get(entity.canonical, ())

    def _shows(self, entity: Entity, mention: Mention) -> bool:
        return self._implies(entity, mention) and sides_meet(entity.side, mention.side)


def _side_kept(entity: Entity, same: Sequence[Mention]) -> bool:
    """Whether the side that an entity's words name is the one that the text gives it.

    An entity without a side may still have the word in its name (right aortic arch).
    """
    words = set(content_words(entity.text))
    if not entity.side or not words & {"left", "right"}:
        return True
    return any(m.positive and (not m.side or m.side == entity.side) for m in same)


def _sides_fit(entity: Entity, against: Sequence[Mention]) -> bool:
    return any(sides_meet(entity.side, m.side) for m in against)


def _names_place(entity: Entity, found: Sequence[Mention], text: str) -> bool:
    """Whether a text names a place: as a mention of it, or by its words in one sentence."""
    if (
        any(
            m.is_anatomy and m.canonical == entity.canonical and sides_meet(entity.side, m.side)
            for m in found
        )
        and not entity.attributes
    ):
        return True
    wanted = set(content_words(entity.text)) - {"both"}
    return any(wanted <= set(content_words(s)) for s in text.replace(";", ".").split("."))
