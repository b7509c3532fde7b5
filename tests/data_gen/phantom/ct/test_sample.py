"""Studies are pure functions of seed and index, and labels are those that a slice can have."""

import collections
import dataclasses
import itertools

import pytest

from data_gen.phantom.base import FindingMix
from data_gen.phantom.ct.findings import (
    FINDING_NAMES,
    HEMORRHAGES,
    INTRACRANIAL_HEMORRHAGE,
    LABEL_NAMES,
    LEVELS,
    MAX_FINDINGS,
    NO_FINDING,
    WINDOWS,
    compatible,
    judged,
)
from data_gen.phantom.ct.phantom import CT
from data_gen.phantom.ct.requested import requested_study
from data_gen.phantom.ct.sample import sample_study
from data_gen.phantom.registry import find_phantom
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError


@pytest.fixture(scope="module")
def many():
    return [sample_study(1, i) for i in range(1500)]


def test_a_study_is_a_function_of_seed_and_index(many):
    assert sample_study(1, 77) == many[77]
    assert sample_study(2, 77) != many[77]
    assert sample_study(1, 78).anatomy != many[77].anatomy


def test_another_mix_leaves_patient_and_picture(many):
    for index in range(40):
        study = sample_study(1, index, FindingMix(normal=0.0, severity=(0, 0, 1)))
        assert dataclasses.replace(study, findings=()) == dataclasses.replace(
            many[index], findings=()
        )
        assert study.findings
        assert {f.severity for f in study.findings} == {"severe"}


def test_every_region_level_window_and_finding_occurs(many):
    assert {(s.region, s.level) for s in many} == {(r, v) for r in LEVELS for v in LEVELS[r]}
    assert {s.window for s in many} == set(WINDOWS)
    counts = collections.Counter(f.name for s in many for f in s.findings)
    assert set(counts) == set(FINDING_NAMES)
    assert min(counts.values()) > 8, counts
    normal = sum(not s.findings for s in many) / len(many)
    assert 0.23 < normal < 0.35


def test_findings_are_judged_and_compatible(many):
    for study in many:
        names = [f.name for f in study.findings]
        assert len(set(names)) == len(names) <= MAX_FINDINGS
        assert set(names) <= set(judged(study))
        assert all(compatible(a, b) for a, b in itertools.combinations(study.findings, 2))


def test_labels_are_those_that_the_slice_can_be_judged_for(many):
    for study in many:
        labels, names = study.labels(), {f.name for f in study.findings}
        assert set(labels) <= set(LABEL_NAMES)
        assert set(labels.values()) <= {0, 1}
        assert labels[NO_FINDING] == int(not names)
        assert {n for n, v in labels.items() if v and n in FINDING_NAMES} == names
        assert ("liver lesion" in labels) == (study.region == "abdomen")
        assert ("lung nodule" in labels) == (study.region == "chest")
        assert (INTRACRANIAL_HEMORRHAGE in labels) == (study.region == "head")
        if study.region == "head":
            assert labels[INTRACRANIAL_HEMORRHAGE] == int(bool(names & set(HEMORRHAGES)))
        if study.window == "lung":
            assert "pericardial effusion" not in labels


def test_nothing_of_patient_or_picture_tells_who_is_ill(many):
    for value in (
        lambda s: s.age,
        lambda s: s.anatomy["fat"],
        lambda s: s.acquisition["noise"],
        lambda s: s.acquisition["fov"],
    ):
        for region in LEVELS:
            ill = [value(s) for s in many if s.region == region and s.findings]
            well = [value(s) for s in many if s.region == region and not s.findings]
            pairs = [(a > b) + 0.5 * (a == b) for a in ill for b in well]
            assert abs(sum(pairs) / len(pairs) - 0.5) < 0.09


def test_a_record_gives_its_study_again(many):
    phantom = find_phantom("ct")
    assert isinstance(phantom, CT)
    for study in many[:30]:
        kept = {
            "seed": study.seed,
            "index": study.index,
            "findings": [to_plain(f) for f in study.findings],
        }
        assert phantom.restore(kept) == study
        assert phantom.parameters(study)["region"] == study.region


def test_requests_choose_the_slice():
    for name in (*FINDING_NAMES, INTRACRANIAL_HEMORRHAGE):
        study = requested_study("a", 3, {name: 1})
        assert study.labels()[name] == 1
        assert study == requested_study("a", 3, {name: 1})
    study = requested_study("a", 5, {"liver lesion": 0, NO_FINDING: 1})
    assert study.labels()["liver lesion"] == 0
    assert not study.findings
    listed = requested_study("a", 3, {"ascites": 1}).findings
    assert requested_study("b", 9, {}, listed).findings == listed


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "reads no prose"),
        ({"gout": 1}, "cannot draw gout"),
        ({"liver lesion": 1, "infarct": 1}, "infarct, liver lesion cannot be seen in one slice"),
        ({"renal cyst": 1, "renal mass": 1}, "cannot be seen in one slice"),
    ],
)
def test_impossible_requests(labels, message):
    with pytest.raises(UserError, match=message):
        requested_study("r7", 0, labels)
    if len(labels) == 2:
        found = [requested_study("x", 0, {name: 1}).findings[0] for name in labels]
        with pytest.raises(UserError, match=r"request r7.*cannot be seen in one slice"):
            requested_study("r7", 0, {}, tuple(found))


def test_too_many_findings_are_refused():
    found = requested_study("x", 0, {"ascites": 1}).findings * (MAX_FINDINGS + 1)
    with pytest.raises(UserError, match=f"lists {MAX_FINDINGS + 1} findings"):
        requested_study("r7", 0, {}, found)
