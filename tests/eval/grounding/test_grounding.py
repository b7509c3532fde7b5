"""Heat-map scores against scipy, OpenCV and loops; the evaluator on maps that know the boxes."""

import json

import cv2
import numpy as np
import pytest
from fake_model import CLASSES, batches, direction, read, row_of, tokenize
from scipy import ndimage
from sklearn import metrics as sk

from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.grounding.heatmap import MapConfig
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.zeroshot.promptbank import load_bank

FEW = Bootstrap(200)
SMALL = MapConfig(size=32)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("n", [3, 14])
def test_smoothing_equals_scipy(n, sigma):
    x = np.random.default_rng(0).normal(size=(n, n))
    m = heatmap.gaussian_matrix(n, sigma)
    np.testing.assert_allclose(m @ x @ m.T, ndimage.gaussian_filter(x, sigma), atol=1e-12)
    assert (heatmap.gaussian_matrix(n, 0.0) == np.eye(n)).all()


@pytest.mark.parametrize(("h", "w", "size"), [(7, 7, 56), (4, 6, 30), (1, 3, 9)])
def test_upsampling_equals_opencv(h, w, size):
    x = np.random.default_rng(1).normal(size=(h, w))
    expected = cv2.resize(x, (size, size), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heatmap.to_pixels(x, MapConfig(0.0, size=size)), expected, atol=1e-6)


def test_batches_of_maps():
    x = np.random.default_rng(2).normal(size=(5, 4, 4))
    config = MapConfig(1.0, "patches", size=16)
    got = heatmap.to_pixels(x, config)
    np.testing.assert_allclose(got[3], heatmap.to_pixels(x[3], config))


def test_union_area_is_exact():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], [0.3, 0.3, 0.4, 0.4]])
    assert heatmap.union_area(boxes) == pytest.approx(0.25 + 0.25 - 0.0625)
    rng = np.random.default_rng(3)
    corners = np.sort(rng.random((6, 2, 2)), axis=1).reshape(6, 4)
    raster = heatmap.box_mask(corners, 800).mean()
    assert heatmap.union_area(corners) == pytest.approx(raster, abs=3e-3)
    assert heatmap.union_area(np.array([[-1.0, 0, 2, 1]])) == 1.0


def test_a_tiny_box_marks_one_pixel():
    mask = heatmap.box_mask(np.array([[0.501, 0.999, 0.502, 1.0]]), 10)
    assert mask.sum() == 1
    assert mask[9, 5]


def test_pointing_shares_ties():
    region = np.zeros((4, 4), bool)
    region[:2] = True
    x = np.zeros((4, 4))
    assert heatmap.pointing(x, region) == 0.5  # constant: the area
    x[0, 0] = x[3, 3] = 1
    assert heatmap.pointing(x, region) == 0.5
    x[1, 1] = 2
    assert heatmap.pointing(x, region) == 1


