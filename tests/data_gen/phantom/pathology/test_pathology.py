"""Slides are reproducible and show what the study says, where it says."""

import collections
import dataclasses
import json
import re
from typing import Any, cast

import cv2
import numpy as np
import pytest

from data_gen.phantom.base import FindingMix
from data_gen.phantom.chest_xray.picture.render import enclosing_box
from data_gen.phantom.colour.draws import stream
from data_gen.phantom.pathology import findings as F
from data_gen.phantom.pathology.picture.render import render_batch
from data_gen.phantom.pathology.requested import requested_study, switched
from data_gen.phantom.pathology.sample import make_finding, sample_study
from data_gen.phantom.pathology.words import lexicon
from data_gen.phantom.pathology.words.report import write_report
from data_gen.phantom.registry import find_phantom
from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.promptbank import load_bank

SIZE = 96
HEALTHY = FindingMix(normal=1.0)
CASES = [(specimen, name) for specimen, names in F.JUDGED.items() for name in names]


def slide(specimen, index):
    """A healthy slide of the specimen that fills its field."""
    study = sample_study(1, index, HEALTHY)
    while study.specimen != specimen or study.anatomy["edge"] < 9:
        index += 100
        study = sample_study(1, index, HEALTHY)
    return study


@pytest.fixture(scope="module")
def studies():
    return [sample_study(3, i) for i in range(2000)]


@pytest.fixture(scope="module")
def pairs():
    """Every specimen with each of its findings after the same without, all of them rendered."""
    every = []
    for i, (specimen, name) in enumerate(CASES):
        healthy = slide(specimen, i)
        finding = make_finding(stream(3, i, 1), name, (0.0, 1.0, 0.0))
        every += [healthy, dataclasses.replace(healthy, findings=(finding,))]
    return every, render_batch(every, SIZE)


def test_a_study_depends_on_seed_and_index_alone():
    again = [sample_study(5, i) for i in (9, 2, 9)]
    assert again[0] == again[2]
    assert again[0] != again[1]
    assert sample_study(6, 9) != again[0]
    json.dumps(dataclasses.asdict(again[0]))
    for mix in (HEALTHY, FindingMix(normal=0.0, count=(0, 0, 1))):
        other = sample_study(5, 9, mix)
        assert dataclasses.replace(other, findings=again[0].findings) == again[0]


def test_every_finding_occurs_on_its_specimens_alone(studies):
    seen = collections.Counter((s.specimen, f.name) for s in studies for f in s.findings)
    assert set(seen) == set(CASES)
    assert min(seen.values()) > 0.02 * len(studies)
    normal = np.mean([s.labels()[F.NO_FINDING] for s in studies])
    assert 0.25 < normal < 0.31
    for study in studies:
        assert set(study.labels()) == {*F.JUDGED[study.specimen], F.NO_FINDING}
        assert study.view == ("Giemsa" if study.specimen == "blood" else "H&E")
        for i, a in enumerate(study.findings):
            assert all(F.compatible(a, b) for b in study.findings[:i])


def test_slide_and_scanner_know_nothing_of_findings(studies):
    names = [*studies[0].anatomy, *studies[0].acquisition]
    for specimen in F.SPECIMENS:
        part = [s for s in studies if s.specimen == specimen]
        table = np.array([[{**s.anatomy, **s.acquisition}[n] for n in names] for s in part])
        table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-9)
        for label in (*F.JUDGED[specimen], F.NO_FINDING):
            with_it = np.array([s.labels()[label] == 1 for s in part])
            n, m = with_it.sum(), (~with_it).sum()
            z = (table[with_it].mean(0) - table[~with_it].mean(0)) / np.sqrt(1 / n + 1 / m)
            assert np.abs(z).max() < 4.6, (label, names[int(np.abs(z).argmax())])


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{s}, {n}" for s, n in CASES])
def test_a_finding_changes_its_mask_and_nothing_far_away(pairs, case):
    studies, r = pairs
    change = np.abs(r.images[2 * case + 1].astype(float) - r.images[2 * case]).max(-1)
    mask = r.masks["finding 0"][2 * case + 1]
    assert mask.any()
    assert not r.masks["finding 0"][2 * case].any()
    assert change[mask > 0].mean() > 15, "a person would not see it"
    # A cell on the border is drawn whole; of a sickle cell the round one before is not marked.
    reach = 9.0 * SIZE / studies[2 * case].anatomy["side"]
    if studies[2 * case].specimen == "blood":
        reach = 4.0 * SIZE / studies[2 * case].anatomy["side"]
    away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) > reach + 2
    if away.any():
        assert np.quantile(change[away], 0.995) <= 4


def test_boxes_enclose_their_masks(pairs):
    studies, r = pairs
    assert r.images.shape == (len(studies), SIZE, SIZE, 3)
    assert r.images.dtype == np.uint8
    for i, study in enumerate(studies):
        tissue = study.specimen != "blood"
        assert r.masks["nuclei"][i].any() == tissue
        assert r.masks["red cells"][i].any() != tissue
        for j, finding in enumerate(study.findings):
            (box,) = r.boxes[i]
            assert (box.label, box.finding) == (finding.name, j)
            assert box[:4] == enclosing_box(r.masks[f"finding {j}"][i])


