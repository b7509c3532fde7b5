"""Words as labels, their places, and which of them a figure's labels are."""

import numpy as np
import pytest

from data_gen.pipelines.pubmed.compose.faces import FACES
from data_gen.pipelines.pubmed.compose.paint import put_text
from data_gen.pipelines.pubmed.figures.alphabet import SIGNS, labels_of
from data_gen.pipelines.pubmed.figures.choose import ACCEPTED, Word, choose
from data_gen.pipelines.pubmed.figures.glyphs import LEVELS, SIDE, crop, find_glyphs, lines, strokes
from data_gen.pipelines.pubmed.figures.places import SLOTS, places
from data_gen.pipelines.pubmed.figures.words import Answers, readings


def answers(text, sure=0.95):
    out = []
    for sign in text:
        p = np.full(len(SIGNS), 0.01)
        if sign.lower() in SIGNS:
            p[SIGNS.index(sign.lower())] = sure
        out.append(Answers(p, float(sign.isupper())))
    return out


def read(text):
    return [(r.series, r.case, r.text, r.place) for r in readings(answers(text))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A", [("letter", "upper", "a", 0)]),
        ("(b)", [("letter", "lower", "b", 1)]),
        ("b)", [("letter", "lower", "b", 1)]),
        ("D.", [("letter", "upper", "d", 3)]),
        ("12", [("digit", "", "12", 11)]),
        ("A1", [("letter and digit", "upper", "a1", 0)]),
        ("b2", [("letter and digit", "lower", "b2", 101)]),
        ("iv", [("roman", "lower", "iv", 3)]),
        ("(VI)", [("roman", "upper", "vi", 5)]),
        ("Ki", []),
        ("the", []),
        ("Control", []),
        ("*", []),
        ("()", []),
    ],
)
def test_what_a_word_is_as_a_label(text, wanted):
    assert read(text) == wanted


def test_a_letter_may_be_a_numeral_and_forms_that_capitals_share_tell_no_case():
    assert {(series, place) for series, _, _, place in read("I")} == {("letter", 8), ("roman", 0)}
    assert read("c") == [("letter", "", "c", 2)]
    assert read("C")[0][1] == ""
    assert "upper case" not in labels_of("S")
    assert labels_of("B")["upper case"] == 1
    assert sum(labels_of("").values()) == 0


def test_places():
    panel = np.array([[100, 100, 300, 300.0]])
    words = np.array(
        [[104, 104, 114, 118], [284, 282, 294, 296], [100, 80, 112, 96], [194, 304, 206, 318],
         [80, 100, 92, 116], [900, 900, 910, 914.0]]
    )  # fmt: skip
    at = places(words, panel)
    slots = [SLOTS[i] for i in at.slot[:5, 0]]
    assert slots == ["top left", "bottom right", "above", "below centre", "left"]
    assert (at.distance[:5, 0] < 1).all()
    assert at.distance[5, 0] > 40


def figure(texts, panels, offset=(4, 4), height=14):
    words = []
    for text, panel in zip(texts, panels, strict=True):
        if text:
            x, y = panel[0] + offset[0], panel[1] + offset[1]
            box = np.array([x, y, x + 8 * len(text), y + height])
            words.append(Word(box, tuple(readings(answers(text)))))
    return words


PANELS = np.array(
    [[j * 100, i * 100, j * 100 + 90, i * 100 + 90] for i in (0, 1) for j in (0, 1, 2)]
)


def accepted(words, panels=PANELS):
    return {c.panel: c.text for c in choose(words, panels) if c.score >= ACCEPTED}


def test_labels_that_agree_beat_signs_that_stand_elsewhere():
    words = figure("ABCDEF", PANELS) + figure(["R", "x", "1", "", "L", ""], PANELS, (70, 40))
    assert accepted(words) == dict(enumerate("ABCDEF"))


def test_signs_alone_are_no_labels_and_a_missing_label_stays_missing():
    assert accepted(figure(["R", "", "L", "", "", ""], PANELS)) == {}
    assert accepted(figure(["a", "b", "", "d", "e", "f"], PANELS)) == {
        0: "a", 1: "b", 3: "d", 4: "e", 5: "f",
    }  # fmt: skip


def test_a_sign_is_no_label_of_the_panel_whose_label_is_missing():
    words = figure(["a", "b", "", "d", "e", "f"], PANELS)
    words += figure(["", "", "R", "", "", ""], PANELS, (70, 4))
    assert 2 not in accepted(words)


def test_the_case_of_all_labels_is_that_of_those_that_tell():
    assert accepted(figure(["a", "b", "c", "d", "e", "f"], PANELS))[2] == "c"
    assert accepted(figure(["A", "B", "c", "D", "E", "F"], PANELS))[2] == "C"


@pytest.mark.parametrize(
    "texts", [("i", "ii", "iii", "iv", "v", "vi"), "123456", ("A1", "A2", "A3", "B1", "B2", "B3")]
)
def test_other_series(texts):
    assert accepted(figure(texts, PANELS)) == dict(enumerate(texts))


def test_labels_below_their_panels():
    words = figure(["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"], PANELS, (33, 92), height=7)
    assert accepted(words) == dict(enumerate("abcdef"))


@pytest.mark.parametrize("face", ["grotesque bold", "serif", "mono"])
@pytest.mark.parametrize("ground", [255, 0])
def test_glyphs_are_found_on_light_and_dark_with_dots_on_their_stems(face, ground):
    assert face in FACES
    canvas = np.full((120, 900, 3), ground, np.uint8)
    box = put_text(canvas, "(iv)", (60, 30), face, 40, None)
    put_text(canvas, "B", (500, 30), face, 40, None)
    ink = strokes(canvas)
    # What shows between strokes is found too, and for the reader to reject.
    found = [g for g in find_glyphs(ink) if g.bright == (ground == 0)]
    assert {g.level for g in found} == set(range(len(LEVELS)))  # so plain that every one finds it
    glyphs = [g for g in found if g.level == 0 and not g.apart]
    words = lines(glyphs)
    assert sorted(map(len, words)) == [1, 4]
    word = next(w for w in words if len(w) == 4)
    assert abs(min(glyphs[i].x0 for i in word) - box.x0) <= 2
    assert abs(max(glyphs[i].y1 for i in word) - box.y1) <= 2
    seen = crop(ink, glyphs[word[0]])
    assert seen.shape == (SIDE, SIDE)
    assert seen.max() == 255  # bright on black, whatever it was
    assert seen[:, 0].max() == 0
