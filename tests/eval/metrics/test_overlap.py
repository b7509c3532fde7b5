import numpy as np
import pytest

from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.boxes import (
    THRESHOLDS,
    detections_of,
    iou,
    match,
    optimistic,
    suppress,
)
from medvlp_jax.eval.metrics.overlap import overlap, overlap_table, pixel_counts


def dice_by_loop(predicted, truth):
    both = size = 0
    for p, t in zip(predicted.ravel(), truth.ravel(), strict=True):
        both += bool(p and t)
        size += bool(p) + bool(t)
    union = size - both
    if not truth.any():
        empty = float(not predicted.any())
        return empty, empty
    return 2 * both / size, both / union


def test_dice_and_iou_equal_loops_over_pixels_on_random_and_empty_masks():
    rng = np.random.default_rng(0)
    truth = rng.random((12, 5, 5, 2)) < 0.3
    predicted = rng.random((12, 5, 5, 2)) < 0.3
    truth[:4, ..., 0] = False  # nothing to find
    predicted[2:6, ..., 0] = False  # nothing found
    predicted[6, ..., 0] = truth[6, ..., 0]
    known = np.ones((12, 2), bool)
    known[7, 0] = False
    got = overlap(pixel_counts(predicted, truth, known))
    for i in range(12):
        for k in range(2):
            dice, jaccard = dice_by_loop(predicted[i, ..., k], truth[i, ..., k])
            positive = truth[i, ..., k].any()
            if not known[i, k]:
                assert all(np.isnan(v[i, k]) for v in got.values())
                continue
            assert got["dice"][i, k] == pytest.approx(dice)
            for name, value in (("dice_positive", dice), ("iou_positive", jaccard)):
                if positive:
                    assert got[name][i, k] == pytest.approx(value)
                else:
                    assert np.isnan(got[name][i, k])
    # nothing to find: found nothing 1, found something 0
    assert got["dice"][2, 0] == 1
    assert got["dice"][0, 0] == 0
    # something to find and nothing found
    assert got["dice"][4, 0] == got["iou_positive"][4, 0] == 0


def test_means_leave_out_what_is_not_known_and_the_difference_is_paired():
    rng = np.random.default_rng(1)
    values = {"dice": rng.random((40, 3)), "iou_positive": rng.random((40, 3))}
    values["dice_positive"] = values["dice"].copy()
    values["dice_positive"][:, 2] = np.nan  # a region that no record has
    better = {k: v + 0.25 for k, v in values.items()}
    table = overlap_table("abc", {"pretrained": [better], "random": [values]}, Bootstrap(50), None)
    part = table["random"]["dice_positive"]
    assert part["macro"]["value"] == pytest.approx(values["dice_positive"][:, :2].mean())
    assert part["masks"]["c"] == {"value": None, "low": None, "high": None}
    gain = table["difference"]["dice_positive"]["macro"]
    for key in ("value", "low", "high"):  # a constant gain has no spread
        assert gain[key] == pytest.approx(0.25)


def test_suppression_keeps_the_best_of_each_pile():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.9, 1], [0, 0, 0.4, 1], [2, 2, 3, 3]], float)
    kept = suppress(boxes, np.array([0.5, 0.9, 0.8, 0.1]), 0.5)
    assert kept.tolist() == [1, 2, 3]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


def test_a_true_box_is_hit_once():
    truth = np.array([[0, 0, 1, 1]], float)
    found = np.array([[0, 0, 1, 0.9], [0, 0, 1, 1], [5, 5, 6, 6]], float)
    assert match(found, truth, (0.5, 0.95)).tolist() == [
        [True, False], [False, True], [False, False],
    ]  # fmt: skip
    assert match(found, np.zeros((0, 4)), (0.5,)).tolist() == [[False]] * 3


def random_set(seed, records=14, classes=2):
    rng = np.random.default_rng(seed)

    def boxes(*shape):
        low = rng.random((*shape, 2)) * 0.6
        return np.concatenate([low, low + 0.1 + 0.3 * rng.random((*shape, 2))], -1)

    truth = boxes(records, 3)
    label = rng.integers(-1, classes, (records, 3))
    predicted = np.zeros((records, 8, 6))
    near = np.repeat(truth, 3, 1)[:, :8] + rng.normal(size=(records, 8, 4)) * 0.02
    predicted[..., :4] = np.where(rng.random((records, 8, 1)) < 0.6, near, boxes(records, 8))
    predicted[..., 4] = rng.choice([0.1, 0.3, 0.5, 0.7], (records, 8))  # ties
    predicted[..., 5] = np.where(
        rng.random((records, 8)) < 0.7, np.repeat(np.maximum(label, 0), 3, 1)[:, :8], 0
    )
    label[:3] = -1  # records without a box
    predicted[3:5, :, 4] = 0  # records without a detection
    return predicted, truth, label


