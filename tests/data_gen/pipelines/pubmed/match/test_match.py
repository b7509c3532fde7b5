"""Every panel and every part has a status, and the status is the one that the evidence allows."""

import json

import pytest
from matched_figures import PANELS, letter, matched, split_of

from data_gen.pipelines.pubmed import base
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.match import match, uncovered
from data_gen.pipelines.pubmed.match.matched import MatchedFigure, read_matched, write_matched
from data_gen.pipelines.pubmed.match.position import panels_at
from data_gen.pipelines.pubmed.match.several import match_images
from data_gen.pipelines.pubmed.match.slots import in_order, likeness, slots_of
from medvlp_jax.core.errors import UserError

ABC = [("A", "One."), ("B", "Two."), ("C", "Three.")]


def found(read, bodies=None, panels=PANELS, config=None):
    """{(panels, labels of the part): (status, reason)} of a figure with letters read."""
    split = split_of(bodies if bodies is not None else ABC)
    separated = base.Separated(200, 160, panels, tuple(read))
    pairs = match(separated, split, config)
    assert uncovered(separated, split, pairs) == ([], [])
    return {
        (p.panels, "".join(split.parts[p.part].labels) if p.part >= 0 else ""): (
            p.status, reasons.kind(p.reason),
        )
        for p in pairs
    }  # fmt: skip


def letters(text, score=0.95):
    return [letter(i, c, score) for i, c in enumerate(text) if c != "."]


def grid(rows, columns):
    return tuple(
        base.Region(c / columns, r / rows, (c + 0.9) / columns, (r + 0.9) / rows)
        for r in range(rows)
        for c in range(columns)
    )


def on(panels, text, score=0.95):
    """Letters in the corners of any panels."""
    out = []
    for i, c in enumerate(text):
        x, y = panels[i].x0, panels[i].y0
        box = base.Region(x + 0.01, y + 0.01, x + 0.03, y + 0.03)
        out += [(i, base.ReadLabel(c, box, score))] if c != "." else []
    return out


LABEL, ORDER = ("label_match", reasons.LABEL), ("order_match", reasons.BETWEEN)


def test_letters_that_are_read_decide():
    assert found(letters("abc")) == {((0,), "A"): LABEL, ((1,), "B"): LABEL, ((2,), "C"): LABEL}


def test_letters_out_of_order_are_believed_and_said():
    got = found(letters("acb"))
    assert {k for k, v in got.items() if v[0] == "label_match"} == {
        ((0,), "A"), ((2,), "B"), ((1,), "C"),
    }  # fmt: skip
    assert reasons.AGAINST_ORDER in {v[1] for v in got.values()}


def test_a_gap_is_filled_in_order_and_said():
    assert found(letters("a.c")) == {((0,), "A"): LABEL, ((1,), "B"): ORDER, ((2,), "C"): LABEL}
    assert found(letters("a.c"), config=MatchConfig(fill=False)) == {
        ((0,), "A"): LABEL, ((2,), "C"): LABEL,
        ((), "B"): ("rejected", reasons.NO_PANEL), ((1,), ""): ("rejected", reasons.NO_LABEL),
    }  # fmt: skip


def test_without_letters_equal_counts_are_paired_in_order():
    same = ("order_match", reasons.COUNTS_AGREE)
    assert found([]) == {((0,), "A"): same, ((1,), "B"): same, ((2,), "C"): same}


def test_without_letters_other_counts_are_rejected():
    got = found([], ABC[:2])
    assert set(got.values()) == {("rejected", reasons.COUNTS_DIFFER)}
    assert set(got) == {((), "A"), ((), "B"), ((0,), ""), ((1,), ""), ((2,), "")}


def test_a_compound_of_which_nothing_is_paired_falls_back_only_where_the_config_says_so():
    got = found([], ABC[:2], config=MatchConfig(unmatched="whole_figure"))
    assert got == {((), ""): ("whole_figure", reasons.NOTHING_PAIRED)}


def test_a_weak_label_against_the_order_is_doubted_and_not_guessed_around():
    got = found([letter(0, "a"), letter(1, "c", 0.5)])
    assert got[(0,), "A"] == LABEL
    assert {v for k, v in got.items() if k != ((0,), "A")} == {("rejected", reasons.DOUBTFUL)}


def test_a_sure_label_against_the_order_is_believed():
    got = found([letter(0, "a"), letter(1, "c", 0.95)])
    assert got[(1,), "C"][0] == "label_match"
    assert got[(), "B"][0] == got[(2,), ""][0] == "rejected"


