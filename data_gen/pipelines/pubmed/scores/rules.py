"""Rules that others match by, on the same inputs: what ours is compared with."""

from collections.abc import Callable

from data_gen.pipelines.pubmed.base import Pair, Separated, SplitCaption
from data_gen.pipelines.pubmed.match.match import match

Rule = Callable[[Separated, SplitCaption], tuple[Pair, ...]]


def in_order(separated: Separated, split: SplitCaption) -> tuple[Pair, ...]:
    """Panels and parts in reading order where their counts are equal, else nothing.

    The rule of MultiCaRe (Nievas Offidani and Delrieux, Data in Brief 2024) and, with a list of
    sub-captions from a language model, of MedPMC (arXiv 2607.07673).
    """
    if len(separated.panels) == 1 or not split.parts:
        return (Pair((), -1, "whole_figure", "one panel or one part"),)
    if len(separated.panels) != len(split.parts):
        return (Pair((), -1, "rejected", "counts differ"),)
    return tuple(Pair((i,), i, "order_match", "counts agree") for i in range(len(split.parts)))


def first_hit(separated: Separated, split: SplitCaption) -> tuple[Pair, ...]:
    """The first panel that reads a part's label, else the whole figure.

    The rule of arXiv 2404.17779 (``data/pretrain_dataset_new.py`` of its repository): no score, no
    order, no check that a panel is taken once; a part of several labels never hits.
    """
    if len(separated.panels) == 1 or not split.parts:
        return (Pair((), -1, "whole_figure", "one panel or one part"),)
    read: list[set[str]] = [set() for _ in separated.panels]
    for panel, label in separated.labels:
        read[panel].add(label.text.lower())
    out = []
    for i, part in enumerate(split.parts):
        wanted = part.labels[0].lower() if len(part.labels) == 1 else ""
        hit = next((panel for panel, found in enumerate(read) if wanted in found), None)
        if hit is None:
            out.append(Pair((), i, "whole_figure", "no hit"))
        else:
            out.append(Pair((hit,), i, "label_match", "first hit"))
    return tuple(out)


#: Name -> rule; a table of scores shows all of them.
RULES: dict[str, Rule] = {"ours": match, "reading order": in_order, "first hit": first_hit}