def overlap_by_hand(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def average_precision_by_loop(predicted, truth, label, k, limit, keep=None):
    """One class, one threshold: loops, no array tricks."""
    flags, total = [], 0
    for i in range(len(predicted)):
        if keep is not None and not keep[i]:
            continue
        mine = sorted((p for p in predicted[i].tolist() if p[5] == k and p[4] >= 0.05),
                      key=lambda p: -p[4])  # fmt: skip
        left = []
        for p in mine:
            if all(overlap_by_hand(p, q) <= 0.5 for q in left):
                left.append(p)
        boxes = [b for b, c in zip(truth[i].tolist(), label[i], strict=True) if c == k]
        total += len(boxes)
        free = list(range(len(boxes)))
        for p in left:
            best = max(free, key=lambda j: overlap_by_hand(p, boxes[j]), default=None)
            good = best is not None and overlap_by_hand(p, boxes[best]) >= limit
            if good:
                free.remove(best)
            flags.append((p[4], good))
    if not total:
        return float("nan")
    points = []
    for score in sorted({s for s, _ in flags}, reverse=True):
        called = [g for s, g in flags if s >= score]
        points.append((sum(called) / total, sum(called) / len(called)))
    area, before = 0.0, 0.0
    for n, (recall, _) in enumerate(points):
        area += (recall - before) * max(p for _, p in points[n:])
        before = recall
    return area


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_a_loop_and_counts_every_record(seed):
    predicted, truth, label = random_set(seed)
    known = np.ones((len(truth), 2), bool)
    found = detections_of(predicted, truth, label, known, confidence=0.05, nms=0.5)
    one = np.ones((len(truth), 1), int)
    for k, detections in enumerate(found):
        got = detections.precision(one)[:, 0]
        for t, limit in enumerate(THRESHOLDS):
            want = average_precision_by_loop(predicted, truth, label, k, limit)
            assert got[t] == pytest.approx(want, abs=1e-12)
        easy = optimistic(detections)
        assert (easy.precision(one) >= detections.precision(one) - 1e-12).all()
        keep = [
            (label[i] == k).any() and ((predicted[i, :, 5] == k) & (predicted[i, :, 4] > 0)).any()
            for i in range(len(truth))
        ]
        want = average_precision_by_loop(predicted, truth, label, k, THRESHOLDS[0], keep)
        assert easy.precision(one)[0, 0] == pytest.approx(want, abs=1e-12)


def test_a_resample_counts_as_a_set_with_repeated_records():
    predicted, truth, label = random_set(7)
    counts = np.random.default_rng(3).integers(0, 3, len(truth))
    take = np.repeat(np.arange(len(truth)), counts)
    options = {"confidence": 0.05, "nms": 0.5}
    known = np.ones((len(truth), 2), bool)
    known[5] = False
    whole = detections_of(predicted, truth, label, known, **options)
    drawn = detections_of(predicted[take], truth[take], label[take], known[take], **options)
    for a, b in zip(whole, drawn, strict=True):
        np.testing.assert_allclose(
            a.precision(counts[:, None])[:, 0], b.precision(np.ones((len(take), 1), int))[:, 0]
        )


def test_a_detection_where_there_is_no_box_lowers_the_score():
    truth = np.array([[[0, 0, 1, 1]], [[0, 0, 1, 1]]], float)
    label = np.array([[0], [-1]])
    predicted = np.array([[[0, 0, 1, 1, 0.5, 0]], [[0, 0, 1, 1, 0.9, 0]]], float)
    known = np.ones((2, 1), bool)
    found = detections_of(predicted, truth, label, known, confidence=0.05, nms=0.5)[0]
    one = np.ones((2, 1), int)
    assert found.precision(one)[0, 0] == 0.5
    assert optimistic(found).precision(one)[0, 0] == 1.0
    # and a set without any box has no score
    none = detections_of(predicted, truth, np.full((2, 1), -1), known, confidence=0.05, nms=0.5)
    assert np.isnan(none[0].precision(one)).all()
    # while boxes that nothing finds score 0
    silent = detections_of(predicted * 0, truth, label, known, confidence=0.05, nms=0.5)
    assert (silent[0].precision(one) == 0).all()


def test_intersection_over_union_of_empty_boxes_is_nothing():
    assert iou(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0
