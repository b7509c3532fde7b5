"""Fundus photographs are reproducible and show what the study says, where it says."""

import collections
import dataclasses
import json
import re
from typing import Any, cast

import numpy as np
import pytest

from data_gen.phantom.base import FindingMix
from data_gen.phantom.chest_xray.picture.render import enclosing_box
from data_gen.phantom.colour.draws import stream
from data_gen.phantom.fundus import findings as F
from data_gen.phantom.fundus.picture.lesions import spots_of
from data_gen.phantom.fundus.picture.render import ORGANS, render_batch
from data_gen.phantom.fundus.requested import requested_study, switched
from data_gen.phantom.fundus.sample import make_finding, sample_study
from data_gen.phantom.fundus.words import lexicon
from data_gen.phantom.fundus.words.report import write_report
from data_gen.phantom.registry import find_phantom
from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.promptbank import load_bank

SIZE = 96
HEALTHY = FindingMix(normal=1.0)
#: These change the whole picture: haze, and the pigment of a long eye.
EVERYWHERE = {"cataract", "pathologic myopia"}


def make(name):
    """A severe finding."""
    return make_finding(stream(3, 3, 1), name, (0.0, 0.0, 1.0))


@pytest.fixture(scope="module")
def studies():
    return [sample_study(3, i) for i in range(1500)]


@pytest.fixture(scope="module")
def pairs():
    """Finding -> (healthy eye, the same with the finding), and all of them rendered."""
    found, every = {}, []
    for i, name in enumerate(F.FINDING_NAMES):
        eye = sample_study(1, 40 + i, HEALTHY)
        found[name] = len(every)
        every += [eye, dataclasses.replace(eye, findings=(make(name),))]
    return found, every, render_batch(every, SIZE)


def test_a_study_depends_on_seed_and_index_alone():
    again = [sample_study(5, i) for i in (9, 2, 9)]
    assert again[0] == again[2]
    assert again[0] != again[1]
    assert sample_study(6, 9) != again[0]
    json.dumps(dataclasses.asdict(again[0]))
    for mix in (HEALTHY, FindingMix(normal=0.0, count=(0, 0, 1))):
        other = sample_study(5, 9, mix)
        assert dataclasses.replace(other, findings=again[0].findings) == again[0]


def test_every_finding_and_grade_occurs(studies):
    count = collections.Counter(n for s in studies for n, v in s.labels().items() if v == 1)
    assert set(count) == set(F.LABEL_NAMES)
    assert 0.25 < count[F.NO_FINDING] / len(studies) < 0.31
    assert min(count.values()) > 0.03 * len(studies)
    for study in studies:
        assert len(study.findings) <= F.MAX_FINDINGS
        for i, a in enumerate(study.findings):
            assert a.zone in F.ZONES[a.name]
            assert all(F.compatible(a, b) for b in study.findings[:i])
        assert sum(study.labels()[g] for g in F.GRADES) == study.labels()["diabetic retinopathy"]


def test_eye_and_camera_know_nothing_of_findings(studies):
    names = [*studies[0].anatomy, *studies[0].acquisition]
    table = np.array([[{**s.anatomy, **s.acquisition}[n] for n in names] for s in studies])
    table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-9)
    for label in F.FINDING_NAMES:
        with_it = np.array([s.labels()[label] == 1 for s in studies])
        n, m = with_it.sum(), (~with_it).sum()
        z = (table[with_it].mean(0) - table[~with_it].mean(0)) / np.sqrt(1 / n + 1 / m)
        assert np.abs(z).max() < 4.5, (label, names[int(np.abs(z).argmax())])


@pytest.mark.parametrize("name", F.FINDING_NAMES)
def test_a_finding_changes_its_mask_and_little_else(pairs, name):
    found, _, r = pairs
    i = found[name]
    change = np.abs(r.images[i + 1].astype(float) - r.images[i]).max(-1)
    mask = r.masks["finding 0"][i + 1] > 0
    assert mask.any()
    assert not r.masks["finding 0"][i].any()
    assert change[mask].mean() > 12, "a person would not see it"
    if name not in EVERYWHERE:
        y, x = np.nonzero(mask)
        grid = np.mgrid[:SIZE, :SIZE].reshape(2, -1).T
        near = np.zeros(SIZE * SIZE, bool)
        for point in zip(y, x, strict=True):
            near |= np.abs(grid - point).max(1) <= 5
        assert change.reshape(-1)[~near].max() <= 3


