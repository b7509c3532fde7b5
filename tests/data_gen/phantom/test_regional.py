"""Phantoms of several regions: pictures show what the study says, and texts agree with both."""

import dataclasses
import json
import re

import numpy as np
import pytest

from data_gen.phantom.base import FindingMix
from data_gen.phantom.mri.phantom import Mri
from data_gen.phantom.records import captions
from data_gen.phantom.regional import NO_FINDING, compatible
from data_gen.phantom.registry import PHANTOMS
from data_gen.phantom.ultrasound.phantom import Ultrasound
from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.promptbank import load_bank

KNOWN: dict[str, Mri | Ultrasound] = {"mri": Mri(), "ultrasound": Ultrasound()}
SIZE = 128

#: What a text that affirms a finding says.
TERMS = {
    "brain tumor": r"tumor|mass",
    "infarct": r"infarct|stroke",
    "white matter lesions": r"white matter",
    "brain edema": r"edema",
    "hemorrhage": r"hemorrhage|hematoma",
    "hydrocephalus": r"hydrocephalus|ventric",
    "meniscal tear": r"menisc\w+",
    "acl tear": r"ACL|cruciate",
    "joint effusion": r"effusion",
    "benign breast mass": r"benign|cyst|fibroadenoma",
    "malignant breast mass": r"suspicious|malignan|carcinoma|cancer",
    "benign thyroid nodule": r"nodule",
    "malignant thyroid nodule": r"suspicious|malignan|carcinoma",
    "gallstone": r"stone|calcul|cholelithiasis",
    "gallbladder wall thickening": r"thicken",
}


@pytest.fixture(scope="module", params=KNOWN)
def phantom(request):
    return KNOWN[request.param]


def ill(phantom, name, start=0):
    """The first study from ``start`` on that shows ``name`` and nothing else."""
    index = start
    while True:
        study = phantom.sample(11, index)
        if [f.name for f in study.findings] == [name]:
            return study
        index += 1


def findings(name):
    return KNOWN[name].regions.names


@pytest.fixture(scope="module")
def rendered(phantom):
    studies = [phantom.sample(4, i) for i in range(16)]
    return studies, phantom.render(studies, SIZE)


def test_a_study_depends_on_seed_and_index_alone(phantom):
    again = [phantom.sample(5, i) for i in (9, 2, 9)]
    assert again[0] == again[2]
    assert again[0] != again[1]
    assert phantom.sample(6, 9) != again[0]
    json.dumps(dataclasses.asdict(again[0]))


def test_another_mix_leaves_patient_and_machine(phantom):
    healthy, sick = FindingMix(normal=1.0), FindingMix(normal=0.0, severity=(0.0, 0.0, 1.0))
    for i in range(20):
        a, b = phantom.sample(2, i, healthy), phantom.sample(2, i, sick)
        assert not a.findings
        assert b.findings
        assert {f.severity for f in b.findings} == {"severe"}
        assert a == dataclasses.replace(b, findings=())


def test_labels_speak_of_the_region_that_is_seen(phantom):
    sites = {s.name: s for s in phantom.regions.sites}
    seen = set()
    for i in range(400):
        study = phantom.sample(3, i)
        labels = study.labels()
        assert set(labels) == {*sites[study.site].findings, NO_FINDING}
        assert labels[NO_FINDING] == (not study.findings)
        assert all(labels[f.name] == 1 for f in study.findings)
        pairs = [(a, b) for a in study.findings for b in study.findings if a is not b]
        assert all(compatible(sites[study.site], a, b) for a, b in pairs)
        seen |= {name for name, value in labels.items() if value}
    assert seen == {*phantom.regions.names, NO_FINDING}


def test_pictures_and_masks(rendered):
    studies, r = rendered
    assert r.images.shape == (16, SIZE, SIZE)
    assert r.images.dtype == np.uint8
    assert r.images.reshape(16, -1).std(1).min() > 8, "a blank picture"
    for mask in r.masks.values():
        assert mask.shape == r.images.shape
        assert mask.max() <= 1
    for i, study in enumerate(studies):
        assert any(r.masks[n][i].any() for n in r.masks if not n.startswith("finding"))
        for j, found in enumerate(study.findings):
            rows, columns = np.nonzero(r.masks[f"finding {j}"][i])
            assert len(rows), found
            (box,) = (b for b in r.boxes[i] if b.finding == j)
            assert box.label == found.name
            inside = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_allclose([v / SIZE for v in inside], box[:4])


def test_a_picture_does_not_depend_on_its_batch(phantom, rendered):
    studies, r = rendered
    mixed = phantom.render([studies[i] for i in (11, 3, 5)], SIZE)
    np.testing.assert_array_equal(mixed.images[2], r.images[5])
    assert mixed.boxes[2] == r.boxes[5]


def test_two_sizes_show_one_patient(phantom, rendered):
    studies, r = rendered
    small = phantom.render(studies[:4], 64, masks=False)
    assert small.masks == {}
    halved = r.images[:4].astype(float).reshape(4, 64, 2, 64, 2).mean((2, 4))
    for a, b in zip(small.images.astype(float), halved, strict=True):
        assert np.abs(a - b).mean() < 3
    large = phantom.render(studies[:1], 512)
    assert large.images.shape == (1, 512, 512)


