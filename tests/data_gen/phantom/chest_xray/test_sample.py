"""Studies are reproducible, plausible, and their nuisances know nothing of their findings."""

import dataclasses
import json

import numpy as np
import pytest

from data_gen.phantom.chest_xray import findings as F
from data_gen.phantom.chest_xray.draw import make_device, make_finding
from data_gen.phantom.chest_xray.picture.signs import sign_arrays
from data_gen.phantom.chest_xray.sample import sample_study, stream
from data_gen.phantom.chest_xray.switched import switch

COUNT = 3000


@pytest.fixture(scope="module")
def studies():
    return [sample_study(3, i) for i in range(COUNT)]


def test_a_study_depends_on_seed_and_index_alone():
    again = [sample_study(5, i) for i in (9, 2, 9)]
    assert again[0] == again[2]
    assert again[0] != again[1]
    assert sample_study(6, 9) != again[0]
    json.dumps(dataclasses.asdict(again[0]))


def test_values_stay_within_the_published_specs(studies):
    for study in studies:
        assert len(study.findings) <= F.MAX_FINDINGS
        assert study.position == "erect" or study.view == "AP"
        for finding in study.findings:
            spec = F.SPECS[finding.name]
            assert finding.side in spec.sides
            assert finding.zone in spec.zones
            assert finding.severity in spec.severities
            for word, values in spec.words.items():
                assert finding.attributes[word] in values
            for number, (low, high) in spec.numbers.items():
                assert low <= finding.attributes[number] <= high
        for i, a in enumerate(study.findings):
            assert all(F.compatible(a, b) for b in study.findings[:i])


def test_every_kind_occurs(studies):
    seen = {f.name for s in studies for f in s.findings}
    assert seen == set(F.FINDING_NAMES)
    devices = {
        f.attributes["device"] for s in studies for f in s.findings if "device" in f.attributes
    }
    assert devices == set(F.DEVICES)
    for name in F.FINDING_NAMES[:-1]:
        share = np.mean([s.labels()[name] == 1 for s in studies])
        assert 0.05 < share < 0.25, name


def test_every_study_fits_the_slots(studies):
    for study in studies[:800]:
        sign_arrays(study)


def test_share_of_normal_studies(studies):
    normal = np.mean([s.labels()[F.NO_FINDING] for s in studies])
    assert 0.25 < normal < 0.31


def test_labels_of_lobar_pneumonia_and_of_devices():
    rng = stream(0, 0, "findings")
    lobar = make_finding(rng, "pneumonia")
    while lobar.attributes["pattern"] != "lobar":
        lobar = make_finding(rng, "pneumonia")
    base = sample_study(0, 0)
    labels = dataclasses.replace(base, findings=(lobar,)).labels()
    assert (labels["pneumonia"], labels["consolidation"], labels["no finding"]) == (1, 1, 0)
    solid = dataclasses.replace(base, findings=(make_finding(rng, "consolidation"),))
    assert solid.labels()["pneumonia"] == -1
    tube = dataclasses.replace(base, findings=(make_device(rng, "endotracheal tube"),))
    assert (tube.labels()["support devices"], tube.labels()["no finding"]) == (1, 1)


def _numbers(study):
    values = {**study.anatomy, **study.acquisition}
    values |= {"age": study.age, "rotation": study.rotation, "inspiration": study.inspiration}
    values |= {"ap": study.view == "AP", "supine": study.position == "supine"}
    values |= {"female": study.sex == "female", "device": study.labels()[F.SUPPORT_DEVICES]}
    return values


def test_nuisances_are_independent_of_findings(studies):
    """No nuisance differs between studies with and without a finding beyond chance."""
    names = sorted(_numbers(studies[0]))
    table = np.array([[float(_numbers(s)[n]) for n in names] for s in studies])
    table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-9)
    worst = {}
    for label in (*F.FINDING_NAMES[:-1], F.NO_FINDING):
        with_it = np.array([s.labels()[label] == 1 for s in studies])
        n, m = with_it.sum(), (~with_it).sum()
        z = (table[with_it].mean(0) - table[~with_it].mean(0)) / np.sqrt(1 / n + 1 / m)
        i = int(np.abs(z).argmax())
        worst[label, names[i]] = abs(z[i])
    # About 1,200 comparisons: the largest of as many normal draws is below 4.5 in 99 of 100 cases.
    assert max(worst.values()) < 4.5, max(worst, key=lambda k: worst[k])


def test_findings_are_nearly_independent_of_each_other(studies):
    names = F.FINDING_NAMES[:-1]
    table = np.array([[float(s.labels()[n] == 1) for n in names] for s in studies])
    correlation = np.corrcoef(table.T) - np.eye(len(names))
    assert np.abs(correlation).max() < 0.25


@pytest.mark.parametrize("name", F.FINDING_NAMES[:-1])
def test_exclusions_are_symmetric(name):
    rng = stream(1, 1, "findings")
    for other in F.FINDING_NAMES[:-1]:
        a, b = make_finding(rng, name), make_finding(rng, other)
        assert F.compatible(a, b) == F.compatible(b, a)


def test_no_finding_is_switched_whose_label_would_stay():
    rng = stream(0, 1, "findings")
    first = make_finding(rng, "nodule")
    second = make_finding(rng, "nodule")
    while not F.compatible(first, second):
        second = make_finding(rng, "nodule")
    tube = make_device(rng, "pacemaker")
    study = dataclasses.replace(sample_study(0, 0), findings=(first, second, tube))
    one = switch(study)
    assert one.present
    assert one.label not in ("nodule", F.SUPPORT_DEVICES)
    assert one.study.findings[:2] == (first, second)
    assert one.study.findings[3] == tube
    assert all(F.compatible(one.study.findings[2], f) for f in study.findings)
