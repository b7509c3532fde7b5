"""How well captions are split: edit similarity of sub-captions, and exact sets of labels."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import SplitCaption
from data_gen.pipelines.pubmed.captions.texts import label_text


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: least number of characters to insert, delete or replace."""
    if len(a) < len(b):
        a, b = b, a
    if not b:
        return len(a)
    codes = np.frombuffer(b.encode("utf-32-le"), np.uint32)
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for index, code in enumerate(np.frombuffer(a.encode("utf-32-le"), np.uint32), 1):
        best = np.empty_like(row)
        best[0] = index
        np.minimum(row[1:] + 1, row[:-1] + (codes != code), out=best[1:])
        # Insertions run along the row: the least of (value - place) so far, plus the place.
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def similarity(a: str, b: str) -> float:
    """1 - distance / length of the longer one, in [0, 1]; 1 for two empty texts."""
    longest = max(len(a), len(b))
    return 1.0 - edit_distance(a, b) / longest if longest else 1.0


def caption_similarity(truth: Mapping[str, str], found: Mapping[str, str]) -> float | None:
    """Mean over true labels of the similarity with the text under the same label, 0 without one.

    None for a caption without labels, of which this says nothing. Source: reference §10, after the
    evaluation of a compound figure separator.
    """
    if not truth:
        return None
    return sum(
        similarity(text, found[k]) if k in found else 0.0 for k, text in truth.items()
    ) / len(truth)


def texts_of(split: SplitCaption) -> dict[str, str]:
    """Each label's own text: no preface, no suffix."""
    labels = dict.fromkeys(label for part in split.parts for label in part.labels)
    return {label: label_text(split, label, preface=False, suffix=False) for label in labels}


def caption_scores(
    truths: Sequence[Mapping[str, str]], splits: Sequence[SplitCaption]
) -> dict[str, float]:
    """Means over captions.

    Returns:
      ``similarity`` (captions with labels), ``labels_exact`` (all), ``captions`` and ``labelled``,
      how many there are; no rate where nothing was there to measure.
    """
    found = [texts_of(one) for one in splits]
    pairs = list(zip(truths, found, strict=True))
    values = [v for t, f in pairs if (v := caption_similarity(t, f)) is not None]
    scores = {"captions": float(len(pairs)), "labelled": float(len(values))}
    if pairs:
        scores["labels_exact"] = sum(set(t) == set(f) for t, f in pairs) / len(pairs)
    if values:
        scores["similarity"] = sum(values) / len(values)
    return scores
