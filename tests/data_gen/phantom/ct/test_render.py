"""Slices are reproducible and show what the study says, where it says."""

import dataclasses
from typing import cast

import jax.numpy as jnp
import numpy as np
import pytest

from data_gen.phantom.ct.findings import FINDING_NAMES, Study
from data_gen.phantom.ct.picture.items import ORGANS
from data_gen.phantom.ct.picture.render import enclosing_box, render_batch
from data_gen.phantom.ct.picture.scanner import noise_spectrum
from data_gen.phantom.ct.requested import requested_study
from data_gen.phantom.ct.sample import sample_study
from data_gen.phantom.ct.switched import switched_study

SIZE = 96
QUIET = {"noise": 0.3, "black": 0.0, "circle": 1.0}


def quiet(study):
    return dataclasses.replace(study, acquisition={**study.acquisition, **QUIET})


@pytest.fixture(scope="module")
def rendered():
    studies = [sample_study(4, i) for i in range(24)]
    return studies, render_batch(studies, SIZE)


@pytest.fixture(scope="module")
def twins():
    """Per finding, studies that show it alone, and the same without."""
    studies = [
        quiet(requested_study(f"{name} {seed}", seed, {name: 1}))
        for name in FINDING_NAMES
        for seed in (1, 2, 3, 4)
    ]
    healthy = [dataclasses.replace(s, findings=()) for s in studies]
    drawn = render_batch([*studies, *healthy], SIZE)
    return studies, drawn


def test_shapes_types_and_range(rendered):
    studies, r = rendered
    assert {s.region for s in studies} == {"abdomen", "chest", "head"}
    assert r.images.shape == (24, SIZE, SIZE)
    assert r.images.dtype == np.uint8
    assert set(ORGANS) <= set(r.masks)
    for mask in r.masks.values():
        assert mask.shape == r.images.shape
        assert mask.dtype == np.uint8
        assert mask.max() <= 1
    assert r.images.reshape(24, -1).std(1).min() > 15, "a blank picture"


def test_a_picture_does_not_depend_on_its_batch(rendered):
    studies, r = rendered
    mixed = render_batch([studies[i] for i in (17, 3, 5)], SIZE)
    for other, at in zip((17, 3, 5), range(3), strict=True):
        np.testing.assert_array_equal(mixed.images[at], r.images[other])
        assert mixed.boxes[at] == r.boxes[other]
        np.testing.assert_array_equal(mixed.masks["liver"][at], r.masks["liver"][other])


def test_boxes_enclose_their_masks(rendered):
    studies, r = rendered
    count = 0
    for i, study in enumerate(studies):
        for j, finding in enumerate(study.findings):
            boxes = [b for b in r.boxes[i] if b.finding == j]
            whole = enclosing_box(r.masks[f"finding {j}"][i])
            assert whole is not None, (study.index, finding)
            assert all(b.label == finding.name for b in boxes)
            assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 for b in boxes)
            joint = (min(b.x0 for b in boxes), min(b.y0 for b in boxes))
            joint += (max(b.x1 for b in boxes), max(b.y1 for b in boxes))
            np.testing.assert_allclose(joint, whole)
            count += 1
    assert count > 12


def test_organs_are_where_they_belong(rendered):
    studies, r = rendered
    columns = np.arange(SIZE)

    def middle(name, i):
        mask = r.masks[name][i]
        return (mask.sum(0) * columns).sum() / max(mask.sum(), 1)

    for i, study in enumerate(studies):
        seen = {n for n in ORGANS if r.masks[n][i].any()}
        if study.region == "head":
            assert "brain" in seen
            assert not seen & {"liver", "left lung"}
        elif study.region == "chest":
            assert middle("right lung", i) < middle("heart", i) < middle("left lung", i)
            assert not (r.masks["right lung"][i] & r.masks["left lung"][i]).any()
        else:
            right = "right kidney" if study.level == "kidneys" else "liver"
            left = "left kidney" if study.level == "kidneys" else "spleen"
            assert middle(right, i) < middle("aorta", i) < middle(left, i)


