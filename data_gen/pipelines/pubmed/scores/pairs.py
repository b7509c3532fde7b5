"""Precision, recall and F1 over (panel, part), what became of the rest, and exchanged labels."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_gen.pipelines.pubmed.base import Pair, Separated, SplitCaption
from data_gen.pipelines.pubmed.scores.ratios import clusters_of, f1_interval, ratio_intervals
from data_gen.pipelines.pubmed.scores.truth import TrueFigure, found_panels
from medvlp_jax.eval.metrics.bootstrap import Bootstrap, Interval

_PAIRED = ("label_match", "order_match")


@dataclasses.dataclass(frozen=True)
class FigureCounts:
    """One figure.

    Attributes:
      claims, right_claims: (panel, part) that were paired, and those whose part is about the panel.
      true, found: (panel, part) that there are, and those that were claimed.
      wrong: true pairs whose panel was given to other parts only.
      fallen_back: true pairs of a figure that went as a whole with its whole caption.
      rejected: true pairs of a panel that was found and not paired.
      missed: true pairs of a panel that was not found.
      whole, right_whole: 1 for a figure without pairs to find, and where it was kept whole.
      exchanged, exchanged_right, exchanged_said: panels whose label is out of order on purpose,
        those with the right part, and those that were rejected with a reason, or not found.
    """

    claims: int = 0
    right_claims: int = 0
    true: int = 0
    found: int = 0
    wrong: int = 0
    fallen_back: int = 0
    rejected: int = 0
    missed: int = 0
    whole: int = 0
    right_whole: int = 0
    exchanged: int = 0
    exchanged_right: int = 0
    exchanged_said: int = 0


def count_pairs(
    truth: TrueFigure, separated: Separated, split: SplitCaption, pairs: Sequence[Pair]
) -> FigureCounts:
    """Compares pairs with the truth; a claim is right if its part has a label of a true one.

    Panels that were found are those whose IoU with a true one is at least one half.
    """
    kept = [pair for pair in pairs if pair.status == "whole_figure"]
    whole = any(pair.part < 0 for pair in kept)
    given_up = {label for pair in kept if pair.part >= 0 for label in split.parts[pair.part].labels}
    if not truth.is_compound:
        return FigureCounts(whole=1, right_whole=int(bool(kept)))
    is_true = found_panels(separated.panels, truth.panels)
    claims = {(p, pair.part) for pair in pairs if pair.status in _PAIRED for p in pair.panels}
    got: dict[int, set[str]] = {}
    right = 0
    for panel, part in claims:
        labels = set(split.parts[part].labels)
        true = is_true.get(panel)
        if true is None:
            continue
        right += any(labels & set(one) for one in truth.panels[true].parts)
        got.setdefault(true, set()).update(labels)
    fates: Counter[str] = Counter()
    exchanged: Counter[str] = Counter()
    for i, panel in enumerate(truth.panels):
        for one in panel.parts:
            fell = whole or (i not in got and bool(given_up & set(one)))
            fate = _fate(set(one), got.get(i), fell, i in is_true.values())
            fates[fate] += 1
            exchanged[fate] += panel.exchanged
    return FigureCounts(
        claims=len(claims),
        right_claims=right,
        true=fates.total(),
        **{key: fates[key] for key in ("found", "wrong", "fallen_back", "rejected", "missed")},
        exchanged=exchanged.total(),
        exchanged_right=exchanged["found"],
        exchanged_said=exchanged["rejected"] + exchanged["fallen_back"] + exchanged["missed"],
    )


def _fate(labels: set[str], got: set[str] | None, fell: bool, seen: bool) -> str:
    if fell:
        return "fallen_back"
    if got is not None:
        return "found" if labels & got else "wrong"
    return "rejected" if seen else "missed"


def score_pairs(
    counts: Sequence[FigureCounts], bootstrap: Bootstrap, articles: Sequence[str] = ()
) -> dict[str, Any]:
    """The scores of a set of figures.

    Args:
      counts: of :func:`count_pairs`.
      articles: of each figure; whole articles are drawn where they are given.

    Returns:
      ``precision``, ``recall``, ``f1``; the shares of true pairs that are ``wrong``,
      ``fallen_back`` (the whole figure instead), ``rejected`` and ``missed`` (panel not found);
      ``whole`` (figures without pairs that were kept whole); ``exchanged_caught`` (labels out of
      order that are paired rightly or rejected with a reason) and ``exchanged_right``; each an
      interval as JSON; and ``figures``, ``pairs``, ``exchanged``, which are counts.
    """
    columns = {
        f.name: np.array([getattr(one, f.name) for one in counts], np.float64)
        for f in dataclasses.fields(FigureCounts)
    }
    clusters = clusters_of(articles) if articles else None
    above = {
        "precision": columns["right_claims"],
        "recall": columns["found"],
        **{key: columns[key] for key in ("wrong", "fallen_back", "rejected", "missed")},
        "whole": columns["right_whole"],
        "exchanged_caught": columns["exchanged_right"] + columns["exchanged_said"],
        "exchanged_right": columns["exchanged_right"],
    }
    below = {
        key: columns["exchanged"] if key.startswith("exchanged") else columns["true"]
        for key in above
    } | {"precision": columns["claims"], "whole": columns["whole"]}
    found: dict[str, Interval] = ratio_intervals(above, below, bootstrap, clusters)
    found["f1"] = f1_interval(
        (above["precision"], below["precision"]),
        (above["recall"], below["recall"]),
        bootstrap,
        clusters,
    )
    return {
        **{name: part.to_json() for name, part in found.items()},
        "figures": len(counts),
        "pairs": int(columns["true"].sum()),
        "exchanged": int(columns["exchanged"].sum()),
    }
