"""Drawn figures: same numbers same picture, any shape, nothing blank, every letter has a font."""

import json
import pathlib

import numpy as np
import pytest

from data_gen.pipelines.pubmed.drawings import KINDS, MEDICAL, SMALLEST, draw, words
from data_gen.pipelines.pubmed.drawings.axes import ticks
from data_gen.pipelines.pubmed.drawings.style import FONTS, face, font, mapped


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_is_a_function_of_kind_seed_and_size(kind):
    first, again, other = (
        draw(kind, 3, (96, 140)),
        draw(kind, 3, (96, 140)),
        draw(kind, 4, (96, 140)),
    )
    assert first.shape == (96, 140, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.01
    assert first.std() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_and_long_shapes_are_drawn(kind):
    for size in (SMALLEST, (SMALLEST, 300), (300, SMALLEST)):
        for seed in range(3):
            assert draw(kind, seed, size).ndim == 3


def test_charts_stand_on_white_and_photographs_fill_their_frame():
    for kind in ("bar_chart", "table", "flow_diagram", "forest_plot"):
        light = np.mean([(draw(kind, s, 96) > 225).all(-1).mean() for s in range(8)])
        assert light > 0.5, kind
    for kind in sorted(MEDICAL):
        light = np.mean([(draw(kind, s, 96) > 225).all(-1).mean() for s in range(8)])
        assert light < 0.3, kind


def test_unknown_kinds_and_small_sizes_are_named():
    with pytest.raises(ValueError, match="bar_chart"):
        draw("bar_chrt", 0)
    with pytest.raises(ValueError, match=f"at least {SMALLEST}"):
        draw("gel", 0, 20)


def test_every_word_has_its_letters_in_every_font():
    """A letter that a font lacks is drawn as a box: it must be set in another font."""
    table = json.loads(pathlib.Path(words.__file__).with_suffix(".json").read_text("utf-8"))
    for name in FONTS:
        lacking = font(face("a\uffffb", name), 24).getmask("\uffff").getbbox()
        for word in {w for group in table.values() for w in group}:
            for letter in {c for c in word if not c.isascii()}:
                setting = font(face(word, name), 24)
                same = bytes(setting.getmask(letter)) == bytes(setting.getmask("\uffff"))
                assert lacking is None or not same, (name, word, letter)


def test_ticks_are_round_and_inside():
    for low, high in ((0, 1), (-3, 3), (0.2, 917), (1e-3, 4e-3)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 12
        assert low - 1e-9 <= found[0] <= found[-1] <= high + 1e-9


def test_colour_maps_end_in_their_anchors():
    assert mapped(np.array([0.0, 1.0]), "grey").tolist() == [[255, 255, 255], [0, 0, 0]]
