"""Captions in every convention, and the truth about each of their characters."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from data_gen.pipelines.pubmed.synthetic.captions import CONVENTIONS, Entry, Frame, joined, write
from data_gen.pipelines.pubmed.synthetic.figures import WEIGHTS

ENTRIES = (
    Entry(("a",), "axial T2-weighted image shows a large infarct"),
    Entry(("b", "c"), "FLAIR images at follow-up"),
    Entry(("d",), "unenhanced head CT: <5 mm shift & edema"),
)
PLACES = (Entry(("left",), "CT"), Entry(("right",), "MRI"))


def written(convention, seed, frame=None):
    entries = PLACES if convention == "positions" else ENTRIES
    frame = frame or Frame("imaging of the patient", "L = left", bool(seed % 2))
    return write(convention, np.random.default_rng(seed), entries, frame), entries


def spans(split):
    found = [s for part in split.parts for s in (*part.body, *part.marks)]
    return sorted([*found, *split.preface, *split.suffix], key=lambda s: s.start)


@pytest.mark.parametrize("convention", ["", *CONVENTIONS])
@pytest.mark.parametrize("seed", range(6))
def test_spans_cover_the_text_once_and_the_markup_says_the_same(convention, seed):
    one, _ = written(convention, seed)
    split = one.split
    at = 0
    for span in spans(split):
        assert span.start == at
        at = span.end
    assert at == len(split.text)
    caption = ET.fromstring(f"<caption>{one.xml}</caption>")
    for label in caption.iter("label"):
        label.text = None
    blocks = [b for b in caption.iter() if b.tag in ("title", "p")]
    assert " ".join("".join(b.itertext()) for b in blocks) == split.text


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_parts_hold_what_was_said_of_their_panels(convention):
    one, entries = written(convention, 3)
    assert len(one.split.parts) == len(entries)
    for part, entry in zip(one.split.parts, entries, strict=True):
        assert [label.lower() for label in part.labels] == list(entry.labels)
        body = "".join(one.split.text[s.start : s.end] for s in part.body)
        assert entry.text.lower() in body.lower()
        marks = "".join(one.split.text[s.start : s.end] for s in part.marks)
        if convention != "list items":
            assert all(re.search(rf"\b{name}\b", marks, re.I) for name in (entry.labels[0],))


def test_marks_say_how_labels_are_set():
    bold, _ = written("bold a text", 0)
    set_ = [bold.split.text[m.start : m.end] for m in bold.marks if m.kind == "bold"]
    assert [text[0] for text in set_] == ["a", "b", "d"]
    items, _ = written("list items", 0)
    labels = [m.label for m in items.marks if m.kind == "list_item"]
    assert [re.sub(r"[().]", "", label)[0] for label in labels] == ["a", "b", "d"]


def test_ranges_stand_for_all_that_lies_between():
    said = {joined(np.random.default_rng(i), ("a", "b", "c", "d")) for i in range(60)}
    assert {"a-d", "a\u2013d", "a\u2212d", "a to d"} <= said
    assert all("b" in text or re.fullmatch(r"a\W?( to )?\W?d", text) for text in said)
    gap = {joined(np.random.default_rng(i), ("a", "b", "d")) for i in range(60)}
    assert all("b" in text for text in gap), "a range would claim c too"


def test_every_convention_is_drawn():
    assert set(WEIGHTS) == set(CONVENTIONS)
