"""What the splitter promises for every text, and single rules of it."""

import random
import time

import pytest

from data_gen.pipelines.pubmed.base import Mark, Span, SplitCaption
from data_gen.pipelines.pubmed.captions import label_text, panel_text, split
from data_gen.pipelines.pubmed.captions.split import MAX_LENGTH

from .hand_written import load

PIECES = [
    *("(A)", "(B)", "(a)", "(b–d)", "A,", "B,", "a)", "b)", "(i)", "(ii)", "[A]", "(A1)", "(A2)"),
    *(". ", "; ", ", ", " and ", "In ", " ", "–", "\n", "(", ")", "]", "*", "\u2009", "Panel A"),
    *("A", "B", "c", "1", "(1)", "(2)", "é", "𝔸", "left", "(right)", "Left:", "Fig. 1A", "CT"),
    *("axial image", "Scale bar.", "Abbreviations: CT, computed tomography."),
]
KINDS = ("bold", "italic", "title", "paragraph", "list_item")


def covers(found: SplitCaption) -> bool:
    """Whether its spans are the text, once and in order."""
    spans = [s for p in found.parts for s in (*p.body, *p.marks)]
    spans += [*found.preface, *found.suffix]
    position = 0
    for span in sorted(spans, key=lambda s: s.start):
        if span.start != position or span.end <= span.start:
            return False
        position = span.end
    return position == len(found.text)


def sound(found: SplitCaption) -> bool:
    labelled = all(part.labels and (part.body or part.marks) for part in found.parts)
    sets = [frozenset(part.labels) for part in found.parts]
    texts = [panel_text(found, i) for i in range(len(found.parts))]
    return covers(found) and labelled and len(sets) == len(set(sets)) and len(texts) == len(sets)


@pytest.mark.parametrize("half", ["development.json", "held_out.json"])
def test_spans_cover_captions(half):
    for one in load(half):
        assert sound(split(one.text, one.marks)), one.text


def test_spans_cover_anything():
    chance = random.Random(0)
    written = load("development.json")
    for _ in range(1500):
        if chance.random() < 0.5:
            text = "".join(chance.choice(PIECES) for _ in range(chance.randrange(40)))
        else:
            text = chance.choice(written).text
            cut = chance.randrange(len(text))
            text = text[:cut] + chance.choice(PIECES) + text[cut + chance.randrange(20) :]
        marks = []
        for _ in range(chance.randrange(6)):
            start = chance.randrange(len(text) + 3)
            kind, label = chance.choice(KINDS), chance.choice(["", "A", "b", "(c)", "1"])
            marks.append(Mark(start, start + chance.randrange(6), kind, label))
        assert sound(split(text, marks)), (text, marks)


@pytest.mark.parametrize(
    "text", ["", " ", "(", "(A)", "(A) ", "(A)(B)", "A", ")" * 2000, "(a" * 900]
)
def test_odd_texts(text):
    found = split(text)
    assert covers(found)
    assert found.text == text


@pytest.mark.parametrize(
    "piece", ["A, ", "A. ", "A and ", "(A) and (B), of which axial; ", "x = y; "]
)
def test_a_long_text_takes_no_long_time(piece):
    text = (piece * MAX_LENGTH)[:MAX_LENGTH]
    start = time.process_time()
    assert covers(split(text))
    assert time.process_time() - start < 3
    assert split(text + " ").parts == ()


def texts(caption: str, *marks: Mark) -> dict[str, str]:
    found = split(caption, marks)
    names = [label for part in found.parts for label in part.labels]
    return {name: label_text(found, name, preface=False, suffix=False) for name in names}


def test_text_for_training_is_preface_body_suffix():
    found = split("Brain MRI. (A) Axial. (B) Coronal. Scale bars, 1 cm.")
    assert found.style == "(A)"
    assert panel_text(found, 0) == "Brain MRI. Axial. Scale bars, 1 cm."
    assert panel_text(found, 1, preface=False) == "Coronal. Scale bars, 1 cm."
    assert panel_text(found, 1, preface=False, suffix=False) == "Coronal."
    assert panel_text(found, -1) == found.text
    assert panel_text(found, found.parts[0]) == panel_text(found, 0)


def test_what_panels_share_belongs_to_each():
    found = split("(A, B) Two views. (A) Before. (B) After.")
    assert [part.labels for part in found.parts] == [("A", "B"), ("A",), ("B",)]
    assert panel_text(found, 1) == "Two views. Before."
    assert panel_text(found, 0) == "Two views."


def test_labels_are_upper_case_and_ranges_expanded():
    found = split("(a–c) Controls. (d) Patient.")
    assert [part.labels for part in found.parts] == [("A", "B", "C"), ("D",)]
    assert found.parts[0].marks == (Span(0, 5),)


def test_a_continued_figure_may_start_late():
    assert list(texts("Figure continued. (E) Axial. (F) Coronal.")) == ["E", "F"]


@pytest.mark.parametrize(
    "caption",
    [
        "Levels of vitamin A and vitamin B in serum.",
        "Mass (M) beside the aorta (A) and the vena cava (V).",
        "Voltage (V) and current (A) against time (s).",
        "CT (arrow) and MRI (CT, arrow).",
        "A 50-year-old man. Note the lesion.",
        "Enlarged view of Figure 2A and Figure 2B.",
        "E. coli and B. subtilis after 3 h.",
        "Groups A and B differ, P < 0.05.",
    ],
)
def test_no_labels(caption):
    assert split(caption).parts == ()


def test_decoys_beside_labels():
    found = texts("(A) Calcification (C) of the mass (arrow). (B) P < 0.05 (A), see Fig. 3C.")
    assert list(found) == ["A", "B"]


def test_a_reference_after_the_labels_goes_to_its_panel():
    found = texts("Axial (a) and coronal (b) views. The arrow in (b) marks a clot. All at 3 T.")
    assert found["B"].endswith("The arrow in (b) marks a clot.")
    assert "3 T" not in found["A"] + found["B"]


def test_bold_letters_need_their_marks():
    caption = "Brain MRI of a child a axial view b coronal view"
    at = [caption.index(" a ", 20) + 1, caption.index(" b ") + 1]
    at[0] = caption.index("a axial")
    marks = [Mark(i, i + 1, "bold") for i in at]
    assert texts(caption, *marks) == {"A": "axial view", "B": "coronal view"}
    assert texts(caption) == {}


def test_items_of_a_list():
    caption = "Types. One thing. Another thing."
    marks = [Mark(7, 17, "list_item", "(i)"), Mark(18, 32, "list_item", "(ii)")]
    assert texts(caption, *marks) == {"I": "One thing.", "II": "Another thing."}
    assert split(caption, marks).style == "list"


@pytest.mark.parametrize(
    ("caption", "style"),
    [
        ("(A) One. (B) Two.", "(A)"),
        ("(a) One. (b) Two.", "(a)"),
        ("a) One; b) two.", "a)"),
        ("A, One. B, Two.", "A,"),
        ("(1) One. (2) Two.", "(1)"),
        ("(i) One. (ii) Two.", "(i)"),
        ("Left: one. Right: two.", "position"),
        ("Panel A: one. Panel B: two.", "panel A"),
        ("[a] One. [b] Two.", "[a]"),
        ("Nothing.", ""),
    ],
)
def test_style_that_wins(caption, style):
    assert split(caption).style == style
