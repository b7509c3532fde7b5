"""Pictures are reproducible and show what the study says, where it says."""

import dataclasses

import cv2
import numpy as np
import pytest

from data_gen.phantom.chest_xray import findings as F
from data_gen.phantom.chest_xray.draw import make_device, make_finding
from data_gen.phantom.chest_xray.picture import lesions, render
from data_gen.phantom.chest_xray.picture.render import enclosing_box, render_batch
from data_gen.phantom.chest_xray.sample import sample_study, stream
from data_gen.phantom.chest_xray.switched import switch

SIZE = 128
PLAIN = {
    **dict.fromkeys(("inverted", "equalise", "sharpen", "autoexposure", "centre", "tilt"), 0.0),
    **dict.fromkeys(("border_left", "border_right", "border_top", "border_bottom"), 0.0),
    **dict.fromkeys(("marker", "vignette", "heel_x", "heel_y", "curve", "level_low"), 0.0),
    "noise": 0.002,
    "text": -1.0,
    "gamma": 1.0,
    "level_high": 255.0,
    "window_low": 0.5,
    "window_high": 0.6,
}


def plain(index, *found, view="PA", **patient):
    """A study without film effects, with the given findings alone."""
    i, study = index, sample_study(21, index)
    while study.view != view or study.age < 18:
        i += 100
        study = sample_study(21, i)
    return dataclasses.replace(
        study, findings=found, acquisition={**study.acquisition, **PLAIN}, **patient
    )


def make(name, **wanted):
    """Draws findings until one has the wanted side, zone, severity or attributes."""
    rng, position = stream(7, 7, "findings"), wanted.pop("position", "erect")
    for _ in range(2000):
        f = make_finding(rng, name, position)
        flat = {"side": f.side, "zone": f.zone, "severity": f.severity, **f.attributes}
        if all(flat.get(k) == v for k, v in wanted.items()):
            return f
    raise AssertionError(f"no {name} with {wanted}")


def twins(study, finding):
    """The study without and with one finding: (without, with, truth mask of the finding)."""
    r = render_batch(
        [dataclasses.replace(study, findings=()), dataclasses.replace(study, findings=(finding,))],
        SIZE,
    )
    return r.images[0].astype(float), r.images[1].astype(float), r.masks["finding 0"][1] > 0, r


@pytest.fixture(scope="module")
def rendered():
    studies = [sample_study(4, i) for i in range(24)]
    return studies, render_batch(studies, SIZE)


def test_shapes_types_and_range(rendered):
    _, r = rendered
    assert r.images.shape == (24, SIZE, SIZE)
    assert r.images.dtype == np.uint8
    assert len(r.boxes) == 24
    for mask in r.masks.values():
        assert mask.shape == r.images.shape
        assert mask.dtype == np.uint8
        assert mask.max() <= 1
    spread = r.images.reshape(24, -1).std(1)
    assert spread.min() > 8, "a blank picture"


def test_a_picture_does_not_depend_on_its_batch(rendered):
    studies, r = rendered
    alone = render_batch([studies[5]], SIZE)
    mixed = render_batch([studies[i] for i in (17, 3, 5)], SIZE)
    for other, at in ((alone, 0), (mixed, 2)):
        np.testing.assert_array_equal(other.images[at], r.images[5])
        np.testing.assert_array_equal(other.masks["left lung"][at], r.masks["left lung"][5])
        assert other.boxes[at] == r.boxes[5]


def test_boxes_enclose_their_masks(rendered):
    studies, r = rendered
    for i, study in enumerate(studies):
        for j, finding in enumerate(study.findings):
            boxes = [b for b in r.boxes[i] if b.finding == j]
            whole = enclosing_box(r.masks[f"finding {j}"][i])
            assert (whole is None) == (not boxes)
            assert boxes or finding.name == F.SUPPORT_DEVICES
            if whole is None:
                continue
            assert all(b.label == finding.name for b in boxes)
            assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 for b in boxes)
            joint = (min(b.x0 for b in boxes), min(b.y0 for b in boxes))
            joint += (max(b.x1 for b in boxes), max(b.y1 for b in boxes))
            np.testing.assert_allclose(joint, whole)