def test_pointing_of_random_maps_is_the_chance_level():
    rng = np.random.default_rng(4)
    boxes = np.array([[0.1, 0.2, 0.45, 0.6], [0.3, 0.5, 0.9, 0.7]])
    region = heatmap.box_mask(boxes, 40)
    hits = [heatmap.pointing(rng.random((40, 40)), region) for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(heatmap.union_area(boxes), abs=0.025)


def test_contrast_to_noise():
    rng = np.random.default_rng(5)
    x, region = rng.normal(size=(8, 8)), rng.random((8, 8)) < 0.3
    a, b = x[region], x[~region]
    expected = (a.mean() - b.mean()) / np.sqrt(a.std() ** 2 + b.std() ** 2)
    assert heatmap.contrast_to_noise(x, region) == pytest.approx(expected)
    assert heatmap.contrast_to_noise(-x, region) == pytest.approx(-expected)
    assert heatmap.contrast_to_noise(np.ones((8, 8)), region) == 0
    assert np.isnan(heatmap.contrast_to_noise(x, np.zeros((8, 8), bool)))


def test_pixel_average_precision():
    rng = np.random.default_rng(6)
    x, region = np.round(rng.normal(size=(9, 9)), 1), rng.random((9, 9)) < 0.3
    expected = sk.average_precision_score(region.ravel(), x.ravel())
    assert heatmap.pixel_average_precision(x, region) == pytest.approx(expected)


def test_overlaps_equal_a_loop():
    rng = np.random.default_rng(7)
    x, region = heatmap.rescale(np.round(rng.normal(size=(12, 12)), 1)), rng.random((12, 12)) < 0.3
    rows = zip(heatmap.LEVELS, *heatmap.overlaps(x, region, heatmap.LEVELS), strict=True)
    for level, d, i, precision, recall in rows:
        called = x > level
        assert precision == pytest.approx(sk.precision_score(region.ravel(), called.ravel()))
        assert recall == pytest.approx(sk.recall_score(region.ravel(), called.ravel()))
        both, union = (called & region).sum(), (called | region).sum()
        assert d == pytest.approx(2 * both / (called.sum() + region.sum()))
        assert i == pytest.approx(both / union)


def test_empty_predictions_and_regions_score_zero():
    constant = heatmap.rescale(np.full((4, 4), 3.0))
    region = np.eye(4, dtype=bool)
    for x, r in ((constant, region), (constant, np.zeros((4, 4), bool))):
        assert (np.array(heatmap.overlaps(x, r, [0.0, 0.5])) == 0).all()


# --------------------------------------------------------------------------------- the evaluator

N, GRID = 24, 8


@pytest.fixture
def boxed():
    """A quarter of the image per record and class; every fourth record has no box."""
    rng = np.random.default_rng(8)
    boxes = np.zeros((N, 3, 4), np.float32)
    labels = np.full((N, 3), -1, np.int32)
    for i in range(N):
        for m, k in enumerate(rng.permutation(2)[: rng.integers(1, 3)] if i % 4 else ()):
            x, y = rng.integers(0, 2, 2) / 2
            boxes[i, m] = x, y, x + 0.5, y + 0.5
            labels[i, m] = k
    return boxes, labels


class Looker:
    """Patch embeddings that point along the class of the box they lie in."""

    def __init__(self, boxed, sign=1.0):
        self.boxes, self.labels = boxed
        self.sign, self.patch_calls = sign, 0

    def __call__(self, name, batch):
        if name == "text_embed":
            return np.stack([
                direction("edema" if "edema" in t else "nodule" if "nodule" in t else t)
                for t in (s.lower() for s in read(batch))
            ])  # fmt: skip
        self.patch_calls += 1
        out = np.zeros((len(batch["image"]), GRID, GRID, 16))
        for b, i in enumerate(row_of(batch)):
            for box, k in zip(self.boxes[i], self.labels[i], strict=True):
                if k >= 0:
                    x0, y0, x1, y1 = (box * GRID).astype(int)
                    out[b, y0:y1, x0:x1] += self.sign * direction(CLASSES[k])
        return out


def _set(boxed, **more):
    boxes, labels = boxed
    present = np.stack([(labels == k).any(1) for k in range(3)], 1)
    return Embedded("toy", lambda: batches(present, boxes=boxes, box_label=labels, **more), CLASSES)


def _grounding(boxed, **kw):
    kw = {"bootstrap": FEW, "maps": SMALL, "validation": _set(boxed)} | kw
    return Grounding(_set(boxed), ["edema", "nodule"], load_bank("brief"), tokenize, **kw)


def test_maps_that_know_the_boxes(boxed):
    got = _grounding(boxed)(Looker(boxed))
    assert got.metrics["pairs"] == (boxed[1] >= 0).sum()
    assert got.metrics["pointing"] == 1.0
    assert got.metrics["pointing_chance"] == pytest.approx(0.25)
    assert got.metrics["pointing_gain"] == pytest.approx(0.75)
    assert got.metrics["auprc"] > 0.9 > 0.3 > got.metrics["auprc_chance"]
    assert got.metrics["cnr"] > 1
    assert got.metrics["dice"] > 0.75
    assert got.metrics["dice"] == got.metrics["dice_oracle"]  # validation is the set itself here
    assert got.metrics["pointing_other_phrase"] < 0.5  # flat, or the other finding
    assert got.metrics["pointing_prior"] < 0.8
    for row in got.details["classes"]:
        assert row["pointing"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    json.dumps(got.details, allow_nan=False)


def test_maps_that_avoid_the_boxes(boxed):
    got = _grounding(boxed)(Looker(boxed, sign=-1.0))
    assert got.metrics["pointing"] < 0.25
    assert got.metrics["cnr"] < 0


def test_blind_maps_are_at_chance_and_empty(boxed):
    def blind(name, batch):
        n = len(next(iter(batch.values())))
        return np.ones((n, 4)) if name == "text_embed" else np.ones((n, GRID, GRID, 4))

    got = _grounding(boxed)(blind)
    assert got.metrics["pointing"] == pytest.approx(got.metrics["pointing_chance"])
    assert got.metrics["pointing_gain"] == pytest.approx(0)
    assert got.metrics["dice"] == got.metrics["iou"] == got.metrics["miou"] == 0
    assert got.metrics["auprc"] == pytest.approx(got.metrics["auprc_chance"])


def test_threshold_comes_from_validation(boxed):
    rng = np.random.default_rng(9)
    noise = rng.normal(size=(N, GRID, GRID, 16)) * 0.2

    class Noisy(Looker):
        def __call__(self, name, batch):
            out = super().__call__(name, batch)
            return out if name == "text_embed" else out + noise[row_of(batch)]

    other = np.roll(boxed[0], 5, 0), np.roll(boxed[1], 5, 0)
    got = _grounding(boxed, validation=_set(other))(Noisy(boxed))
    assert got.details["threshold"] != got.details["threshold_oracle"]
    assert got.metrics["dice"] < got.metrics["dice_oracle"]


def test_without_validation_only_the_oracle(boxed):
    got = _grounding(boxed, validation=None)(Looker(boxed))
    assert "dice" not in got.metrics
    assert "threshold" not in got.details
    assert got.metrics["dice_oracle"] > 0.75


def test_the_same_network_untrained_beside_it(boxed):
    look, other = Looker(boxed), Looker(boxed, sign=-1.0)
    asked = []

    def untrained(predict, data):
        asked.append((predict, data.name))
        return other

    grounding = _grounding(boxed, untrained=untrained)
    got = grounding(look)
    alone, theirs = _grounding(boxed)(look), _grounding(boxed)(other)
    assert asked == [(look, "toy")]
    for name in ("pointing", "cnr", "auprc", "miou", "dice", "dice_oracle"):
        assert got.metrics[name] == alone.metrics[name]
        assert got.metrics[f"{name}_random"] == theirs.metrics[name]
        gain = alone.metrics[name] - theirs.metrics[name]
        assert got.metrics[f"{name}_gain_random"] == pytest.approx(gain)
    assert got.metrics["pointing_gain_random_low"] > 0
    assert got.details["overall"]["pointing_random"] == theirs.details["overall"]["pointing"]
    # The trained network's columns are still there for the evaluators that come next.
    calls = look.patch_calls
    grounding.test.rows(look)
    assert look.patch_calls == calls


def test_masks_as_truth(boxed):
    boxes, labels = boxed
    masks = np.zeros((N, 8, 8, 3), np.uint8)
    for i in range(N):
        for box, k in zip(boxes[i], labels[i], strict=True):
            if k >= 0:
                x0, y0, x1, y1 = (box * 8).astype(int)
                masks[i, y0:y1, x0:x1, k] = 1
    present = masks.any((1, 2))
    data = Embedded("toy", lambda: batches(present, masks=masks), CLASSES)
    got = Grounding(
        data, ["edema", "nodule"], load_bank("brief"), tokenize, truth="masks", maps=SMALL,
        bootstrap=FEW,
    )(Looker(boxed))  # fmt: skip
    expected = _grounding(boxed, validation=None)(Looker(boxed))
    for name in ("pairs", "pointing", "cnr", "auprc", "dice_oracle", "pointing_chance"):
        assert got.metrics[name] == pytest.approx(expected.metrics[name])


def test_patches_are_encoded_only_where_there_are_boxes(boxed):
    boxes, labels = boxed
    labels = labels.copy()
    labels[4:] = -1
    looker = Looker((boxes, labels))
    _grounding((boxes, labels), validation=None)(looker)
    assert looker.patch_calls == 1


def test_pictures_are_the_first_of_each_class(boxed):
    got = _grounding(boxed, pictures=2)(Looker(boxed))
    arrays = got.arrays
    for name in ("edema", "nodule"):
        k = CLASSES.index(name)
        first = [f"r{i}" for i in range(N) if (boxed[1][i] == k).any()][:2]
        assert [i for i, c in zip(arrays["shown_id"], arrays["shown_label"], strict=True)
                if c == name] == first  # fmt: skip
    assert arrays["shown_image"].shape[1:] == (8, 8, 1)
    assert arrays["shown_map"].min() == 0
    assert arrays["shown_map"].max() == 1
    assert (np.isfinite(arrays["shown_boxes"]).all(2).sum(1) == 1).all()


def test_phrases_of_the_record(boxed):
    labels = boxed[1]
    words = np.array(["", "an edema here", "the nodule"])
    phrase = words[np.array([[{0: 1, 1: 2}.get(k, 0) for k in row] for row in labels])]
    phrase[5, 0] = phrase[5, 0].upper()
    data = _set(boxed, box_phrase=phrase)
    got = Grounding(
        data, ["edema", "nodule"], load_bank("brief"), tokenize, query="phrases", maps=SMALL,
        bootstrap=FEW,
    )(Looker(boxed))  # fmt: skip
    expected = _grounding(boxed, validation=None)(Looker(boxed))
    for name in ("pairs", "pointing", "cnr", "auprc", "dice_oracle", "pointing_chance"):
        assert got.metrics[name] == pytest.approx(expected.metrics[name])
    assert set(got.arrays["shown_phrase"]) <= {*words, *map(str.upper, words)}


def test_equal_phrases_share_one_region():
    boxes = np.zeros((4, 2, 4), np.float32)
    boxes[:, 0] = 0, 0, 0.25, 0.25
    boxes[:, 1] = 0.75, 0.75, 1, 1
    labels = np.zeros((4, 2), np.int32)
    phrase = np.array([["Two edema patches", "two edema patches"]] * 4)
    data = Embedded(
        "toy",
        lambda: batches(np.ones((4, 3)), boxes=boxes, box_label=labels, box_phrase=phrase),
        CLASSES,
    )
    got = Grounding(
        data,
        ["edema"],
        load_bank("brief"),
        tokenize,
        query="phrases",
        maps=MapConfig(sigma=0.0, size=32),
    )(Looker((boxes, labels)))
    assert got.metrics["pairs"] == 4
    assert got.metrics["pointing_chance"] == pytest.approx(0.125)
    assert np.isnan(got.metrics["pointing_other_phrase"])


def test_no_region_at_all(boxed):
    none = boxed[0], np.full_like(boxed[1], -1)
    with pytest.raises(ValueError, match="no boxes of edema, nodule"):
        _grounding(none)(Looker(none))


@pytest.mark.parametrize("kw", [{"truth": "polygons"}, {"query": "negative"}])
def test_bad_settings(boxed, kw):
    with pytest.raises(ValueError, match="must be"):
        _grounding(boxed, **kw)


def test_contrast_query_subtracts_the_mean_over_the_classes(boxed):
    grounding = _grounding(boxed, query="contrast")
    look = Looker(boxed)
    query = grounding._maps.queries(look)
    plain = _grounding(boxed, query="positive")._maps.queries(look)
    np.testing.assert_allclose(query, plain - plain.mean(0), atol=1e-7)
    # An image with both findings: what one map gains, the other loses.
    assert grounding(look).metrics["pointing"] > 0.8
    with pytest.raises(ValueError, match="two classes or more"):
        Grounding(_set(boxed), ["edema"], load_bank("brief"), tokenize, query="contrast")


def test_difference_query_subtracts_the_denial(boxed):
    plain = _grounding(boxed, query="positive")(Looker(boxed))
    difference = _grounding(boxed, query="difference")(Looker(boxed))
    # This text tower does not hear the "no": both sides are equal, nothing is left.
    assert plain.metrics["pointing"] == 1.0
    assert difference.metrics["pointing"] == pytest.approx(0.25)
