"""Captions of compound figures in the conventions of the literature, with their truth.

A convention is how a caption names its panels. :func:`write` takes what is to be said of each panel
and writes it in one of them; which stretch belongs to which panel is known, because it was put
there.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_gen.pipelines.pubmed.synthetic.sheet import Sheet, Written

_DASHES = ("-", "\u2013", "\u2212", " to ")


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is said of one panel, or of several in one breath.

    Attributes:
      labels: as printed ("a", "B", "iv", "A1"), or positional words ("upper left").
      text: a phrase that starts with a small letter where it may, without a full stop.
    """

    labels: tuple[str, ...]
    text: str


@dataclasses.dataclass(frozen=True)
class Frame:
    """What a caption says of all panels.

    Attributes:
      preface: a sentence before, without full stop, or "".
      suffix: a sentence after, without full stop, or "".
      titled: whether the preface is the title of the caption.
    """

    preface: str = ""
    suffix: str = ""
    titled: bool = False


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def joined(rng: np.random.Generator, labels: Sequence[str]) -> str:
    """Several labels as a list, or as a range where they are three or more in a row."""
    if len(labels) == 1:
        return labels[0]
    if len(labels) == 2:
        return _pick(rng, (" and ", ", ", ",")).join(labels)
    if rng.random() < 0.7 and _in_a_row(labels):
        return labels[0] + _pick(rng, _DASHES) + labels[-1]
    last = _pick(rng, (" and ", ", ", ", and "))
    return ", ".join(labels[:-1]) + last + labels[-1]


def _in_a_row(labels: Sequence[str]) -> bool:
    if all(label.isdigit() for label in labels):
        numbers = [int(label) for label in labels]
    elif all(len(label) == 1 for label in labels):
        numbers = [ord(label) for label in labels]
    else:
        return False
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _open(sheet: Sheet, frame: Frame, end: str = ". ") -> None:
    """The preface, as a title or at the head of the paragraph."""
    if frame.titled and frame.preface:
        sheet.block("title")
        sheet.put(capital(frame.preface) + ".", "preface")
        sheet.block("paragraph")
        return
    sheet.block("paragraph")
    if frame.preface:
        sheet.put(capital(frame.preface) + end, "preface")


def _close(sheet: Sheet, frame: Frame) -> None:
    if frame.suffix:
        sheet.put(f" {capital(frame.suffix)}.", "suffix")


_Mark = Callable[[Sheet, int, str], None]


def _leading(mark: _Mark, ends: Sequence[str] = (". ", "; ")) -> Callable[..., Sheet]:
    """Labels before what is said of them."""

    def write(rng: np.random.Generator, entries: Sequence[Entry], frame: Frame) -> Sheet:
        sheet = Sheet()
        end = _pick(rng, ends)
        _open(sheet, frame, _pick(rng, (". ", ": ")))
        for i, entry in enumerate(entries):
            mark(sheet, i, joined(rng, entry.labels))
            text = capital(entry.text) if end == ". " else entry.text
            sheet.put(text + (end if i + 1 < len(entries) else "."), "body", i)
        _close(sheet, frame)
        return sheet

    return write


def _plain(form: str) -> _Mark:
    def mark(sheet: Sheet, part: int, labels: str) -> None:
        sheet.put(form.format(labels), "mark", part)

    return mark


def _bold(before: str, after: str, behind: str) -> _Mark:
    """``before`` and ``after`` are bold with the label, ``behind`` is not."""

    def mark(sheet: Sheet, part: int, labels: str) -> None:
        sheet.put(before + labels + after, "mark", part, "bold")
        sheet.put(behind, "mark", part)

    return mark