def test_organs_are_where_they_belong(rendered):
    studies, r = rendered
    for i in range(len(studies)):
        left, right, heart = (r.masks[k][i] for k in ("left lung", "right lung", "heart"))
        assert left.sum() > 0.03 * SIZE**2
        assert right.sum() > 0.03 * SIZE**2
        assert not (left & right).any()
        assert not ((left | right) & heart).any()
        columns = np.arange(SIZE)
        centre = [(m.sum(0) * columns).sum() / m.sum() for m in (right, heart, left)]
        assert centre[0] < centre[1] < centre[2], "the patient's right is at the image's left"


@pytest.mark.parametrize(
    "name", [n for n in F.FINDING_NAMES[:-1] if n not in ("cardiomegaly", "emphysema")]
)
def test_findings_lie_on_their_side(name):
    studies, sides = [], ("left", "right")
    for i, side in enumerate(sides):
        options = F.SPECS[name].sides
        finding = make(name, side=side if side in options else options[0])
        studies.append(plain(i, finding))
    r = render_batch(studies, SIZE)
    for i, study in enumerate(studies):
        region = r.masks["finding 0"][i]
        assert region.any()
        lungs = {s: r.masks[f"{s} lung"][i] for s in sides}
        halves = {s: enclosing_box(m) for s, m in lungs.items()}
        for box in r.boxes[i]:
            middle = 0.5 * (box.x0 + box.x1)
            side = "right" if middle < 0.5 * (halves["right"][2] + halves["left"][0]) else "left"
            assert study.findings[0].side in (side, "bilateral")
        assert len(r.boxes[i]) == (2 if study.findings[0].side == "bilateral" else 1)


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_cardiothoracic_ratio_tells_cardiomegaly(view):
    studies = [plain(i, view=view) for i in range(4)]
    studies += [plain(i, make("cardiomegaly"), view=view) for i in range(4)]
    r = render_batch(studies, SIZE)
    for i, study in enumerate(studies):
        lungs = r.masks["left lung"][i] | r.masks["right lung"][i]
        heart = enclosing_box(r.masks["heart"][i])
        chest = enclosing_box(lungs)
        assert heart is not None
        assert chest is not None
        ratio = (heart[2] - heart[0]) / (chest[2] - chest[0])
        limit = F.ctr_limit(study.view, study.age)
        assert (ratio > limit) == bool(study.findings), (ratio, limit, study.index)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("position", ["erect", "supine"])
def test_effusion_whitens_its_own_lower_zone(side, position):
    finding = make("pleural effusion", side=side, severity="moderate", position=position)
    without, with_it, _, r = twins(plain(1, view="AP"), finding)
    change = with_it - without
    lung, other = (
        r.masks[f"{s} lung"][0] > 0 for s in (side, "left" if side == "right" else "right")
    )
    low = lung & (np.arange(SIZE)[:, None] > np.flatnonzero(lung.any(1)).mean())
    assert change[low].mean() > 8
    assert abs(change[other].mean()) < 1


@pytest.mark.parametrize("severity", ["moderate", "severe"])
def test_pneumothorax_is_darker_and_empty(severity):
    finding = make("pneumothorax", side="right", severity=severity)
    without, with_it, region, _ = twins(plain(2), finding)
    assert region.any()
    assert with_it[region].mean() < without[region].mean() - 3
    lung = lesions.RIGHT_LUNG_BIT
    assert lung == 1
    # Beyond the pleural line nothing of the fine vascular texture is left.
    inner = region & np.roll(region, 2, 0) & np.roll(region, -2, 0) & np.roll(region, 2, 1)
    assert inner.any()


