"""Where the panels of a figure stand: rows and columns within each other, nothing cropped.

In a row all parts have one height, in a column one width. The width of a part is then linear in its
height, ``width = slope * height + offset``, for a panel as for any nest of rows and columns; so the
sizes follow from the width of the figure in one go, gutters included.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Node:
    """A panel, or parts side by side or one below the other.

    Attributes:
      kind: "panel", "row" or "column".
      parts: of a row or column.
      panel: index of a panel.
    """

    kind: str
    parts: tuple["Node", ...] = ()
    panel: int = -1


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places in pixels.

    Attributes:
      width, height: of the figure.
      boxes: (left, top, right, bottom) of the panels, in reading order.
      columns: of an even grid with several rows; 0 of any other layout.
    """

    width: int
    height: int
    boxes: tuple[tuple[int, int, int, int], ...]
    columns: int = 0


def _row(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Node("row", tuple(parts))


def _column(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Node("column", tuple(parts))


def grid(count: int, columns: int) -> Node:
    """Rows of ``columns`` panels; the last may have fewer."""
    leaves = [Node("panel", panel=i) for i in range(count)]
    rows = [_row(leaves[i : i + columns]) for i in range(0, count, columns)]
    return _column(rows)


def nested(rng: np.random.Generator, count: int) -> Node:
    """A large panel beside a column, rows of different lengths, or rows within a column."""
    leaves = [Node("panel", panel=i) for i in range(count)]
    if count <= 4 and rng.random() < 0.5:
        return _row([leaves[0], _column(leaves[1:])])
    cut = int(rng.integers(1, count))
    return _column([_row(leaves[:cut]), _row(leaves[cut:])])


def _slope(node: Node, aspects: Sequence[float], gutter: float, strip: float) -> tuple[float, ...]:
    if node.kind == "panel":
        aspect = aspects[node.panel]
        return aspect, -aspect * strip
    inner = [_slope(part, aspects, gutter, strip) for part in node.parts]
    between = gutter * (len(inner) - 1)
    if node.kind == "row":
        return sum(a for a, _ in inner), sum(b for _, b in inner) + between
    slope = 1 / sum(1 / a for a, _ in inner)
    return slope, slope * (sum(b / a for a, b in inner) - between)


def place(
    node: Node, aspects: Sequence[float], width: int, gutter: int, strip: int, margin: int
) -> Layout:
    """Solves a layout.

    Args:
      aspects: width / height of each panel.
      width: of the figure, in pixels.
      gutter: between panels.
      strip: room above each panel, for a label that stands outside.
      margin: around all of it.
    """
    inner = width - 2 * margin
    slope, offset = _slope(node, aspects, gutter, strip)
    height = (inner - offset) / slope
    boxes: dict[int, tuple[int, int, int, int]] = {}

    def put(part: Node, left: float, top: float, w: float, h: float) -> None:
        if part.kind == "panel":
            corners = (left, top + strip, left + w, top + h)
            x0, y0, x1, y1 = (round(c) for c in corners)
            boxes[part.panel] = (x0, y0, max(x1, x0 + 8), max(y1, y0 + 8))
            return
        at = left if part.kind == "row" else top
        for one in part.parts:
            a, b = _slope(one, aspects, gutter, strip)
            if part.kind == "row":
                size = a * h + b
                put(one, at, top, size, h)
            else:
                size = (w - b) / a
                put(one, left, at, w, size)
            at += size + gutter

    put(node, margin, margin, inner, height)
    ordered = tuple(boxes[i] for i in range(len(boxes)))
    bottom = max(box[3] for box in ordered)
    right = max(box[2] for box in ordered)
    return Layout(right + margin, bottom + margin, ordered)


def choose(
    rng: np.random.Generator, aspects: Sequence[float], width: int, strip: int
) -> tuple[Layout, int]:
    """A layout for so many panels, and its gutter: white or black space, or none at all."""
    count = len(aspects)
    gutter = int(rng.choice([0, 2, 4, 8, 14, 22], p=[0.08, 0.12, 0.2, 0.25, 0.2, 0.15]))
    margin = int(rng.choice([0, 4, 12]))
    if count == 1:
        return place(Node("panel", panel=0), aspects, width, gutter, 0, margin), gutter
    columns = 0
    if count > 2 and rng.random() < 0.3:
        node = nested(rng, count)
    else:
        columns = int(rng.choice(_columns(count)))
        node = grid(count, columns)
    layout = place(node, aspects, width, gutter, strip, margin)
    if layout.height > 1.9 * width or layout.height < 0.22 * width:  # no page holds it
        columns = max(1, round(np.sqrt(count * 1.2)))
        layout = place(grid(count, columns), aspects, width, gutter, strip, margin)
    even = columns > 1 and count > columns and count % columns == 0
    return dataclasses.replace(layout, columns=columns if even else 0), gutter


def _columns(count: int) -> list[int]:
    """Numbers of columns that leave no lonely panel behind, where there are any."""
    fitting = [c for c in range(1, min(count, 5) + 1) if count % c != 1 or c == 1]
    return [c for c in fitting if count / c <= 5] or [3]
