"""Reports of slides from the structured findings of a study."""

import functools
from collections.abc import Sequence
from typing import cast

from data_gen.phantom import base
from data_gen.phantom.base import Report
from data_gen.phantom.colour import words
from data_gen.phantom.colour.finding import Finding
from data_gen.phantom.grammar import Chooser, Grammar, listing
from data_gen.phantom.pathology.findings import JUDGED, Study
from data_gen.phantom.pathology.words import lexicon


@functools.cache
def _words() -> words.Lexicon:
    """The rules, parsed once per process."""
    return words.Lexicon(
        grammar=Grammar(lexicon.RULES),
        normals=lambda study: lexicon.NORMALS[cast(Study, study).specimen],
        denials=lambda study: {n: lexicon.DENIALS[n] for n in JUDGED[cast(Study, study).specimen]},
        slots=_slots,
        values=_values,
        conclude=_conclude,
    )


def write_report(study: Study, seed: int) -> Report:
    """The report of ``study``; another seed gives other words."""
    return words.write_report(study, seed, _words())


def _slots(study: base.Study, chooser: Chooser) -> dict[str, str | None]:
    return {
        "tissue": chooser.pick(lexicon.TISSUES[cast(Study, study).specimen]),
        "picture": chooser.pick(lexicon.PICTURES[study.view]),
        "stain": study.view,
    }


def _values(finding: Finding, chooser: Chooser) -> dict[str, str | None]:
    slots: dict[str, str | None] = {
        name: chooser.pick(choices) for name, choices in lexicon.VALUES[finding.severity].items()
    }
    more = {
        name: str(finding.attributes[name])
        for name in ("form", "differentiation")
        if name in finding.attributes
    }
    return {**slots, **more}


def _conclude(
    study: base.Study, findings: Sequence[Finding], nouns: Sequence[str], chooser: Chooser
) -> list[str]:
    """All findings in one clause with the specimen, or a clause for each."""
    tissue = chooser.pick(lexicon.TISSUES[cast(Study, study).specimen])
    if chooser.chance(0.5):
        return [f"{tissue}: {listing(nouns, 'and')}"]
    return [f"{nouns[0]} in {tissue}", *nouns[1:]]