def test_nuclei_are_blue_and_glass_is_white(pairs):
    studies, r = pairs
    for i, study in enumerate(studies):
        if study.specimen == "blood":
            continue
        inside = r.images[i][r.masks["nuclei"][i] > 0].astype(float).mean(0)
        outside = r.images[i][r.masks["nuclei"][i] == 0].astype(float).mean(0)
        assert inside[0] < outside[0] - 25, "haematoxylin takes the red"
    ends = next(s for s in (sample_study(1, i) for i in range(400)) if s.anatomy["edge"] < 0.2)
    white = render_batch([ends], SIZE).images[0]
    assert (white.min(-1) > 200).mean() > 0.02


def test_a_picture_does_not_depend_on_its_batch(pairs):
    studies, r = pairs
    chosen = (len(studies) - 1, 3, 12)
    again = render_batch([studies[i] for i in chosen], SIZE, masks=False)
    assert again.masks == {}
    for k, i in enumerate(chosen):
        np.testing.assert_array_equal(again.images[k], r.images[i])
        assert again.boxes[k] == r.boxes[i]


@pytest.mark.slow
def test_sizes_show_the_same_field(pairs):
    studies, r = pairs
    chosen = [0, len(studies) - 2]
    small = render_batch([studies[i] for i in chosen], SIZE // 2)
    for k, i in enumerate(chosen):
        halved = r.images[i].reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
        a = small.images[k].astype(float).ravel()
        assert np.corrcoef(a, halved.ravel())[0, 1] > 0.93


def test_reports_say_what_is_there_and_deny_the_rest(studies):
    texts = set()
    for study in studies[:500]:
        report = write_report(study, 0)
        assert report == write_report(study, 0)
        texts.add(report.findings)
        assert set(report.phrases) == set(range(len(study.findings)))
        assert "{" not in report.findings + report.impression
        whole = (report.findings + report.impression).lower()
        for other in set(F.SPECIMENS) - {study.specimen}:
            assert not re.search(rf"\b{other}\b", whole) or study.specimen == "lymph node"
        denied = " ".join(
            re.findall(r"\b[Nn]o (?:evidence of |signs of )?([^.]*)\.", report.findings)
        )
        for finding in study.findings:
            for word in lexicon.DENIALS[finding.name]:
                assert not re.search(rf"(^|, |or ){re.escape(word)}($|,| or)", denied)
    assert len(texts) > 470


def test_switched_is_the_same_slide():
    for index in range(60):
        study = sample_study(2, index)
        other = switched(study)
        assert other == switched(study)
        before, after = study.labels()[other.label], other.study.labels()[other.label]
        assert (before, after) == (1 - other.present, other.present)
        assert dataclasses.replace(cast(Any, other.study), findings=study.findings) == study


def test_of_several_findings_the_others_stay(studies):
    """What is far from the finding that was switched is the same, pixel by pixel."""
    several = [s for s in studies if len(s.findings) > 1][:24]
    others = [switched(s) for s in several]
    whole = render_batch(several, SIZE)
    less = render_batch([cast(F.Study, o.study) for o in others], SIZE)
    checked = 0
    for i, (study, other) in enumerate(zip(several, others, strict=True)):
        (j,) = (k for k, f in enumerate(study.findings) if f.name == other.label)
        mask = whole.masks[f"finding {j}"][i]
        away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)
        away = away > 9.0 * SIZE / study.anatomy["side"] + 2
        change = np.abs(whole.images[i].astype(float) - less.images[i]).max(-1)
        if mask.any() and away.any():
            assert np.quantile(change[away], 0.995) <= 4, (study.index, other.label)
            checked += 1
    assert checked > 12


def test_requests_show_what_their_labels_name():
    for label in F.LABEL_NAMES:
        for seed in range(5):
            assert requested_study("a", seed, {label: 1}).labels()[label] == 1
    other = requested_study("a", 1, {F.NO_FINDING: 1, "blasts": 0})
    assert other.specimen == "blood"
    with pytest.raises(UserError, match="request b: the phantom cannot draw gout"):
        requested_study("b", 0, {"gout": 1})
    with pytest.raises(UserError, match="cannot be seen in one picture"):
        requested_study("c", 0, {"blasts": 1, "necrosis": 1})
    with pytest.raises(UserError, match="give labels"):
        requested_study("d", 0, {})


def test_a_record_gives_its_study_again():
    phantom = find_phantom("pathology")
    study = phantom.sample(4, 7, FindingMix(normal=0.0))
    kept = {
        "seed": 4,
        "index": 7,
        "findings": [dataclasses.asdict(cast(Any, f)) for f in study.findings],
    }
    assert phantom.restore(json.loads(json.dumps(kept))) == study


def test_the_prompt_bank_has_every_label():
    assert set(load_bank("pathology").classes) == set(F.LABEL_NAMES)