@pytest.mark.parametrize("name", FINDING_NAMES)
def test_a_finding_changes_its_mask_and_nothing_far_away(name, twins):
    studies, drawn = twins
    half = len(studies)
    at = [i for i, s in enumerate(studies) if s.findings[0].name == name]
    changes = []
    for i in at:
        mask = drawn.masks["finding 0"][i] > 0
        assert mask.any(), studies[i].findings
        assert len(drawn.boxes[i]) >= 1
        change = np.abs(drawn.images[i].astype(float) - drawn.images[half + i])
        rows, columns = np.nonzero(mask)
        y, x = np.mgrid[:SIZE, :SIZE]
        reach = 14
        box = (y >= rows.min() - reach) & (y <= rows.max() + reach)
        box &= (x >= columns.min() - reach) & (x <= columns.max() + reach)
        # Hardening of the beam and the sharpness of the picture reach a little further.
        assert change[~box].max(initial=0.0) <= 8, studies[i].findings
        assert change[mask].mean() > 3 * change[~box].mean() if (~box).any() else True
        changes.append(change[mask].mean())
    assert np.mean(changes) > 9, "a person could not see it"
    assert min(changes) > 2.5


def test_a_side_is_the_side_of_the_picture(twins):
    studies, drawn = twins
    sides = 0
    for i, study in enumerate(studies):
        finding = study.findings[0]
        if finding.side not in ("left", "right") or finding.name == "midline shift":
            continue
        box = drawn.boxes[i][0]
        centre = 0.5 * (box.x0 + box.x1) - study.acquisition["shift_x"] - 0.5
        if finding.name == "pulmonary embolism":  # in the trunk's branches, near the midline
            continue
        assert (centre > 0) == (finding.side == "left"), finding
        sides += 1
    assert sides > 30


def test_the_partner_differs_by_one_finding():
    studies = [quiet(sample_study(6, i)) for i in range(16)]
    others = [switched_study(s) for s in studies]
    partners = [cast(Study, other.study) for other in others]
    a = render_batch(studies, SIZE)
    b = render_batch(partners, SIZE)
    for i, (study, other) in enumerate(zip(studies, others, strict=True)):
        assert partners[i].acquisition == study.acquisition
        assert partners[i].anatomy == study.anatomy
        assert study.labels()[other.label] == 1 - other.study.labels()[other.label]
        assert other.study.labels()[other.label] == int(other.present)
        assert (a.images[i] != b.images[i]).any()
        assert (a.images[i] == b.images[i]).mean() > 0.3


@pytest.mark.slow  # compiles a second size
def test_two_sizes_show_one_patient():
    studies = [quiet(s) for s in (sample_study(4, i) for i in range(40)) if s.region == "head"]
    small, large = render_batch(studies[:4], 48), render_batch(studies[:4], SIZE)
    for i in range(4):
        pooled = large.images[i].reshape(48, 2, 48, 2).mean((1, 3))
        assert np.corrcoef(pooled.ravel(), small.images[i].ravel())[0, 1] > 0.9
        brain = large.masks["brain"][i].mean(), small.masks["brain"][i].mean()
        assert abs(brain[0] - brain[1]) < 0.01


def test_noise_is_finer_across_a_streak_than_along_and_stays_in_size():
    amplitude = np.asarray(noise_spectrum(512, jnp.float32(140.0), jnp.float32(2.0)))
    power = amplitude**2 / 512**2
    assert 0.8 < 2 * power.sum() < 1.2, "unit variance on the full matrix"
    assert power[100, 0] > 2 * power[0, 100], "stronger up and down"
    assert power[5, 0] < power[60, 0], "the ramp: little at low frequencies"


def test_bad_calls():
    with pytest.raises(ValueError, match="at least one study"):
        render_batch([], SIZE)
    with pytest.raises(ValueError, match="at least 32"):
        render_batch([sample_study(0, 0)], 16)
