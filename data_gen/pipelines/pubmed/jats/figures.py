"""The figures of an article, whole: labels, captions with marks, pictures, groups."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from data_gen.pipelines.pubmed.base import Figure, Mark
from data_gen.pipelines.pubmed.jats.flow import FLOATS, Flow, plain
from data_gen.pipelines.pubmed.jats.graphics import graphics

_FIGURES = frozenset(("fig", "fig-group"))
#: Texts of others in the same file: letters of reviewers, answers, translations.
OTHERS = frozenset(("sub-article", "response"))
#: Everything of a caption is kept, but what is no text.
_CAPTION = FLOATS - {"fn"}


@dataclasses.dataclass(frozen=True)
class Found:
    """A figure, and the ids by which the text may call it."""

    figure: Figure
    ids: tuple[str, ...]


def figures_of(article: Any) -> list[Found]:
    """All figures in the order of the file; those of letters and translations are left out.

    A ``fig-group`` whose members have no captions of their own is one figure. Where they have, the
    group's caption stands before each one's own. A figure without an id is called by its label
    ("figure-2") or its place ("fig-at-3"); of equal ids the later ones get "-2", "-3".
    """
    found: list[tuple[Figure, tuple[str, ...]]] = []
    inside: set[Any] = set()
    for element in article.iter("fig", "fig-group"):
        if element in inside or _of_others(element):
            continue
        if element.tag == "fig":
            found.append(_figure(element))
            inside.update(element.iter("fig", "fig-group"))
            continue
        members = [e for e in element.iter("fig") if e is not element]
        inside.update(element.iter("fig-group"))
        if _captions(element) and not any(_captions(e) for e in members):
            found.append(_whole_group(element, members))
            inside.update(members)
        elif not members:
            found.append(_whole_group(element, members))
    return _named(found)


def _figure(element: Any) -> tuple[Figure, tuple[str, ...]]:
    group = _group(element)
    captions = _captions(element)
    label = plain(element.find("label"))
    ids = [element.get("id") or ""]
    if group is not None:
        captions = _captions(group) + captions
        label = label or plain(group.find("label"))
        ids.append(group.get("id") or "")
    text, marks = caption(captions)
    figure = Figure(
        id=ids[0],
        label=label,
        caption=text,
        marks=marks,
        graphics=graphics(element),
        group=ids[1] if group is not None else "",
        rights=_rights(element),
    )
    return figure, tuple(i for i in ids if i)


def _whole_group(group: Any, members: Sequence[Any]) -> tuple[Figure, tuple[str, ...]]:
    own = group.get("id") or ""
    text, marks = caption(_captions(group))
    pictures = dict.fromkeys(graphics(group, nested=frozenset(("fig",))))
    for member in members:
        pictures.update(dict.fromkeys(graphics(member)))
    figure = Figure(
        id=own,
        label=plain(group.find("label")),
        caption=text,
        marks=marks,
        graphics=tuple(pictures),
        group=own,
        rights=_rights(group),
    )
    return figure, tuple(i for i in (own, *(m.get("id") or "" for m in members)) if i)


def caption(elements: Sequence[Any]) -> tuple[str, tuple[Mark, ...]]:
    """Text of captions one after the other, and how its stretches are set."""
    flow = Flow(_CAPTION)
    for element in elements:
        flow.add(element)
        flow.gap()
    return flow.text(), flow.marks()


def _captions(element: Any) -> list[Any]:
    return [e for e in element.findall("caption") if (e.text and e.text.strip()) or len(e)]


def _group(element: Any) -> Any | None:
    parent = element.getparent()
    return parent if parent is not None and parent.tag == "fig-group" else None


def _of_others(element: Any) -> bool:
    return any(above.tag in OTHERS for above in element.iterancestors())


def _rights(element: Any) -> str:
    said = [plain(e) for tag in ("permissions", "attrib") for e in element.findall(tag)]
    return " ".join(text for text in said if text)


def _named(found: Sequence[tuple[Figure, tuple[str, ...]]]) -> list[Found]:
    used = {figure.id for figure, _ in found if figure.id}
    taken: set[str] = set()
    named = []
    for number, (figure, ids) in enumerate(found, 1):
        wanted = figure.id
        if not wanted:
            wanted = re.sub(r"\W+", "-", figure.label.lower()).strip("-") or f"fig-at-{number}"
        name, again = wanted, 1
        while name in taken or (name != figure.id and name in used):
            again += 1
            name = f"{wanted}-{again}"
        taken.add(name)
        named.append(Found(dataclasses.replace(figure, id=name), ids))
    return named
