"""Which of the words on a figure are its panels' labels: one series, one place, one each."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from data_gen.pipelines.pubmed.figures.places import FIRST, SLOTS, places
from data_gen.pipelines.pubmed.figures.words import Case, Reading, Series
from medvlp_jax.eval.metrics.boxes import iou

#: Distance, in heights of the word, at which a place counts half.
_HALF = 2.5
_FARTHEST = 8.0
#: A label at another place or of another height than the others counts this much; one that starts
#: its panel in another way (above it, where the others are in its corner) counts more.
_OTHER, _ALIKE = 0.3, 0.75
#: Labels in a row that may be missing.
_HOLE = 2
#: A reading that fills a hole between others needs no more probability than this.
_BETWEEN = 0.03
#: IoU from which two words are the same ink.
_SAME_INK = 0.3
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
            matched = _run(_matched(mine, words, panels))
            total = sum(o.value for o in matched) * _order(matched)
            fits = matched and _plausible(matched, len(panels))
            if fits and (best is None or total > best[0] + 1e-9):
                best = (total, series, case, matched)
    out: list[Chosen] = []
    if best is not None:
        _, series, case, matched = best
        alike = [o for o in options if o.reading.series == series and o.reading.case in (case, "")]
        matched += _between(matched, alike, words)
        out += [_chosen(o, case, True) for o in matched]
    # The same ink may have been found at several levels.
    taken = [words[c.word].box for c in out]
    for o in options:
        box = words[o.word].box
        if not taken or iou(box[None], np.array(taken)).max() < _SAME_INK:
            taken.append(box)
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
        weight = _same_place(o.slot, slot)
        weight *= 1.0 if max(ratio, 1 / ratio) <= _HEIGHTS else _OTHER
        value, fits = o.value * weight, weight >= _ALIKE
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
    kept = [o for o in once.values() if o.usual]
    others = [o for o in once.values() if not o.usual]
    while True:
        known = {o.reading.place for o in kept}
        more = [o for o in others if {o.reading.place - 1, o.reading.place + 1} & known]
        if not more:
            return sorted(kept, key=lambda o: o.panel)
        kept += more
        others = [o for o in others if o not in more]


def _between(
    matched: Sequence[_Option], options: Sequence[_Option], words: Sequence[Word]
) -> list[_Option]:
    """Labels that are missing between the others, or next to them, where they are expected: at the
    place and height of the others, at a panel without one, even if the reading is unsure."""
    known = {o.reading.place for o in matched}
    panels = {o.panel for o in matched}
    slots = {o.slot for o in matched if o.usual}
    height = float(np.median([_height(words[o.word]) for o in matched]))
    out: list[_Option] = []
    for o in options:
        p = o.reading.place
        expected = p not in known and (p - 1 in known or p + 1 in known)
        ratio = _height(words[o.word]) / height
        if not expected or o.panel in panels or o.slot not in slots or not 0.7 < ratio < 1.4:
            continue
        if o.value >= _BETWEEN:
            out.append(dataclasses.replace(o, value=max(o.value, _LEAST)))
            known.add(p)
            panels.add(o.panel)
    return out


def _same_place(a: int, b: int) -> float:
    if a == b:
        return 1.0
    return _ALIKE if SLOTS[a] in FIRST and SLOTS[b] in FIRST else _OTHER


def _height(word: Word) -> float:
    return max(float(word.box[3] - word.box[1]), 1.0)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _run(matched: Sequence[_Option]) -> list[_Option]:
    """The labels that follow each other, with the most support; a sign out of their line goes."""
    if not matched:
        return []
    ordered = sorted(matched, key=lambda o: o.reading.place)
    runs: list[list[_Option]] = [[ordered[0]]]
    for before, o in itertools.pairwise(ordered):
        a, b = before.reading.place, o.reading.place
        near = b - a <= _HOLE + 1
        if o.reading.series == "letter and digit" and a // 100 != b // 100:
            near = b // 100 - a // 100 <= 2 and b % 100 <= _HOLE
        if near:
            runs[-1].append(o)
        else:
            runs.append([o])
    return sorted(max(runs, key=lambda run: sum(o.value for o in run)), key=lambda o: o.panel)


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
    least = min(o.value for o in matched)
    letters = matched[0].reading.series == "letter"
    if len(places) == 1:
        # A lone A may be one; a lone stroke is an i, a 1 and a scratch.
        return least >= 0.6 and places[0] == 0 and letters
    follow = sum(b - a == 1 or (b % 100 == 0 and b > 100) for a, b in itertools.pairwise(places))
    if places[0] == 0 or places[-1] < panels:
        # From A on, with few gaps.
        return follow >= (len(places) - 1) / 2 or (places == [0, 2] and letters and least >= 0.6)
    if matched[0].reading.series == "letter and digit":
        return follow >= (len(places) - 1) / 2
    return len(places) >= 3 and follow >= len(places) - 2  # goes on where another figure ended