def _trailing(rng: np.random.Generator, entries: Sequence[Entry], frame: Frame) -> Sheet:
    """Labels behind what is said of them, several in one sentence."""
    sheet = Sheet()
    _open(sheet, frame)
    one_sentence = len(entries) < 5 and rng.random() < 0.5
    for i, entry in enumerate(entries):
        last = i + 1 == len(entries)
        said = entry.text if one_sentence and i else capital(entry.text)
        if one_sentence and last and i:
            said = f"and {said}"
        sheet.put(said + " ", "body", i)
        sheet.put(f"({joined(rng, entry.labels)})", "mark", i)
        sheet.put("." if last else (", " if one_sentence else ". "), "body", i)
    _close(sheet, frame)
    return sheet


def _items(rng: np.random.Generator, entries: Sequence[Entry], frame: Frame) -> Sheet:
    """List items whose labels are those of the panels."""
    sheet = Sheet()
    form = _pick(rng, ("({})", "{}.", "{}"))
    if frame.preface or frame.suffix:
        sheet.block("paragraph")
        sheet.put(f"{capital(frame.preface or frame.suffix)}.", "preface")
    for i, entry in enumerate(entries):
        label = form.format(joined(rng, entry.labels))
        sheet.block("list_item", label)
        sheet.put(capital(entry.text) + ".", "body", i)
    return sheet


def _position(rng: np.random.Generator, entries: Sequence[Entry], frame: Frame) -> Sheet:
    """Words for places instead of letters."""
    sheet = Sheet()
    _open(sheet, frame)
    form = _pick(rng, ("{}: ", "{} panel: ", "({}) ", "{} image, "))
    for i, entry in enumerate(entries):
        word = entry.labels[0]
        sheet.put(form.format(word if form[0] == "(" else capital(word)), "mark", i)
        sheet.put(entry.text + (". " if i + 1 < len(entries) else "."), "body", i)
    _close(sheet, frame)
    return sheet


def _panel_word(rng: np.random.Generator, entries: Sequence[Entry], frame: Frame) -> Sheet:
    sheet = Sheet()
    _open(sheet, frame)
    after = _pick(rng, (": ", " shows ", ", "))
    for i, entry in enumerate(entries):
        word = "Panel " if len(entry.labels) == 1 else "Panels "
        labels = word + joined(rng, entry.labels)
        text = entry.text + (". " if i + 1 < len(entries) else ".")
        if after == " shows ":
            sheet.put(labels + " ", "mark", i)
            sheet.put(("shows " if len(entry.labels) == 1 else "show ") + text, "body", i)
        else:
            sheet.put(labels + after, "mark", i)
            sheet.put(text, "body", i)
    _close(sheet, frame)
    return sheet


#: Convention -> what writes it. How often each is drawn is said by the plan of an article.
CONVENTIONS: Mapping[str, Callable[..., Sheet]] = {
    "(a) text": _leading(_plain("({}) ")),
    "bold (a) text": _leading(_bold("(", ")", " ")),
    "a) text": _leading(_plain("{}) ")),
    "A, text": _leading(_plain("{}, "), (". ",)),
    "A. text": _leading(_plain("{}. "), (". ",)),
    "A: text": _leading(_plain("{}: ")),
    "bold A, text": _leading(_bold("", ",", " "), (". ",)),
    "bold a text": _leading(_bold("", "", " "), (". ",)),
    "text (a)": _trailing,
    "list items": _items,
    "positions": _position,
    "Panel A": _panel_word,
}


def write(
    convention: str, rng: np.random.Generator, entries: Sequence[Entry], frame: Frame
) -> Written:
    """A caption about ``entries``; with no convention ("") one that names no panel.

    The labels of its parts are in upper case, positional words in lower case.
    """
    if not convention:
        sheet = Sheet()
        sheet.block("paragraph")
        said = ". ".join(capital(e.text) for e in entries)
        whole = [capital(frame.preface)] if frame.preface else []
        whole += [said] if said else []
        whole += [capital(frame.suffix)] if frame.suffix else []
        sheet.put(". ".join(whole) + ".", "preface")
        return sheet.written([], "")
    sheet = CONVENTIONS[convention](rng, entries, frame)
    spoken = convention == "positions"
    names = [tuple(x.lower() if spoken else x.upper() for x in e.labels) for e in entries]
    return sheet.written(names, convention)
