"""Reports of fundus photographs from the structured findings of a study."""

import functools
from collections.abc import Sequence
from typing import cast

from data_gen.phantom import base
from data_gen.phantom.base import Report
from data_gen.phantom.colour import words
from data_gen.phantom.colour.finding import Finding
from data_gen.phantom.fundus.findings import DIABETIC, MACULAR, Study, grade
from data_gen.phantom.fundus.words import lexicon
from data_gen.phantom.grammar import Chooser, Grammar, listing


@functools.cache
def _words() -> words.Lexicon:
    """The rules, parsed once per process."""
    return words.Lexicon(
        grammar=Grammar(lexicon.RULES),
        normals=lambda study: lexicon.NORMALS,
        denials=lambda study: lexicon.DENIALS,
        slots=_slots,
        values=_values,
        conclude=_conclude,
    )


def write_report(study: Study, seed: int) -> Report:
    """The report of ``study``; another seed gives other words."""
    return words.write_report(study, seed, _words())


def _slots(study: base.Study, chooser: Chooser) -> dict[str, str | None]:
    eye = cast(Study, study).eye
    return {"eye": eye, "code": "OD" if eye == "right" else "OS", "view": study.view}


def _values(finding: Finding, chooser: Chooser) -> dict[str, str | None]:
    more, ratio = finding.attributes, finding.attributes.get("cup_to_disc")
    site = chooser.pick(lexicon.SITES[finding.zone])
    hazy = {"mild": "slightly hazy", "moderate": "hazy", "severe": "very hazy"}
    return {
        "some": chooser.pick(lexicon.AMOUNTS["count"][finding.severity]),
        "amount": chooser.pick(lexicon.AMOUNTS["degree"][finding.severity]),
        "site": site,
        "where": site if finding.zone == "disc" else f"elsewhere, {site}",
        "hazy": hazy[finding.severity],
        "ratio": None if ratio is None else f"{ratio:.1f}",
        **{name: str(more[name]) for name in ("form", "pattern", "kind") if name in more},
    }


def _conclude(
    study: base.Study, findings: Sequence[Finding], nouns: Sequence[str], chooser: Chooser
) -> list[str]:
    """Diseases by name with the eye, and sometimes the signs that they stand on."""
    eye = cast(Study, study).eye
    by_name = dict(zip((f.name for f in findings), nouns, strict=True))
    clauses = []
    reached = grade(tuple(findings))
    groups = [(reached, DIABETIC), ("age-related macular degeneration", MACULAR)]
    for disease, signs in groups:
        shown = [by_name.pop(name) for name in tuple(by_name) if name in signs]
        if not shown:
            continue
        clause = f"{disease} of the {eye} eye"
        if chooser.chance(0.5):
            clause = f"{clause} with {listing(shown, 'and')}"
        clauses.append(clause)
    for noun in by_name.values():
        clauses.append(chooser.pick((f"{noun}, {eye} eye", f"{eye} eye: {noun}", noun)))
    return clauses