def test_a_panel_that_reads_a_letter_of_no_part_is_not_given_another_one():
    panels = grid(2, 2)
    got = found(on(panels, "abce"), [*ABC, ("D", "Four.")], panels)
    assert got[(3,), ""] == ("rejected", reasons.OTHER_LABEL)
    assert got[(), "D"][0] == "rejected"


def test_two_panels_that_read_one_letter_leave_it_to_the_one_in_order():
    panels = grid(2, 3)
    read = [*on(panels, "abcd.f", 0.8), (4, on(panels, "....c", 0.9)[0][1])]
    got = found(read, [(c, f"{c}.") for c in "ABCDEF"], panels)
    assert got[(2,), "C"] == LABEL
    assert got[(4,), "E"] == ORDER


def test_a_part_of_several_letters_claims_several_panels():
    got = found(letters("abc"), [("AB", "Both."), ("C", "Three.")])
    assert got == {((0, 1), "AB"): LABEL, ((2,), "C"): LABEL}


def test_a_letter_without_a_panel_in_a_part_of_several_is_said():
    panels = PANELS[:2]
    got = found(letters("ab"), [("AB", "Both."), ("BC", "The rest.")], panels)
    assert got[(1,), "BC"] == LABEL
    assert got[(), "BC"] == ("rejected", reasons.NO_PANEL)


def test_a_letter_in_two_parts_gives_its_panel_to_both():
    got = found(letters("abc"), [("ABC", "All."), ("A", "One.")])
    assert got == {((0, 1, 2), "ABC"): LABEL, ((0,), "A"): LABEL}


def test_sub_labels_share_the_part_of_their_letter():
    read = [letter(0, "A1"), letter(1, "A2"), letter(2, "B")]
    got = found(read, ABC[:2])
    assert got == {((0, 1), "A"): ("label_match", reasons.SUB_LABEL), ((2,), "B"): LABEL}


def test_columns_are_an_order_too():
    panels = grid(3, 2)  # rows of two; the letters run down
    got = found(on(panels, "adb.cf"), [(c, f"{c}.") for c in "ABCDEF"], panels)
    assert got[(3,), "E"] == ORDER
    assert set(got.values()) == {LABEL, ORDER}


def test_a_letter_in_the_middle_of_a_panel_counts_less_than_one_in_the_corner():
    x, y = (PANELS[0].x0 + PANELS[0].x1) / 2, 0.25
    arrow = (0, base.ReadLabel("b", base.Region(x, y, x + 0.02, y + 0.02), 0.99))
    got = found([arrow, *letters("abc", 0.8)])
    assert got == {((0,), "A"): LABEL, ((1,), "B"): LABEL, ((2,), "C"): LABEL}


@pytest.mark.parametrize(
    ("panels", "bodies", "key", "value"),
    [
        ((), ABC, ((), ""), ("whole_figure", reasons.NO_PANELS)),
        (PANELS[:1], ABC, ((), ""), ("whole_figure", reasons.ONE_PANEL)),
        (PANELS[:1], [], ((), ""), ("whole_figure", reasons.NO_PARTS)),
        (PANELS, [], ((), ""), ("whole_figure", reasons.NO_PARTS)),
    ],
)
def test_whole_figures_say_why(panels, bodies, key, value):
    assert found([], bodies, panels) == {key: value}


def test_a_figure_without_a_caption_is_rejected():
    pairs = match(base.Separated(9, 9, PANELS), base.SplitCaption("  "))
    assert [(p.status, p.reason) for p in pairs] == [("rejected", reasons.NO_CAPTION)]


def images_of(*texts, heights=(160, 160, 160)):
    """Images of a figure: a string per image, a letter per panel; "" for one without panels."""
    out = []
    for text, height in zip(texts, heights, strict=False):
        panels = grid(1, len(text)) if text else ()
        out.append(base.Separated(200, height, panels, tuple(on(panels, text))))
    return out


def told(pairs):
    return {(p.panels, p.part): (p.status, reasons.kind(p.reason)) for p in pairs}


def test_several_images_of_a_figure_share_the_caption():
    first, second = match_images(images_of("ab", "d.", heights=(160, 900)), split_of(
        [(c, f"Part {c}.") for c in "ABCDE"]
    ))  # fmt: skip
    assert told(first) == {
        ((0,), 0): LABEL, ((1,), 1): LABEL, ((), 2): ("rejected", reasons.NO_PANEL),
    }  # fmt: skip
    assert told(second) == {((0,), 3): LABEL, ((1,), 4): ORDER}


