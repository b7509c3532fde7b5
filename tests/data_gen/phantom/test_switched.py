"""A counterfactual differs from its study by one finding, in every modality."""

import cv2
import numpy as np
import pytest

from data_gen.phantom.registry import PHANTOMS

SIZE, COUNT = 64, 12


def without_findings(phantom, study):
    """What a record keeps of the patient and the film."""
    return {k: v for k, v in phantom.parameters(study).items() if k != "findings"}


@pytest.mark.parametrize("name", list(PHANTOMS))
def test_one_label_changes_and_the_patient_stays(name):
    phantom = PHANTOMS[name]
    seen = set()
    for index in range(60):
        study = phantom.sample(3, index)
        one = phantom.switched(study)
        before, after = study.labels(), one.study.labels()
        assert (before[one.label], after[one.label]) == (1 - one.present, one.present)
        assert len(one.study.findings) == len(study.findings) + (1 if one.present else -1)
        assert (one.study.seed, one.study.index, one.study.view) == (3, index, study.view)
        assert without_findings(phantom, one.study) == without_findings(phantom, study)
        assert phantom.switched(phantom.sample(3, index)) == one
        seen.add(one.present)
    assert seen == {True, False}


@pytest.mark.slow  # each modality compiles its pictures
@pytest.mark.parametrize("name", list(PHANTOMS))
def test_pictures_differ_where_the_finding_is(name):
    """On average over pictures, the masks of the finding change more than what is far from them."""
    phantom = PHANTOMS[name]
    studies = [phantom.sample(3, index) for index in range(COUNT)]
    others = [phantom.switched(study) for study in studies]
    drawn = phantom.render(studies, SIZE)
    drawn_others = phantom.render([one.study for one in others], SIZE)
    near, far = [], []
    for i, (study, one) in enumerate(zip(studies, others, strict=True)):
        source, whole = (drawn_others, one.study) if one.present else (drawn, study)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        for j, finding in enumerate(whole.findings):
            if finding.name == one.label:
                mask |= source.masks[f"finding {j}"][i]
        change = np.abs(drawn.images[i].astype(float) - drawn_others.images[i])
        change = change.reshape(SIZE, SIZE, -1).mean(-1)
        assert change.any(), (study.index, one.label)
        away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) > SIZE / 8
        if mask.any() and away.any():
            near.append(change[mask > 0].mean())
            far.append(np.median(change[away]))
    assert len(near) > COUNT / 2
    assert np.mean(near) > 4 * np.mean(far)
    assert np.median(far) <= 2.0