@pytest.mark.parametrize(
    "name", ["consolidation", "pneumonia", "nodule", "mass", "edema", "atelectasis"]
)
def test_opacities_are_brighter_than_the_same_lung_without(name):
    finding = make(name, severity="severe")
    without, with_it, region, _ = twins(plain(3), finding)
    assert (with_it - without)[region].mean() > 5
    outside = ~region
    assert abs((with_it - without)[outside]).mean() < (with_it - without)[region].mean() / 2


def test_emphysema_is_darker_with_flat_low_domes():
    without, with_it, region, r = twins(plain(4), make("emphysema", severity="severe"))
    assert (with_it - without)[region].mean() < -3
    # The top of the dome sinks: the lung reaches further down at its middle column.
    lung = r.masks["right lung"]
    middle = int(np.flatnonzero(lung[0].any(0)).mean())
    low = [np.flatnonzero(lung[i][:, middle]).max() for i in (0, 1)]
    assert low[1] > low[0]
    assert r.masks["heart"][1].sum() < r.masks["heart"][0].sum()


def test_fracture_changes_the_rib_and_nothing_else():
    without, with_it, region, _ = twins(plain(5), make("fracture", severity="severe"))
    change = np.abs(with_it - without)
    assert change[region].max() > 4
    assert 0 < region.sum() < 0.03 * SIZE**2
    assert np.median(change) == 0


@pytest.mark.parametrize("device", F.DEVICES)
def test_devices_are_bright_where_their_mask_is(device):
    finding = make_device(stream(2, 2, "devices"), device)
    without, with_it, region, r = twins(plain(6), finding)
    assert region.any()
    assert (with_it - without)[region].mean() > 1
    assert (with_it - without)[region].max() > 10
    assert [b.label for b in r.boxes[1]] == [F.SUPPORT_DEVICES]


def test_a_counterfactual_is_the_same_picture_far_from_the_finding():
    """Small things leave it as it is; to a large one the automatic exposure of the film answers."""
    wanted = {"nodule", "fracture", "consolidation"}
    studies = [sample_study(3, i) for i in range(60)]
    pairs = [(s, w) for s in studies if (w := switch(s)).label in wanted and not w.present][:8]
    assert {w.label for _, w in pairs} == wanted
    before = render_batch([s for s, _ in pairs], SIZE)
    after = render_batch([w.study for _, w in pairs], SIZE)
    for i, (study, one) in enumerate(pairs):
        (slot,) = (j for j, f in enumerate(study.findings) if f.name == one.label)
        mask = before.masks[f"finding {slot}"][i]
        change = np.abs(before.images[i].astype(int) - after.images[i])
        away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) > SIZE / 8
        assert np.median(change[away]) <= (0 if one.label != "consolidation" else 10), one
        assert change[mask > 0].mean() > change[away].mean(), one
        np.testing.assert_array_equal(before.masks["left lung"][i], after.masks["left lung"][i])


@pytest.mark.slow
def test_sizes_show_the_same_patient():
    studies = [sample_study(8, i) for i in range(4)]
    small, large = render_batch(studies, 64), render_batch(studies, SIZE)
    halved = large.images.reshape(4, 64, 2, 64, 2).mean((2, 4))
    for a, b in zip(small.images, halved, strict=True):
        assert np.corrcoef(a.ravel().astype(float), b.ravel())[0, 1] > 0.97
    for name in ("left lung", "right lung", "heart"):
        a = small.masks[name] > 0
        b = large.masks[name].reshape(4, 64, 2, 64, 2).mean((2, 4)) > 0.5
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.95


def test_masks_can_be_left_out_but_boxes_stay():
    studies = [plain(0, make("mass"))]
    r = render_batch(studies, SIZE, masks=False)
    assert r.masks == {}
    assert len(r.boxes[0]) == 1


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one study"):
        render_batch([], SIZE)
    with pytest.raises(ValueError, match="at least 32"):
        render_batch([sample_study(0, 0)], 16)


def test_one_compilation_per_size():
    render_batch([sample_study(0, 0)], SIZE)
    before = render._render_chunk._cache_size()
    render_batch([sample_study(0, i) for i in range(11)], SIZE)
    assert render._render_chunk._cache_size() == before
