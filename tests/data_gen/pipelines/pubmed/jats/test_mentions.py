"""Who mentions a figure, and which panels of it."""

import pytest

from .made import read

pytest.importorskip("lxml")

FIGURES = "".join(f'<fig id="F{i}"><label>Figure {i}</label></fig>' for i in (1, 2, 3, 4))


def x(rid, text):
    return f'<xref ref-type="fig" rid="{rid}">{text}</xref>'


@pytest.mark.parametrize(
    ("paragraph", "wanted"),
    [
        (f"(Fig. {x('F2', '2')})", {2: [("Fig. 2", "")]}),
        (f"({x('F2', 'Figure 2A')})", {2: [("Figure 2A", "A")]}),
        (f"(Fig. {x('F2', '2A')})", {2: [("Fig. 2A", "A")]}),
        (f"(Figure {x('F2', '2')}A,B)", {2: [("Figure 2A,B", "AB")]}),
        (f"(Figure {x('F2', '2')}a–c)", {2: [("Figure 2a–c", "ABC")]}),
        (f"(Figure {x('F2', '2')} (a, c) here)", {2: [("Figure 2 (a, c)", "AC")]}),
        (f"(Fig. {x('F2', '2A-C')})", {2: [("Fig. 2A-C", "ABC")]}),
        (f"(Fig. {x('F2', '2A−C')})", {2: [("Fig. 2A−C", "ABC")]}),
        (f"(Fig. {x('F2', '2A')},B)", {2: [("Fig. 2A,B", "AB")]}),
        (f"({x('F2', 'Fig. 2A')} and B)", {2: [("Fig. 2A and B", "AB")]}),
        (f"({x('F2', 'Fig. 2, A and B')})", {2: [("Fig. 2, A and B", "AB")]}),
        (f"{x('F2', 'Fig. 2')}, panel B", {2: [("Fig. 2, panel B", "B")]}),
        (f"In {x('F2', 'Fig. 2')}, A and C)", {2: [("Fig. 2, A and C", "AC")]}),
        (f"In {x('F2', 'Figure 2')} a patient", {2: [("Figure 2", "")]}),
        (f"In {x('F2', 'Figure 2a')}, a patient", {2: [("Figure 2a", "A")]}),
        (f"{x('F2', 'Figure 2')} A patient", {2: [("Figure 2", "")]}),
        (f"Figs. {x('F2', '2A')}, {x('F2', 'B')}", {2: [("Figs. 2A", "A"), ("B", "B")]}),
        (f"Figures {x('F2', '2(a)')}–{x('F2', '2(d)')}", {2: [("Figures 2(a)–2(d)", "ABCD")]}),
        (f"Figures {x('F2', '2A')} to {x('F2', 'C')}", {2: [("Figures 2A to C", "ABC")]}),
        (
            f"Figures {x('F1', '1')}-{x('F3', '3')}",
            {i: [("Figures 1-3", "")] for i in (1, 2, 3)},
        ),
        (x("F2 F3 F4", "Figures 2-4"), {i: [("Figures 2-4", "")] for i in (2, 3, 4)}),
        (
            x("F3 F4", "Figs 3A and 4B"),
            {3: [("Figs 3A and 4B", "A")], 4: [("Figs 3A and 4B", "B")]},
        ),
        (
            x("F3", "Figs 3A,B and 4C"),
            {3: [("Figs 3A,B and 4C", "AB")], 4: [("Figs 3A,B and 4C", "C")]},
        ),
        (f"{x('F1', '1')} and {x('F2', '2C')}", {1: [("1", "")], 2: [("2C", "C")]}),
        (x("F9", "Figure 9"), {}),
    ],
)
def test_reference(paragraph, wanted):
    found = read(FIGURES, f"<p>Seen before. {paragraph}.</p>").figures
    got = {
        int(f.id[1:]): [(m.text[m.start : m.end], "".join(m.letters)) for m in f.mentions]
        for f in found
        if f.mentions
    }
    assert got == wanted


def test_paragraph_and_section():
    (mention,) = (
        read(FIGURES, f"<p>One <bold>two</bold>\n  ({x('F1', 'Fig. 1')}) three.</p>")
        .figures[0]
        .mentions
    )
    assert mention.text == "One two (Fig. 1) three."
    assert mention.section == "Results"


def test_sub_numbers_and_romans():
    found = read(FIGURES, f"<p>{x('F1', 'Figure 1A1–A3')}, {x('F1', 'Figure 1Bii')}</p>").figures
    assert [m.letters for m in found[0].mentions] == [("A1", "A2", "A3"), ("BII",)]


def test_captions_tables_and_floats_are_no_running_text():
    body = (
        f"<p>Text {x('F1', 'Fig. 1')}<table-wrap><caption><p>{x('F2', 'Fig. 2')}</p></caption>"
        f"<table><tr><td><p>{x('F3', 'Fig. 3')}</p></td></tr></table></table-wrap> goes on.</p>"
    )
    found = read(FIGURES, body).figures
    assert [len(f.mentions) for f in found] == [1, 0, 0, 0]
    assert found[0].mentions[0].text == "Text Fig. 1 goes on."


def test_items_of_a_list_are_paragraphs():
    body = f"<p>Steps: <list><list-item><p>Cut ({x('F1', 'Fig. 1')}).</p></list-item></list></p>"
    assert read(FIGURES, body).figures[0].mentions[0].text == "Cut (Fig. 1)."
