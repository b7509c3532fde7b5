"""Pairs from what a person wrote about each panel."""

from collections.abc import Mapping, Sequence

from data_gen.pipelines.pubmed.base import Pair, Separated, SplitCaption
from data_gen.pipelines.pubmed.label_studio import interface as names
from data_gen.pipelines.pubmed.label_studio.tasks import kind_of, panel_labels
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from data_gen.pipelines.pubmed.match.position import is_position
from data_gen.pipelines.pubmed.match.reasons import said
from data_gen.pipelines.pubmed.match.slots import normal
from medvlp_jax.core.errors import UserError


def pairs_by_hand(
    figure: MatchedFigure,
    found: Separated,
    kind: str,
    texts: Sequence[str],
    origin: Sequence[int],
) -> tuple[Pair, ...]:
    """The pairs that a person means; those of before where nothing was changed.

    Args:
      figure: as it was.
      found: panels as the person left them.
      kind: the choice about the figure.
      texts: what is written about each panel: labels of parts, with commas.
      origin: number that each panel had before, -1 for a new one.

    Raises:
      UserError: a text names no part of the caption.
    """
    if kind != names.PAIRED:
        if kind == kind_of(figure):
            return figure.pairs
        status = "whole_figure" if kind == names.WHOLE else "rejected"
        return (Pair((), -1, status, reasons.BY_HAND),)
    wanted = [_labels(text, figure.split) for text in texts]
    before = [set(map(_key, labels)) for labels in panel_labels(figure)]
    same = found.panels == figure.separated.panels and kind_of(figure) == kind
    if same and [set(map(_key, labels)) for labels in wanted] == before:
        return figure.pairs
    parts = _parts_of(figure.split)
    known = {
        (panel, pair.part): pair
        for pair in figure.pairs
        if pair.status != "rejected"
        for panel in pair.panels
    }
    groups: dict[tuple[int, str, str, float], list[int]] = {}
    for panel, labels in enumerate(wanted):
        for part in dict.fromkeys(p for label in labels for p in parts[_key(label)]):
            old = known.get((origin[panel], part))
            key = (part, reasons.BY_HAND, "label_match", 1.0)
            if old is not None:
                key = (part, old.reason, old.status, old.score)
            groups.setdefault(key, []).append(panel)
    out = [
        Pair(tuple(panels), part, status, reason, score)  # pyright: ignore[reportArgumentType]
        for (part, reason, status, score), panels in groups.items()
    ]
    named = {_key(label) for labels in wanted for label in labels}
    for i, part in enumerate(figure.split.parts):
        lacking = [label for label in part.labels if _key(label) not in named]
        if not any(pair.part == i for pair in out):
            why = said(reasons.BY_HAND, f"no panel for {', '.join(lacking)}")
            out.append(Pair((), i, "rejected", why, 0.0))
    empty = [panel for panel, labels in enumerate(wanted) if not labels]
    why = said(reasons.BY_HAND, "no part of the caption")
    out += [Pair((panel,), -1, "rejected", why, 0.0) for panel in empty]
    out.sort(key=lambda pair: (pair.part < 0, pair.part, pair.status == "rejected", pair.panels))
    return tuple(out) or (Pair((), -1, "rejected", reasons.BY_HAND, 0.0),)


def _key(label: str) -> str:
    return label.lower().strip() if is_position(label) else normal(label)


def _parts_of(split: SplitCaption) -> Mapping[str, list[int]]:
    out: dict[str, list[int]] = {}
    for i, part in enumerate(split.parts):
        for label in part.labels:
            out.setdefault(_key(label), []).append(i)
    return out


def _labels(text: str, split: SplitCaption) -> list[str]:
    """The labels of a text, each of which the caption has."""
    found = [one.strip() for one in text.replace(";", ",").split(",") if one.strip()]
    known = _parts_of(split)
    for one in found:
        if _key(one) not in known:
            every = ", ".join(label for part in split.parts for label in part.labels)
            raise UserError(
                f"a panel with the text {one[:40]!r}, which is no label of the caption "
                f"({every or 'it has none'})"
            )
    return found
