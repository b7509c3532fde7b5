"""Reading order, the XY-cut, and the joining of what it and the detector say."""

import numpy as np
import pytest

from data_gen.pipelines.pubmed.figures.edges import Edges
from data_gen.pipelines.pubmed.figures.fuse import Fusion, fuse, share_inside
from data_gen.pipelines.pubmed.figures.group import group
from data_gen.pipelines.pubmed.figures.order import reading_order, rows_of
from data_gen.pipelines.pubmed.figures.xy_cut import Cutting, filling, pieces, xy_cut


def grid(rows, columns, gap=0.02):
    return [
        (j / columns + gap, i / rows + gap, (j + 1) / columns - gap, (i + 1) / rows - gap)
        for i in range(rows)
        for j in range(columns)
    ]


def textured(rng, height, width):
    return rng.integers(40, 200, (height, width, 3), dtype=np.uint8)


def sheet(boxes, height=300, width=400, ground=255):
    rng = np.random.default_rng(0)
    image = np.full((height, width, 3), ground, np.uint8)
    for x0, y0, x1, y1 in boxes:
        a, b, c, d = round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height)
        image[b:d, a:c] = textured(rng, d - b, c - a)
    return image


def test_a_grid_is_read_row_by_row_whatever_order_it_comes_in():
    boxes = grid(3, 4)
    shuffled = np.random.default_rng(1).permutation(len(boxes))
    order = reading_order([boxes[i] for i in shuffled])
    assert [int(shuffled[i]) for i in order] == list(range(12))
    assert rows_of(boxes) == [0] * 4 + [1] * 4 + [2] * 4


def test_a_tall_panel_beside_two_small_ones_comes_first_and_small_overlaps_do_not_matter():
    tall, upper, lower = (0, 0, 0.5, 1), (0.49, 0, 1, 0.5), (0.49, 0.48, 1, 1)
    assert reading_order([lower, upper, tall]) == [2, 1, 0]


@pytest.mark.parametrize("ground", [255, 0, 210])
def test_the_cut_finds_panels_between_gutters_of_any_grey(ground):
    wanted = grid(2, 3)
    found = xy_cut(sheet(wanted, ground=ground))
    assert len(found) == 6
    for region, box in zip(found, wanted, strict=True):
        assert np.allclose((region.x0, region.y0, region.x1, region.y1), box, atol=0.01)


def test_the_cut_gives_one_panel_where_nothing_separates_and_leaves_letters_out():
    touching = [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]
    assert len(xy_cut(sheet(touching))) == 1
    image = sheet([(0.1, 0.2, 0.45, 0.9), (0.55, 0.2, 0.9, 0.9)])
    image[10:20, 40:48] = 0  # a letter above
    assert len(xy_cut(image)) == 2
    assert len(xy_cut(np.full((50, 50, 3), 255, np.uint8))) == 1


def fused(image, detections):
    """What comes of detections in fractions, and of the figure's own cuts."""
    height, width = image.shape[:2]
    size = np.array([width, height, width, height], float)
    tree, empty = pieces(image, Cutting(smallest=20))
    filled = filling(empty, np.array([leaf.box for leaf in tree.leaves()]))
    scored = np.array([(*(np.array(box) * size), s) for box, s in detections]).reshape(-1, 5)
    return fuse(scored, tree, filled, Edges(image, 8), size, Fusion()), size


def test_a_detection_takes_the_edges_of_what_lies_between_gutters():
    box = (0.1, 0.1, 0.6, 0.9)
    found, size = fused(sheet([box, (0.65, 0.1, 0.9, 0.5)]), [((0.12, 0.08, 0.57, 0.93), 0.9)])
    assert np.allclose(found[0, :4], np.array(box) * size, atol=1)
    assert found[1, 4] == Fusion().alone  # nobody detected it, but it is full of picture


def test_a_chart_that_gutters_cross_is_one_image_where_the_detector_says_so():
    parts = [(0.1, 0.1, 0.6, 0.4), (0.1, 0.45, 0.6, 0.9)]
    whole = [((0.12, 0.08, 0.57, 0.93), 0.9)]
    found, size = fused(sheet(parts), whole)
    assert np.allclose(found[:, :4], np.array([[0.1, 0.1, 0.6, 0.9]]) * size, atol=1)
    both, _ = fused(sheet(parts), [(part, 0.6) for part in parts])
    assert len(both) == 2


def test_touching_images_part_at_the_border_between_them():
    image = sheet([(0, 0, 1, 1)])
    image[:, :160] //= 4  # 0.4 of 400 pixels
    found, _ = fused(image, [((0.01, 0, 0.45, 0.97), 0.9), ((0.35, 0.03, 0.98, 1), 0.8)])
    assert np.allclose(found[:, :4], [[0, 0, 160, 300], [160, 0, 400, 300]], atol=1.5)
    one, _ = fused(image, [((0.02, 0, 0.97, 0.99), 0.9)])
    assert len(one) == 1


def test_an_inset_goes_and_so_does_a_box_around_several_images():
    inset, _ = fused(sheet([(0, 0, 1, 1)]), [((0, 0, 1, 1), 0.6), ((0.7, 0.7, 0.95, 0.95), 0.9)])
    assert len(inset) == 1
    assert inset[0, 2] == 400
    parts = [(box, 0.6) for box in grid(2, 2, 0.01)]
    assert len(fused(sheet([b for b, _ in parts]), [((0, 0, 1, 1), 0.9), *parts])[0]) == 4


def test_a_line_of_text_that_nobody_detected_is_no_image():
    image = sheet([(0, 0, 0.4, 1)])
    image[20:34, 240:380:6] = 0
    assert len(fused(image, [((0, 0, 0.4, 1), 0.9)])[0]) == 1


def test_images_without_a_label_join_the_label_before_them_if_none_is_missing():
    boxes = np.array(grid(2, 3)) * 300
    whole = group(boxes, {0: 0, 3: 1}, True)
    assert sorted(map(sorted, whole)) == [[0, 1, 2], [3, 4, 5]]
    gap = group(boxes, {0: 0, 3: 2}, True)  # B was not read
    assert sorted(map(len, gap)) == [1] * 6


def test_share_inside():
    assert share_inside(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 5, 2.0]]))[0, 0] == 0.5


def test_cutting_says_how_narrow_a_gutter_may_be():
    image = sheet([(0, 0, 0.49, 1), (0.51, 0, 1, 1)])  # 8 pixels of 400
    assert len(xy_cut(image, Cutting(gutter=10))) == 2
    assert len(xy_cut(image, Cutting(gutter=40))) == 1
