"""Which of the words on a figure are its panels' labels: one series, one place, one each."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from data_gen.pipelines.pubmed.figures.places import places
from data_gen.pipelines.pubmed.figures.words import Case, Reading, Series

#: Distance, in heights of the word, at which a place counts half.
_HALF = 2.5
_FARTHEST = 8.0
#: Readings that are not of the chosen series or place count this much; they stay as candidates.
_OTHER = 0.3
#: Words of another height than the labels', as a ratio.
_HEIGHTS = 1.45
#: A label's value below this is no label.
_LEAST = 0.18
#: Labels that fit each other have scores from this on, other candidates have lower ones.
ACCEPTED = 0.3


@dataclasses.dataclass(frozen=True)
class Word:
    """A word that may be a label; ``box`` in pixels."""

    box: Float[np.ndarray, "4"]
    readings: tuple[Reading, ...]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A candidate for the label of a panel.

    Attributes:
      panel: its index.
      word: index of the word.
      text: as printed.
      score: 0 to 1.
      accepted: it fits the other labels of the figure.
      slot: where it stands, an index into :data:`places.SLOTS`.
      series, place: what it counts in, and its place there.
    """

    panel: int
    word: int
    text: str
    score: float
    accepted: bool
    slot: int
    series: Series
    place: int


@dataclasses.dataclass(frozen=True)
class _Option:
    panel: int
    word: int
    reading: Reading
    slot: int
    value: float
    usual: bool = True


def choose(words: Sequence[Word], panels: Float[np.ndarray, "n 4"]) -> list[Chosen]:
    """The labels of a figure, those that are accepted first, then other candidates.

    All words vote, each with the certainty of its reading and its nearness to a usual place, for a
    series, a case, a place at the panel and a height; the best supported combination wins, and
    panels and labels are matched one to one.
    """
    options = _options(words, panels)
    if not options:
        return []
    best: tuple[float, Series, Case, list[_Option]] | None = None
    for series in ("letter", "roman", "digit", "letter and digit"):
        for case in ("upper", "lower") if series != "digit" else ("",):
            mine = [
                o for o in options
                if o.reading.series == series and o.reading.case in (case, "")
                and _possible(o.reading, len(panels))
            ]  # fmt: skip
            matched = _matched(mine, words, panels)
            total = sum(o.value for o in matched) * _order(matched)
            if matched and (best is None or total > best[0] + 1e-9):
                best = (total, series, case, matched)
    out: list[Chosen] = []
    if best is not None and _plausible(best[3], len(panels)):
        _, _, case, matched = best
        out += [_chosen(o, case, True) for o in matched]
    used = {(c.panel, c.word) for c in out}
    labels = {c.word for c in out}
    for o in options:
        if (o.panel, o.word) not in used and o.word not in labels:
            used.add((o.panel, o.word))
            out.append(_chosen(o, o.reading.case, False))
    return out


def _chosen(option: _Option, case: Case, accepted: bool) -> Chosen:
    reading, value = option.reading, min(option.value, 1.0)
    return Chosen(
        option.panel,
        option.word,
        reading.text.upper() if case == "upper" else reading.text,
        ACCEPTED + (1 - ACCEPTED) * value if accepted else 0.99 * ACCEPTED * value,
        accepted,
        option.slot,
        reading.series,
        reading.place,
    )


def _options(words: Sequence[Word], panels: np.ndarray) -> list[_Option]:
    if not words or not len(panels):
        return []
    at = places(np.array([word.box for word in words], np.float64), panels)
    out = []
    for w, p in zip(*np.nonzero(at.distance <= _FARTHEST), strict=True):
        near = 1.0 / (1.0 + (float(at.distance[w, p]) / _HALF) ** 2)
        out += [
            _Option(int(p), int(w), r, int(at.slot[w, p]), r.score * near)
            for r in words[w].readings
        ]
    return sorted(out, key=lambda o: -o.value)


def _possible(reading: Reading, panels: int) -> bool:
    """Whether there could be so many labels; a figure may go on where another one ended."""
    if reading.series == "letter and digit":
        return reading.place // 100 < max(panels, 2) and reading.place % 100 < panels + 3
    return reading.series == "letter" or reading.place < panels + 3


def _matched(
    options: Sequence[_Option], words: Sequence[Word], panels: np.ndarray
) -> list[_Option]:
    """One label a panel, one panel a label, at the place and height that most agree on."""
    if not options:
        return []
    slots: dict[int, dict[int, float]] = {}
    for o in options:
        mine = slots.setdefault(o.slot, {})
        mine[o.reading.place] = max(mine.get(o.reading.place, 0.0), o.value)
    slot = max(slots, key=lambda s: sum(slots[s].values()))
    heights = [_height(words[o.word]) for o in options if o.slot == slot]
    weights = [o.value for o in options if o.slot == slot]
    usual = _weighted_median(np.array(heights), np.array(weights))
    found: dict[tuple[int, int], _Option] = {}
    for o in options:
        ratio = _height(words[o.word]) / usual
        fits = o.slot == slot and max(ratio, 1 / ratio) <= _HEIGHTS
        value = o.value * (1.0 if fits else _OTHER)
        key = (o.panel, o.reading.place)
        if value >= _LEAST and (key not in found or found[key].value < value):
            found[key] = dataclasses.replace(o, value=value, usual=fits)
    if not found:
        return []
    places = sorted({key[1] for key in found})
    worth = np.zeros((len(panels), len(places)))
    for (panel, place_), o in found.items():
        worth[panel, places.index(place_)] = o.value
    rows, columns = linear_sum_assignment(-worth)
    out = [found[int(r), places[c]] for r, c in zip(rows, columns, strict=True) if worth[r, c] > 0]
    # A word labels one panel: the one it fits best.
    once: dict[int, _Option] = {}
    for o in out:
        if o.word not in once or once[o.word].value < o.value:
            once[o.word] = o
    # One that stands elsewhere, or is larger or smaller, must at least follow another.
    usual_ones = {o.reading.place for o in once.values() if o.usual}
    return sorted(
        (
            o
            for o in once.values()
            if o.usual or {o.reading.place - 1, o.reading.place + 1} & usual_ones
        ),
        key=lambda o: o.panel,
    )


def _height(word: Word) -> float:
    return max(float(word.box[3] - word.box[1]), 1.0)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _order(matched: Sequence[_Option]) -> float:
    """How much of the series is there: labels follow each other."""
    if not matched:
        return 0.0
    places = sorted(o.reading.place for o in matched)
    if len(places) == 1:
        return 1.0 if places[0] == 0 else 0.5
    next_to = sum(b - a == 1 or b % 100 == 0 for a, b in itertools.pairwise(places))
    return 0.4 + 0.6 * next_to / (len(places) - 1)


def _plausible(matched: Sequence[_Option], panels: int) -> bool:
    """Whether these are the labels of a figure, and not signs that happen to stand there."""
    places = sorted(o.reading.place for o in matched)
    if len(places) == 1:
        return matched[0].value >= 0.6 and places[0] < panels and (panels > 1 or places[0] == 0)
    first = places[0] % 100 if matched[0].reading.series == "letter and digit" else places[0]
    runs = sum(b - a == 1 for a, b in itertools.pairwise(places))
    if matched[0].reading.series == "letter and digit":
        return first == 0 or runs >= 1
    spread = places[-1] - places[0] + 1
    # From A on with few gaps, or a run that goes on from another figure.
    if places[0] == 0 or places[-1] < panels:
        return spread <= 2 * len(places) + 1
    return len(places) >= 3 and spread <= len(places) + 1
