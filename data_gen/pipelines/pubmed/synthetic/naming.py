"""What the panels of a figure are called: series of labels, their order, places in words."""

import dataclasses
import string
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import Pair
from data_gen.pipelines.pubmed.synthetic import words
from data_gen.pipelines.pubmed.synthetic.captions import Entry
from data_gen.pipelines.pubmed.synthetic.layout import Layout
from data_gen.pipelines.pubmed.synthetic.panel import Panel
from data_gen.pipelines.pubmed.synthetic.truth import PanelTruth

ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
#: Layouts that positional words can name, by the number of panels and of columns.
_POSITIONS = {
    (2, 2): ("left", "right"),
    (3, 3): ("left", "middle", "right"),
    (2, 1): ("top", "bottom"),
    (3, 1): ("top", "middle", "bottom"),
    (4, 2): ("upper left", "upper right", "lower left", "lower right"),
}


def series(scheme: str, count: int) -> tuple[str, ...]:
    """The first labels of a scheme: A B C, a b c, i ii iii, 1 2 3, A1 A2 B1 B2."""
    if scheme == "roman":
        return ROMAN[:count]
    if scheme == "digits":
        return tuple(str(i + 1) for i in range(count))
    letters = string.ascii_lowercase if scheme == "lower" else string.ascii_uppercase
    if scheme == "sub":
        return tuple(f"{letters[i // 2]}{i % 2 + 1}" for i in range(count))
    return tuple(letters[:count])


def printed_order(
    rng: np.random.Generator, labels: Sequence[str], layout: Layout, swap: float
) -> tuple[tuple[str, ...], bool]:
    """Labels by panel; now and then down the columns, or with two of them changed over."""
    order = list(labels)
    if len(order) < 3 or rng.random() >= swap:
        return tuple(order), False
    if layout.columns and rng.random() < 0.6:
        rows = len(order) // layout.columns
        order = [
            labels[(i % layout.columns) * rows + i // layout.columns] for i in range(len(order))
        ]
    else:
        a = int(rng.integers(len(order) - 1))
        order[a], order[a + 1] = order[a + 1], order[a]
    return tuple(order), order != list(labels)


def entries_of(
    rng: np.random.Generator,
    panels: Sequence[Panel],
    by_label: Sequence[int],
    labels: Sequence[str],
    found: Sequence[Sequence[str]],
    group: bool,
) -> list[Entry]:
    """What is said, in the order of the labels; neighbours of one kind now and then together."""
    out, i = [], 0
    while i < len(labels):
        stop = i + 1
        if group and rng.random() < 0.3:
            size = int(rng.integers(2, 4))
            kind = panels[by_label[i]].kind
            most = len(labels) if i else len(labels) - 1  # never all in one breath
            while stop < min(i + size, most) and panels[by_label[stop]].kind == kind:
                stop += 1
        some = [by_label[j] for j in range(i, stop)]
        text = words.said_of(rng, [panels[p] for p in some], [found[p] for p in some])
        out.append(Entry(tuple(labels[i:stop]), text))
        i = stop
    return out


def named(
    panels: Sequence[PanelTruth], labels: Sequence[str], by_label: Sequence[int], words: bool
) -> tuple[PanelTruth, ...]:
    """The panels with what the caption calls them."""
    own = {panel: labels[i] for i, panel in enumerate(by_label)}
    return tuple(
        dataclasses.replace(
            panel,
            name=own[i].lower() if words else own[i].upper(),
            exchanged=own[i] != labels[i],
        )
        for i, panel in enumerate(panels)
    )


def positions_of(layout: Layout) -> tuple[str, ...]:
    boxes = layout.boxes
    columns = layout.columns
    if not columns and len(boxes) in (2, 3):
        same_row = len({box[1] for box in boxes}) == 1
        same_column = len({box[0] for box in boxes}) == 1
        columns = len(boxes) if same_row else (1 if same_column else 0)
    return _POSITIONS.get((len(boxes), columns), ())


def pairs_of(
    convention: str,
    entries: Sequence[Entry],
    labels: Sequence[str],
    by_label: Sequence[int],
    printed: bool,
) -> tuple[Pair, ...]:
    """Which part is about which panels, and by what that can be told."""
    if not convention:
        return (Pair((), -1, "whole_figure"),)
    status = "label_match" if printed else "order_match"
    place = dict(zip(labels, by_label, strict=True))
    return tuple(
        Pair(tuple(sorted(place[label] for label in entry.labels)), i, status)
        for i, entry in enumerate(entries)
    )