@pytest.mark.parametrize(("modality", "name"), [(m, n) for m in KNOWN for n in findings(m)])
def test_each_finding_changes_the_picture_where_it_is(modality, name):
    phantom = KNOWN[modality]
    studies = [ill(phantom, name, start) for start in (0, 400, 800, 1200)]
    healthy = [dataclasses.replace(s, findings=()) for s in studies]
    shown, clean = phantom.render(studies, SIZE), phantom.render(healthy, SIZE)
    for i in range(len(studies)):
        mask = shown.masks["finding 0"][i] > 0
        change = np.abs(shown.images[i].astype(float) - clean.images[i].astype(float))
        assert mask.any()
        assert change[mask].mean() > 6, (studies[i].technique, studies[i].findings)
        assert change[mask].mean() > 3 * change[~mask].mean()
        rows, columns = np.nonzero(mask)
        y, x = np.mgrid[:SIZE, :SIZE]
        # Far away: outside a wide frame, and (sound casts shadows) not below.
        far = (np.abs(x - columns.mean()) > 0.5 * np.ptp(columns) + 0.22 * SIZE) | (
            y < rows.min() - 0.16 * SIZE
        )
        if name != "hydrocephalus" and far.any():
            assert change[far].mean() < 2, studies[i].technique


def test_the_switched_study_differs_by_one_finding(phantom):
    for i in range(60):
        study = phantom.sample(8, i)
        other, label, present = phantom.switched(study)
        assert dataclasses.replace(other, findings=()) == dataclasses.replace(study, findings=())
        assert (study.labels()[label], other.labels()[label]) == (int(not present), int(present))
        assert present == (not study.findings)
        assert len(other.findings) == len(study.findings) + (1 if present else -1)
        assert phantom.switched(study).study == other


def test_texts_agree_with_the_study(phantom):
    words = set()
    for i in range(300):
        study = phantom.sample(9, i)
        report = phantom.report(study, 9)
        assert report == phantom.report(study, 9)
        words.add(report.findings)
        assert sorted(report.phrases) == list(range(len(study.findings)))
        for text in (report.findings, report.impression, *report.phrases.values()):
            assert not re.search(r"[{}<>\[\]]|  | [.,;]|\.\.|None|\b[Aa] [aeio]", text), text
        for j, found in enumerate(study.findings):
            for text in (report.findings, report.impression, report.phrases[j]):
                assert re.search(TERMS[found.name], text, re.I), (found.name, text)
            other = {"left": "right", "right": "left"}.get(found.side)
            assert not other or other not in report.phrases[j]
        if not study.findings:
            assert re.search("ormal|No |Unremarkable", report.impression), report.impression
        # What is denied is not there.
        for said in re.findall(r"(?:No|no evidence of) ([^.;]*)\.", report.findings):
            for found in study.findings:
                if found.name in ("infarct", "hydrocephalus", "gallstone", "acl tear"):
                    assert not re.search(TERMS[found.name], said), (found.name, said)
        assert [t.labels for t in captions(study, report, NO_FINDING)] == (
            [(f.name,) for f in study.findings] or [(NO_FINDING,)]
        )
    assert len(words) > 290


def test_restored_and_requested(phantom):
    for i in range(30):
        study = phantom.sample(6, i)
        kept = {
            "seed": 6,
            "index": i,
            "study": json.loads(json.dumps(phantom.parameters(study))),
            "findings": json.loads(json.dumps([dataclasses.asdict(f) for f in study.findings])),
        }
        assert phantom.restore(kept) == study
    for name in phantom.regions.names:
        study = phantom.requested("r", 5, {name: 1})
        assert [f.name for f in study.findings] == [name]
        assert phantom.requested("r", 5, {name: 1}) == study
        again = phantom.requested("r", 5, {}, study.findings)
        assert again == study
        assert not phantom.requested("r", 5, {NO_FINDING: 1, name: 0}).findings
    with pytest.raises(UserError, match="request r has a prompt only"):
        phantom.requested("r", 5, {})
    with pytest.raises(UserError, match="cannot draw pneumonia"):
        phantom.requested("r", 5, {"pneumonia": 1})
    first, last = phantom.regions.sites[0], phantom.regions.sites[-1]
    both = {next(iter(first.findings)): 1, next(iter(last.findings)): 1}
    with pytest.raises(UserError, match="no region of"):
        phantom.requested("r", 5, both)


def test_machine_and_patient_know_nothing_of_the_findings(phantom):
    """Numbers of studies with and without findings differ no more than by chance."""
    studies = [phantom.sample(12, i) for i in range(1500)]
    for site in {s.site for s in studies}:
        part = [s for s in studies if s.site == site]
        numbers = [
            {**s.anatomy, **{k: v for k, v in s.acquisition.items() if k != "coil"}} for s in part
        ]
        names = [k for k, v in numbers[0].items() if isinstance(v, float)]
        table = np.array([[n[k] for k in names] for n in numbers])
        table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-9)
        sick = np.array([bool(s.findings) for s in part])
        z = (table[sick].mean(0) - table[~sick].mean(0)) / np.sqrt(
            1 / sick.sum() + 1 / (~sick).sum()
        )
        assert np.abs(z).max() < 4.5, names[int(np.abs(z).argmax())]


def test_the_prompt_bank_knows_every_label(phantom):
    bank = load_bank(phantom.name)
    assert {*phantom.regions.names, NO_FINDING} <= set(bank.classes)
    for prompts in bank.classes.values():
        assert len(prompts.positive) == len(prompts.negative)


def test_the_review_asks_what_it_can_answer(phantom):
    review = phantom.review
    assert review.layout is None
    assert set(review.sentences) == {q.key for q in review.questions}
    assert {q.reason for q in review.questions} <= set(review.reasons)


def test_both_are_registered(phantom):
    assert type(PHANTOMS[phantom.name]) is type(phantom)
