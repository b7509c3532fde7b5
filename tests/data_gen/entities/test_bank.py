"""The bank: from records, merged, saved, drawable."""

import collections
import itertools

import pytest

from data_gen.entities.bank import EntityBank, default_bank, entity
from data_gen.entities.entity import Entity
from data_gen.entities.phantom import findings_of, labels_of
from data_gen.phantom.chest_xray.findings import SPECS, SUPPORT_DEVICES, Finding, compatible
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.record import Image, Record, Text


def record(name, *texts):
    return Record(name, (Image(b"", "png"),), texts=tuple(Text(t, s) for s, t in texts))


def test_a_bank_is_counted_from_records():
    records = [
        record("a", ("findings", "Small left pleural effusions. No pneumothorax.")),
        record("b", ("findings", "Small left pleural effusion."), ("indication", "Pneumonia?")),
        record("c", ("impression", "No pneumothorax. Lingula consolidation.")),
    ]
    bank = EntityBank.from_records(records)
    found = {(e.text, e.type): e for e in bank}
    effusion = found["small left pleural effusions", "ABNORMALITY"]
    assert (effusion.count, effusion.side, effusion.severity) == (2, "left", "mild")
    assert (effusion.canonical, effusion.finding) == ("pleural effusion", "pleural effusion")
    assert found["pneumothorax", "NON-DISEASE"].count == 2
    assert found["lingula", "ANATOMY"].side == "left"
    assert len(bank) == 4
    assert sum(bank.counts().values()) == 4


def test_merged_counts_add():
    one = EntityBank((Entity("edema", "DISEASE", "edema", 2),))
    other = EntityBank((Entity("edema", "DISEASE", "edema", 3), Entity("x", "ANATOMY", "x")))
    assert [(e.text, e.count) for e in one.merged(other)] == [("edema", 5), ("x", 1)]


def test_a_bank_is_saved_and_loaded(tmp_path):
    bank = default_bank().drawable()
    bank.save(tmp_path / "bank.jsonl")
    loaded = EntityBank.load(tmp_path / "bank.jsonl")
    assert loaded.entities == bank.entities
    assert loaded.fingerprint == bank.fingerprint
    (tmp_path / "own.jsonl").write_text('{"text": "large mass", "type": "ABNORMALITY"}\n')
    (mass,) = EntityBank.load(tmp_path / "own.jsonl")
    assert (mass.canonical, mass.severity, mass.finding) == ("mass", "", "mass")
    (tmp_path / "own.jsonl").write_text('{"text": "mass", "type": "MASS"}\n')
    with pytest.raises(UserError, match="line 1: no entity"):
        EntityBank.load(tmp_path / "own.jsonl")


def test_the_default_bank_suffices_for_twenty_thousand_studies():
    counts = default_bank().drawable().counts()
    places = counts.pop("ANATOMY")
    assert 15 * sum(counts.values()) >= 20_000 * 9
    assert 15 * places >= 20_000 * 3


def test_drawable_entities_become_the_findings_that_they_say():
    bank = default_bank().drawable()
    present = [e for e in bank if e.positive]
    assert {e.finding for e in present} == set(SPECS)
    for number, e in enumerate(present[::9]):
        (found,) = findings_of([e], number)
        assert (found.name, found.side) == (e.finding, e.side), e
        assert found.severity == (e.severity or "mild"), e
        assert e.finding == "fracture" or found.zone == e.zone, e
        for key, value in e.attributes.items():
            assert found.attributes[key] == value, e
    assert findings_of(present[:3], 5) == findings_of(present[:3], 5)
    assert findings_of(present[:3], 5) != findings_of(present[:3], 6)


def test_a_thing_without_a_side_gets_one_that_stays():
    bare = EntityBank((entity("nodule", "ABNORMALITY"), entity("scoliosis", "ABNORMALITY")))
    (whole,) = bare.drawable()
    assert whole.side in ("left", "right")
    assert whole.zone
    assert bare.drawable().entities == (whole,)
    for seed in range(5):
        (found,) = findings_of([whole], seed)
        assert (found.side, found.zone, found.severity) == (whole.side, whole.zone, whole.severity)


def test_the_phantom_says_what_it_cannot_draw():
    with pytest.raises(UserError, match="draws no edema like 'left edema'"):
        findings_of([Entity("left edema", "DISEASE", "edema", side="left", finding="edema")], 0)


def test_labels_are_those_of_the_study():
    wanted = [entity("lobar pneumonia", "DISEASE"), entity("pneumothorax", "NON-DISEASE")]
    labels = labels_of(wanted)
    assert labels["pneumonia"] == labels["consolidation"] == 1
    assert labels["pneumothorax"] == labels["no finding"] == 0
    assert labels_of([entity("consolidation", "ABNORMALITY")])["pneumonia"] == -1
    devices = labels_of([entity("et tube", "ABNORMALITY")])
    assert devices["no finding"] == devices[SUPPORT_DEVICES] == 1
    assert labels_of([entity("scoliosis", "ABNORMALITY")])["no finding"] == 0


def test_compatible_needs_no_geometry():
    """What the rules compare has the same answer as the drawn findings."""
    present = [e for e in default_bank().drawable() if e.positive][::97]
    drawn = [findings_of([e], 0)[0] for e in present]
    counts = collections.Counter()
    for (a, x), (b, y) in itertools.combinations(zip(present, drawn, strict=True), 2):
        bare = [
            Finding(e.finding, e.side, e.zone, e.severity or "mild", e.attributes) for e in (a, b)
        ]
        assert compatible(*bare) == compatible(x, y)
        counts[compatible(x, y)] += 1
    assert min(counts.values()) > 20
