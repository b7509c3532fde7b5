"""The grounding protocols: from patches to pixels, what is outside of the crop, scores by loops."""

import cv2
import numpy as np
import pytest
from fake_model import CLASSES, batches, direction, read, row_of, tokenize
from scipy import ndimage
from sklearn import metrics as sk

from medvlp_jax.data.images.geometry import matrix, move_boxes
from medvlp_jax.eval.base import EvalError
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.grounding.heatmap import MAPS, MapConfig
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.zeroshot.promptbank import load_bank


@pytest.mark.parametrize("grid", [14, 7])
def test_biovil_maps_are_a_gaussian_of_one_and_a_half_patches_then_nearest(grid):
    x = np.random.default_rng(0).normal(size=(grid, grid))
    smooth = ndimage.gaussian_filter(x, 1.5)
    got = heatmap.to_pixels(x, MAPS["biovil"])
    np.testing.assert_allclose(got, np.kron(smooth, np.ones((224 // grid,) * 2)), atol=1e-12)
    linear = cv2.resize(smooth, (224, 224), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heatmap.to_pixels(x, MAPS["maco"]), linear, atol=1e-6)
    plain = np.kron(x, np.ones((224 // grid,) * 2))
    np.testing.assert_allclose(heatmap.to_pixels(x, MAPS["medklip"]), plain, atol=1e-12)


def test_a_sigma_of_a_share_of_the_side_is_the_same_on_every_grid():
    assert MapConfig().patches(15) == pytest.approx(1.5) == MAPS["biovil"].patches(7)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (32, 32)])
def test_on_the_film_the_crop_holds_the_map_and_the_rest_is_not_a_number(upsample, height, width):
    x = np.random.default_rng(1).normal(size=(8, 8))
    config = MapConfig(0.1, "side", upsample, 32)
    film = heatmap.on_film(x, matrix("shortest", width, height), height, width, config)
    top, left = (height - 32) // 2, (width - 32) // 2
    crop = film[top : top + 32, left : left + 32]
    np.testing.assert_allclose(crop, heatmap.to_pixels(x, config), atol=1e-9)
    assert np.isnan(film).sum() == height * width - 32 * 32


def test_scores_on_the_film_and_on_the_crop_agree():
    """Regions that cross the edge of the crop: only what the model saw is compared."""
    x = np.random.default_rng(2).normal(size=(8, 8))
    config = MapConfig(size=32)
    m = matrix("shortest", 48, 32)
    boxes = np.array([[0.05, 0.2, 0.4, 0.7]], np.float32)  # a third of it is left of the crop
    film = heatmap.on_film(x, m, 32, 48, config).round(9)  # so that ties stay ties
    wide = np.zeros((32, 48), bool)
    centre_x, centre_y = (np.arange(48) + 0.5) / 48, (np.arange(32) + 0.5) / 32
    wide[np.ix_((centre_y >= 0.2) & (centre_y < 0.7), (centre_x >= 0.05) & (centre_x < 0.4))] = True
    crop = heatmap.to_pixels(x, config).round(9)
    mask = heatmap.box_mask(move_boxes(boxes, m, 0.0)[0], 32)
    assert mask.sum() < wide.sum()
    for score in (heatmap.pointing, heatmap.contrast_to_noise, heatmap.pixel_average_precision):
        assert score(film, wide) == pytest.approx(score(crop, mask))
    np.testing.assert_allclose(
        heatmap.overlaps(heatmap.rescale(film), wide, heatmap.LEVELS),
        heatmap.overlaps(heatmap.rescale(crop), mask, heatmap.LEVELS),
    )


def _loop(x, region):
    """CNR, pixel AP, mean IoUs and pointing of the pixels that are there, by plain loops."""
    inside = [v for v, r in zip(x.ravel(), region.ravel(), strict=True) if r and v == v]
    outside = [v for v, r in zip(x.ravel(), region.ravel(), strict=True) if not r and v == v]
    noise = np.sqrt(np.var(inside) + np.var(outside))
    cnr = (np.mean(inside) - np.mean(outside)) / noise if noise else 0.0
    values = np.array(inside + outside)
    truth = np.array([1] * len(inside) + [0] * len(outside))
    scaled = 2 * (values - values.min()) / max(np.ptp(values), 1e-300) - 1
    if not np.ptp(values):
        scaled[:] = -1
    ious = []
    for v in (scaled, values):
        cuts = []
        for cut in (0.1, 0.2, 0.3, 0.4, 0.5):
            both, either = ((v > cut) & (truth == 1)).sum(), ((v > cut) | (truth == 1)).sum()
            cuts.append(both / either if either else 0.0)
        ious.append(np.mean(cuts))
    return cnr, sk.average_precision_score(truth, values), *ious


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_loops_with_and_without_missing_pixels(seed):
    rng = np.random.default_rng(seed)
    x, region = np.round(rng.normal(size=(12, 9)) / 2, 1), rng.random((12, 9)) < 0.3  # with ties
    if seed % 2:
        x[:, :2] = np.nan
    if seed == 4:
        x[:] = 0.2
    cnr, ap, rescaled, raw = _loop(x, region)
    assert heatmap.contrast_to_noise(x, region) == pytest.approx(cnr)
    assert heatmap.pixel_average_precision(x, region) == pytest.approx(ap)
    scaled = 2 * heatmap.rescale(x) - 1
    got = [heatmap.overlaps(m, region, heatmap.MIOU_CUTS).iou.mean() for m in (scaled, x)]
    assert got == pytest.approx([rescaled, raw])


def test_degenerate_maps_and_regions():
    x = np.random.default_rng(3).normal(size=(6, 6))
    none, every, nothing = np.zeros((6, 6), bool), np.ones((6, 6), bool), np.full((6, 6), np.nan)
    for region in (none, every):
        assert np.isnan(heatmap.contrast_to_noise(x, region))
        assert np.isnan(heatmap.pixel_average_precision(x, region))
    assert heatmap.pointing(x, none) == 0
    assert heatmap.pointing(x, every) == 1
    assert np.isnan(heatmap.pointing(nothing, every))
    assert np.isnan(heatmap.contrast_to_noise(nothing, every))
    assert np.isnan(heatmap.rescale(nothing)).all()
    assert (np.array(heatmap.overlaps(nothing, every, [0.1, 0.5])) == 0).all()
    # Nothing above any cut: 0, and the mean over many maps stays a number (MaCo's does not).
    assert heatmap.overlaps(x - 99, every, heatmap.MIOU_CUTS).iou.mean() == 0


@pytest.mark.parametrize(
    "kw", [{"sigma": -1}, {"size": 0}, {"unit": "pixels"}, {"upsample": "cubic"}]
)
def test_bad_settings(kw):
    with pytest.raises(ValueError, match=next(iter(kw))):
        MapConfig(**kw)


# --------------------------------------------------------------------------------- the evaluator

N, GRID, SIDE = 18, 7, 28


class Noisy:
    """Patch embeddings of noise, with something of the class where its mask is."""

    def __init__(self, masks, seed=0):
        rng = np.random.default_rng(seed)
        step = SIDE // GRID
        there = masks[:, step // 2 :: step, step // 2 :: step, :2]
        known = np.stack([direction(c) for c in CLASSES[:2]])
        x = rng.normal(size=(len(masks), GRID, GRID, 16)) + 1.5 * there @ known
        self.patches = x / np.linalg.norm(x, axis=-1, keepdims=True)

    def __call__(self, name, batch):
        if name == "text_embed":
            found = [next(c for c in CLASSES if c in t.lower()) for t in read(batch)]
            return np.stack([direction(c) for c in found])
        return self.patches[row_of(batch)]


@pytest.fixture
def masks():
    """Discs, some of them two of one class, for half of the records; a third class is absent."""
    rng = np.random.default_rng(4)
    out = np.zeros((N, SIDE, SIDE, 3), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(0, N, 2):
        for k in rng.permutation(2)[: rng.integers(1, 3)]:
            for _ in range(rng.integers(1, 3)):
                a, b, r = rng.uniform(4, 24), rng.uniform(4, 24), rng.uniform(3, 6)
                out[i, :, :, k] |= ((y - a) ** 2 + (x - b) ** 2 < r * r).astype(np.uint8)
    return out


def _set(masks, order=(0, 1, 2), **more):
    names = [CLASSES[k] for k in order]
    return Embedded(
        "toy",
        lambda: batches(masks.any((1, 2)), masks=masks[..., list(order)], **more),
        CLASSES,
        mask_names=names,
    )


def _grounding(masks, **kw):
    kw = {"bootstrap": Bootstrap(80), "truth": "masks", "maps": MapConfig(size=SIDE)} | kw
    return Grounding(_set(masks), ["edema", "nodule"], load_bank("brief"), tokenize, **kw)


def _expected(masks, tower, config, level=None):
    """[pairs, 4]: CNR, pixel AP, mIoU rescaled and raw; and Dice at the best level, per pair."""
    rows, dice, record = [], [], []
    for i in range(N):
        for k in range(2):
            region = masks[i, :, :, k] > 0
            if region.any():
                x = heatmap.to_pixels(tower.patches[i] @ direction(CLASSES[k]), config)
                rows.append(_loop(x, region))
                scaled = (x - x.min()) / np.ptp(x)
                dice.append([
                    2 * ((scaled > t) & region).sum() / ((scaled > t).sum() + region.sum())
                    for t in heatmap.LEVELS
                ])  # fmt: skip
                record.append(i)
    dice = np.array(dice)
    best = dice.mean(0).argmax() if level is None else level
    return np.array(rows), dice[:, best], np.array(record), best


def test_masks_as_truth_equal_loops_and_the_threshold_comes_from_validation(masks):
    other = np.roll(masks, 2, axis=0)[:, ::-1]
    tower, config = Noisy(masks), MapConfig(size=SIDE)
    elsewhere = Noisy(other, seed=1)

    class Two:
        """The validation set has other images, which are told by their first pixel."""

        def __call__(self, name, batch):
            if name == "text_embed" or not (batch["image"][:, 0, 1, 0] == 1).any():
                return tower(name, batch)
            return elsewhere(name, batch)

    def marked():
        for batch in batches(other.any((1, 2)), masks=other):
            batch["image"][:, 0, 1, 0] = 1
            yield batch

    validation = Embedded("other", marked, CLASSES)
    got = _grounding(masks, validation=validation)(Two())
    rows, oracle, record, best = _expected(masks, tower, config)
    names = ("cnr", "auprc", "miou", "miou_raw")
    assert [got.metrics[n] for n in names] == pytest.approx(rows.mean(0).tolist())
    assert got.metrics["cnr_absolute"] == pytest.approx(np.abs(rows[:, 0]).mean())
    assert got.metrics["dice_oracle"] == pytest.approx(oracle.mean())
    assert got.details["threshold_oracle"] == heatmap.LEVELS[best]
    _, _, _, level = _expected(other, elsewhere, config)
    at_validation = _expected(masks, tower, config, level)[1]
    assert got.details["threshold"] == heatmap.LEVELS[level]
    assert got.metrics["dice"] == pytest.approx(at_validation.mean())
    assert got.metrics["dice"] <= got.metrics["dice_oracle"]
    assert len(got.arrays["pair_values"]) == len(record)
    # Intervals resample images, not pairs.
    boot = Bootstrap(80)
    drawn = []
    for column in np.concatenate(list(boot.counts(N)), 1).T:
        weight = column[record]
        drawn.append((rows[:, 0] * weight).sum() / weight.sum())
    interval = got.details["overall"]["cnr"]
    assert [interval["low"], interval["high"]] == pytest.approx(
        np.quantile(drawn, [0.025, 0.975]).tolist()
    )


def test_precision_and_recall_stand_behind_the_dice_of_a_pair(masks):
    got = _grounding(masks, validation=_set(masks))(Noisy(masks))
    overall = {k: v["value"] for k, v in got.details["overall"].items()}
    assert 0 < overall["precision"] <= 1
    assert 0 < overall["recall"] <= 1
    assert overall["dice"] == overall["dice_oracle"]  # validation is the set itself here


def test_channels_are_found_by_name(masks):
    tower = Noisy(masks)
    plain = _grounding(masks)(tower)
    data = _set(masks, order=(2, 1, 0))
    turned = Grounding(
        data, ["edema", "nodule"], load_bank("brief"), tokenize, truth="masks",
        maps=MapConfig(size=SIDE), bootstrap=Bootstrap(80),
    )(tower)  # fmt: skip
    assert turned.metrics == plain.metrics
    lacking = Embedded("toy", lambda: batches(masks.any((1, 2))), CLASSES, mask_names=["nodule"])
    with pytest.raises(EvalError, match="'edema' has no mask in set 'toy'; there are nodule"):
        Grounding(lacking, ["edema"], load_bank("brief"), tokenize, truth="masks")


@pytest.mark.parametrize("name", ["default", "biovil", "maco", "medklip"])
def test_every_protocol_by_name(masks, name):
    got = _grounding(masks, maps=MAPS[name], bootstrap=Bootstrap(10))(Noisy(masks))
    assert got.metrics["cnr"] > 0
    assert got.details["maps"]["upsample"] == MAPS[name].upsample
    assert all(np.isfinite(v["value"]) for v in got.details["overall"].values())