def test_boxes_enclose_their_masks(pairs):
    _, studies, r = pairs
    assert r.images.shape == (len(studies), SIZE, SIZE, 3)
    assert r.images.dtype == np.uint8
    assert set(ORGANS) < set(r.masks)
    for i, study in enumerate(studies):
        assert r.masks["vessels"][i].mean() > 0.02
        for j, finding in enumerate(study.findings):
            (box,) = r.boxes[i]
            assert (box.label, box.finding) == (finding.name, j)
            assert box[:4] == enclosing_box(r.masks[f"finding {j}"][i])


def test_the_disc_is_on_the_nasal_side(pairs):
    _, studies, r = pairs
    for i, study in enumerate(studies):
        if study.view == "macula-centered":
            column = np.flatnonzero(r.masks["optic disc"][i].any(0)).mean()
            assert (column > SIZE / 2) == (study.eye == "right")


def test_the_cup_of_glaucoma_has_its_ratio(pairs):
    found, studies, r = pairs
    i = found["glaucoma"]
    areas = [r.masks["optic cup"][k].sum() / r.masks["optic disc"][k].sum() for k in (i, i + 1)]
    assert areas[0] < 0.36
    wanted = studies[i + 1].findings[0].attributes["cup_to_disc"]
    assert abs(np.sqrt(areas[1]) - wanted) < 0.12


def test_a_picture_does_not_depend_on_its_batch(pairs):
    _, studies, r = pairs
    again = render_batch([studies[i] for i in (11, 3)], SIZE, masks=False)
    assert again.masks == {}
    for k, i in enumerate((11, 3)):
        np.testing.assert_array_equal(again.images[k], r.images[i])
        assert again.boxes[k] == r.boxes[i]


@pytest.mark.slow
def test_sizes_show_the_same_eye(pairs):
    _, studies, r = pairs
    small = render_batch(studies[:4], SIZE // 2)
    halved = r.images[:4].reshape(4, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4))
    for a, b in zip(small.images, halved, strict=True):
        assert np.corrcoef(a.ravel().astype(float), b.ravel())[0, 1] > 0.97


def test_reports_say_what_is_there_and_deny_the_rest(studies):
    texts = set()
    for study in studies[:400]:
        report = write_report(study, 0)
        assert report == write_report(study, 0)
        texts.add(report.findings)
        assert set(report.phrases) == set(range(len(study.findings)))
        other = "left" if study.eye == "right" else "right"
        whole = " ".join([report.findings, report.impression, *report.phrases.values()])
        assert not re.search(rf"\b{other}\b", whole)
        assert "{" not in whole
        denied = " ".join(
            re.findall(r"\b[Nn]o (?:evidence of |signs of )?([^.]*)\.", report.findings)
        )
        for finding in study.findings:
            for word in lexicon.DENIALS[finding.name]:
                assert not re.search(rf"(^|, |or ){re.escape(word)}($|,| or)", denied)
        reached = F.grade(study.findings)
        assert not reached or reached in report.impression.lower()
    assert len(texts) > 390


def test_switched_is_the_same_photograph():
    for index in range(60):
        study = sample_study(2, index)
        other = switched(study)
        assert other == switched(study)
        before, after = study.labels()[other.label], other.study.labels()[other.label]
        assert (before, after) == (1 - other.present, other.present)
        assert dataclasses.replace(cast(Any, other.study), findings=study.findings) == study
        assert abs(len(other.study.findings) - len(study.findings)) == 1


def test_requests_show_what_their_labels_name():
    for label in F.LABEL_NAMES:
        for seed in range(5):
            assert requested_study("a", seed, {label: 1}).labels()[label] == 1
    with pytest.raises(UserError, match="request b: the phantom cannot draw gout"):
        requested_study("b", 0, {"gout": 1})
    with pytest.raises(UserError, match="cannot be seen in one picture"):
        requested_study("c", 0, {"drusen": 1, "hard exudates": 1})
    with pytest.raises(UserError, match="give labels"):
        requested_study("d", 0, {})


def test_a_record_gives_its_study_again():
    phantom = find_phantom("fundus")
    study = phantom.sample(4, 7, FindingMix(normal=0.0))
    kept = {
        "seed": 4,
        "index": 7,
        "findings": [dataclasses.asdict(cast(Any, f)) for f in study.findings],
    }
    assert phantom.restore(json.loads(json.dumps(kept))) == study


def test_the_prompt_bank_has_every_label():
    assert set(load_bank("fundus").classes) == set(F.LABEL_NAMES)


def test_myopia_may_have_a_crescent_and_no_scars():
    mild = [
        study
        for study in (sample_study(0, i) for i in range(400))
        if any(f.name == "pathologic myopia" and f.severity == "mild" for f in study.findings)
    ]
    peaks = [spots_of("pathologic myopia", study)[:, 3].max() for study in mild]
    assert min(peaks) == 0 < max(peaks)
