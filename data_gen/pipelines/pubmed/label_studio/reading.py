"""Annotations of Label Studio become matched figures again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.pipelines.pubmed.base import ReadLabel, Region, Separated
from data_gen.pipelines.pubmed.label_studio import interface as names
from data_gen.pipelines.pubmed.label_studio.pairing import pairs_by_hand
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from data_gen.pipelines.pubmed.match.position import bands
from medvlp_jax.core.errors import UserError

#: Difference of two coordinates, in fractions of the figure, that are the same to a person.
_SAME = 1e-4
#: How far beyond the edge a rectangle may be drawn before it is an error, in percent.
_BEYOND = 1.0


@dataclasses.dataclass
class _Drawn:
    """A rectangle with what is written about it."""

    kind: str
    box: Region
    text: str = ""


def corrected(figure: MatchedFigure, result: Sequence[Any]) -> MatchedFigure:
    """The figure as a person left it; what the person did not touch stays as it was.

    Args:
      result: of an annotation.

    Raises:
      UserError: a rectangle, text or choice that cannot be used; one line, without the task's name.
    """
    drawn, relations, kind = _collected(result, figure)
    before = {f"panel{i}": box for i, box in enumerate(figure.separated.panels)}
    before |= {f"label{i}": one.box for i, (_, one) in enumerate(figure.separated.labels)}
    for name, one in drawn.items():
        if name in before and _same(before[name], one.box):
            old = before[name]
            score = one.box.score if name.startswith("panel") else old.score
            one.box = dataclasses.replace(old, score=score)
    panels = {name: one for name, one in drawn.items() if one.kind == names.PANEL}
    order = _reading_order(panels, figure)
    labels = []
    for name, one in drawn.items():
        if one.kind != names.LABEL:
            continue
        if not one.text:
            raise UserError("a label without its text; write what is printed there")
        if not order:
            raise UserError("a label but no panel; draw the panel, or delete the label")
        related = [order.index(to) for to in relations.get(name, ()) if to in order]
        at = related[0] if related else _nearest(one.box, [panels[p].box for p in order])
        labels.append((at, _read_label(name, one, figure)))
    labels.sort(key=lambda item: (item[0], -item[1].score))
    found = dataclasses.replace(
        figure.separated, panels=tuple(panels[p].box for p in order), labels=tuple(labels)
    )
    found = _as_before(found, figure.separated)
    origin = [int(p[5:]) if p[5:].isdigit() and p in before else -1 for p in order]
    texts = [panels[p].text for p in order]
    pairs = pairs_by_hand(figure, found, kind, texts, origin)
    return dataclasses.replace(figure, separated=found, pairs=pairs)


def _collected(
    result: Sequence[Any], figure: MatchedFigure
) -> tuple[dict[str, _Drawn], dict[str, list[str]], str]:
    """Rectangles by id, relations, and the choice about the figure."""
    drawn: dict[str, _Drawn] = {}
    texts: dict[str, str] = {}
    relations: dict[str, list[str]] = {}
    kind = ""
    for item in result:
        if not isinstance(item, dict):
            raise UserError(f"a result that is no object: {str(item)[:60]}")
        match item.get("type"):
            case "rectanglelabels":
                drawn[str(item["id"])] = _drawn(item, figure)
            case "textarea":
                texts[str(item["id"])] = " ".join(map(str, item["value"]["text"])).strip()
            case "relation":
                start, end = str(item["from_id"]), str(item["to_id"])
                relations.setdefault(start, []).append(end)
                relations.setdefault(end, []).append(start)
            case "choices":
                kind = str(item["value"]["choices"][0])
            case other:
                raise UserError(f"a result of type {other!r}, which this interface does not make")
    if kind not in (names.PAIRED, names.WHOLE, names.REJECTED):
        raise UserError(f"the figure is {kind or 'nothing'!r}; choose one of the interface's three")
    for name, text in texts.items():
        if name in drawn:
            drawn[name].text = text
    return drawn, relations, kind


def _drawn(item: Mapping[str, Any], figure: MatchedFigure) -> _Drawn:
    value = item["value"]
    kinds = value["rectanglelabels"]
    if len(kinds) != 1 or kinds[0] not in (names.PANEL, names.LABEL):
        raise UserError(f"a rectangle that is {kinds}; make it a panel or a label")
    if value.get("rotation"):
        raise UserError("a rectangle that is rotated; draw it upright")
    size = (item.get("original_width"), item.get("original_height"))
    known = (figure.separated.width, figure.separated.height)
    if size != known:
        raise UserError(f"an image of {size[0]} x {size[1]} pixels, which had {known}")
    x, y, width, height = (float(value[k]) for k in ("x", "y", "width", "height"))
    corners = (x, y, x + width, y + height)
    if not all(-_BEYOND <= c <= 100 + _BEYOND for c in corners) or min(width, height) <= 0:
        raise UserError(f"a rectangle from {corners[:2]} to {corners[2:]} percent")
    x0, y0, x1, y1 = (min(max(c / 100, 0.0), 1.0) for c in corners)
    return _Drawn(kinds[0], Region(x0, y0, x1, y1, float(item.get("score") or 1.0)))


def _same(a: Region, b: Region) -> bool:
    ends = zip((a.x0, a.y0, a.x1, a.y1), (b.x0, b.y0, b.x1, b.y1), strict=True)
    return all(abs(p - q) <= _SAME for p, q in ends)


def _read_label(name: str, one: _Drawn, figure: MatchedFigure) -> ReadLabel:
    """The label of before where nothing changed; else one that is sure."""
    number = name.removeprefix("label")
    if number.isdigit() and int(number) < len(figure.separated.labels):
        old = figure.separated.labels[int(number)][1]
        if old.text == one.text and old.box == one.box:
            return old
    return ReadLabel(one.text, one.box, 1.0)


def _reading_order(panels: Mapping[str, _Drawn], figure: MatchedFigure) -> list[str]:
    """The order of before where the panels are the same; else rows, then columns."""
    before = [f"panel{i}" for i in range(len(figure.separated.panels))]
    if list(panels) == before and all(
        _same(panels[p].box, old) for p, old in zip(before, figure.separated.panels, strict=True)
    ):
        return before
    every = list(panels)
    boxes = [panels[p].box for p in every]
    rows = bands(boxes, "down")
    return [every[i] for row in rows for i in sorted(row, key=lambda i: boxes[i].x0)]


def _nearest(box: Region, panels: Sequence[Region]) -> int:
    """The panel that the middle of a box lies in, or nearest to."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2

    def away(p: Region) -> float:
        across = max(p.x0 - x, 0.0, x - p.x1)
        down = max(p.y0 - y, 0.0, y - p.y1)
        return across * across + down * down

    return min(range(len(panels)), key=lambda i: away(panels[i]))


def _as_before(found: Separated, before: Separated) -> Separated:
    """``before`` where ``found`` differs in nothing but the order of labels."""
    same = found.panels == before.panels and sorted(found.labels, key=repr) == sorted(
        before.labels, key=repr
    )
    return before if same else found