def test_images_without_panels_are_panels_of_their_figure():
    split = split_of([("A", "One."), ("B", "Two.")])
    first, second = match_images(images_of("", ""), split)
    assert told(first) == {((), 0): ("order_match", reasons.COUNTS_AGREE)}
    assert told(second) == {((), 1): ("order_match", reasons.COUNTS_AGREE)}
    whole = match_images(images_of("", "a"), split_of([]))
    assert [told(one) for one in whole] == [{((), -1): ("whole_figure", reasons.NO_PARTS)}] * 2
    assert match_images([], split) == []
    (alone,) = match_images(images_of("ab"), split)
    assert alone == match(images_of("ab")[0], split)


def words(*labels):
    return [((label,), f"At {i}.") for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("panels", "labels", "want"),
    [
        (grid(1, 2), ("left", "right"), {"left": (0,), "right": (1,)}),
        (grid(2, 2), ("left", "right"), {"left": (0, 2), "right": (1, 3)}),
        (grid(2, 2), ("upper left", "lower right"), {"upper left": (0,), "lower right": (3,)}),
        (grid(1, 3), ("left", "middle", "right"), {"left": (0,), "middle": (1,), "right": (2,)}),
        (grid(3, 2), ("top", "middle", "bottom"),
         {"top": (0, 1), "middle": (2, 3), "bottom": (4, 5)}),
        (grid(2, 2), ("top row", "bottom row"), {"top row": (0, 1), "bottom row": (2, 3)}),
        (PANELS, ("top left", "top right", "bottom"),
         {"top left": (0,), "top right": (1,), "bottom": (2,)}),
    ],
)  # fmt: skip
def test_position_words(panels, labels, want):
    got = found([], words(*labels), panels)
    paired = {k[1]: k[0] for k, v in got.items() if v == ("label_match", reasons.POSITION)}
    assert paired == want


def test_positions_that_the_layout_does_not_have_are_rejected():
    got = found([], words("left", "inset"), grid(2, 1))
    assert got[(), "left"] == ("rejected", reasons.NO_SUCH_POSITION)
    assert got[(), "inset"] == ("rejected", reasons.UNKNOWN_POSITION)
    assert panels_at("middle", ("left", "right", "middle"), grid(1, 2)) == []


def test_readings_are_compared_as_a_person_would():
    assert likeness("(a)", "A", lower=True) == 1
    assert 0 < likeness("A", "A", lower=True) < 1
    assert likeness("C", "C", lower=True) == 1  # c and C look alike
    assert likeness("iv", "IV") == 1
    assert 0 < likeness("1", "I") < 1
    assert likeness("b", "A") == likeness("", "A") == likeness("AB", "A") == 0


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ("C A B", "A B C"), ("10 2 1", "1 2 10"), ("IV I X V", "I IV V X"),
        ("B2 A1 B1", "A1 B1 B2"), ("AA Z B", "B Z AA"), ("A' A", "A A'"), ("C D", "C D"),
        ("B 1", "B 1"),
    ],
)  # fmt: skip
def test_labels_have_the_order_of_figures(labels, want):
    assert in_order(labels.split()) == want.split()


def test_slots_know_their_parts():
    split = split_of([("AB", "x"), ("B", "y")])
    assert [(s.label, s.parts) for s in slots_of(split, (), 0.3)] == [("A", (0,)), ("B", (0, 1))]


def test_a_matched_figure_survives_its_file(tmp_path):
    path = write_matched(tmp_path / "m.jsonl", [matched(1), matched(2, "a.c")])
    again = read_matched(path)
    assert again == [matched(1), matched(2, "a.c")]
    assert again[0].article.abstract == ""
    assert again[0].key == "PMC1.1/f1/f1.png"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.update(graphic="../../secret"),
        lambda line: line["pairs"][0].update(panels=[7]),
        lambda line: line["pairs"][0].update(part=9),
        lambda line: line["separated"]["labels"][0].__setitem__(0, 5),
        lambda line: line.pop("split"),
        lambda line: line["article"].update(pmcid=""),
    ],
)
def test_a_broken_line_is_named(tmp_path, spoil):
    line = base.as_json(matched(1))
    line = json.loads(json.dumps(line))
    spoil(line)
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(base.as_json(matched(2))) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(UserError, match=r"m\.jsonl, line 2, cannot be read") as caught:
        read_matched(path)
    assert "\n" not in str(caught.value)
    assert isinstance(matched(), MatchedFigure)


def test_a_figure_twice_is_named(tmp_path):
    path = write_matched(tmp_path / "m.jsonl", [matched(1), matched(1)])
    with pytest.raises(UserError, match=r"line 2: PMC1\.1/f1/f1\.png stands there twice"):
        read_matched(path)
