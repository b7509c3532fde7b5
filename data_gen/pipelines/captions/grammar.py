"""Captions of a subject by our own grammar: offline, varied, each a whole statement."""

import re
from collections.abc import Iterator

from data_gen.phantom.grammar import Alternatives, Chooser, Grammar, sentence, tidy
from data_gen.pipelines.captions.subject import Subject

SOURCE = "grammar"
#: Draws before the grammar is held to have said all it can.
_PATIENCE = 12

_SHOWS = ("shows", "demonstrates", "reveals", "depicts", "displays")
_SHOWING = ("showing", "demonstrating", "revealing", "depicting", "with")
_RULES: dict[str, Alternatives] = {
    "shows": _SHOWS,
    "showing": _SHOWING,
    "seen": ("seen", "visible", "evident", "present", "noted"),
    "image": ("a {noun} of {place}", ("an image of {place} obtained by {technique}", 0.4)),
    "this": ("this {adjective} {noun}", "this {noun} of {place}", "the {adjective} {noun}"),
    "finding": (
        "a {noun} of {place} <showing> {thing}",
        "a {adjective} {noun} <showing> {thing}",
        "{bare} in <image>",
        "{bare}, shown by {technique} of {place}",
        "{bare} on a {noun} of {place}",
        "{bare} on a {adjective} {noun}",
        "<this> <shows> {thing}",
        "there {be} {thing} on <this>",
        "{thing} {be} <seen> on <this>",
        "on <this>, {thing} {be} <seen>",
        "in <image>, {thing} can be seen",
        "{technique} of {place} <shows> {thing}",
        "{place} imaged with {technique}, <showing> {thing}",
        "<image>; there {be} {thing}",
        "<this>, in which {thing} can be seen",
        "what <this> <shows> is {thing}",
        "a picture of {place} by {technique} in which there {be} {thing}",
        "{adjective} {technique}: {bare}",
    ),
    "wrong": ("abnormality", "abnormal finding", "sign of disease", "pathological finding"),
    "normal": (
        "a normal {noun} of {place}",
        "a normal {adjective} {noun}",
        "a {noun} of {place} without any <wrong>",
        "a {adjective} {noun} with no <wrong>",
        "no <wrong> is <seen> on <this>",
        "on <this>, no <wrong> is <seen>",
        "<this> is normal",
        "<this> is unremarkable",
        "<this> <shows> no <wrong>",
        "healthy {adjective} anatomy on a {noun} of {place}",
        "{technique} of {place} within normal limits",
        "{technique} of {place} <shows> no <wrong>",
        "<image>, normal in appearance",
        "there is no <wrong> on <this>",
        "{place} imaged with {technique}, without any <wrong>",
        "an unremarkable {noun} of {place}",
    ),
    "organ": (
        "a {noun} of {place}",
        "{place} on a {noun}",
        "{place} as seen on a {noun}",
        "{technique}, here of {place}",
        "a {noun} in which {place} is visible",
        "<image>",
        "{place} imaged with {technique}",
        "{technique} of {place}",
        "a view of {place} by {technique}",
        "this is {place} on a {noun}",
        "this {noun} <shows> {place}",
        "what this {noun} <shows> is {place}",
        "{place} can be seen in this {noun}",
        "a picture of {place} made with {technique}",
    ),
}
_GRAMMAR = Grammar(_RULES)


def write(subject: Subject, count: int, seed: int = 0) -> Iterator[str]:
    """Up to ``count`` different captions; a pure function of its arguments.

    A caller that refuses some asks for more than it needs.
    """
    said: set[str] = set()
    for i in range(_PATIENCE * count):
        text = caption(subject, Chooser(f"{seed}/{subject.key}/{i}"))
        if text.lower() not in said:
            said.add(text.lower())
            yield text
            if len(said) == count:
                return


def caption(subject: Subject, chooser: Chooser) -> str:
    """One caption; names, nouns and sentences are drawn by ``chooser``."""
    modality, place = subject.modality, subject.place
    name = chooser.pick(subject.names) if subject.names else ""
    thing = name.lstrip("+")
    slots = {
        "noun": chooser.pick(modality.nouns),
        "technique": chooser.pick(modality.technique),
        "place": place.phrase,
        "adjective": place.adjective,
        "thing": thing,
        "bare": _bare(thing),
        "be": "are" if name.startswith("+") else "is",
    }
    return sentence(_articles(_GRAMMAR.expand(subject.kind, slots, chooser)))


def _bare(thing: str) -> str:
    """Without its article, as a headline has it."""
    first, _, rest = thing.partition(" ")
    return rest if first in ("a", "an") else thing


def _articles(text: str) -> str:
    """``a MRI`` -> ``an MRI``, and ``an uterine`` -> ``a uterine``; vowels are tidied already."""
    text = re.sub(r"\b([Aa]) (?=MRI?\b|X-ray)", r"\1n ", tidy(text))
    return re.sub(r"\b([Aa])n (?=uterine|urinary|uni)", r"\1 ", text)
