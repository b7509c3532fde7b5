"""The ontology: its size, and that all it spans is recognised as what it is."""

import json

import pytest

from data_gen.entities.bank import default_bank
from data_gen.entities.extract import default_extractor
from data_gen.entities.ontology import load, ontology
from data_gen.phantom.chest_xray.findings import DEVICES, FINDING_NAMES
from medvlp_jax.core.errors import UserError


def test_it_is_large_enough_and_knows_all_that_the_phantom_draws():
    words = ontology()
    assert words.surface_forms >= 800
    drawn = {c.finding for c in words.concepts.values() if c.finding}
    assert drawn == set(FINDING_NAMES)
    devices = {c.attributes.get("device") for c in words.concepts.values() if c.finding}
    assert devices - {None} == set(DEVICES)


def test_every_present_and_absent_entity_of_the_bank_is_recognised():
    """The text of every fifth entity, stated or denied, gives its concept and nothing unasked."""
    extractor, implied = default_extractor(), ontology().implied
    for entity in default_bank().entities[::5]:
        if entity.is_anatomy:
            continue
        text = f"There is {'no ' if entity.negative else ''}{entity.text}."
        found = [m for m in extractor.extract(text) if not m.is_anatomy]
        same = [m for m in found if m.canonical == entity.canonical]
        assert same, (entity, found)
        assert {m.negative for m in same} == {entity.negative}, (entity, found)
        assert all(m.canonical in implied[entity.canonical] for m in found if m.positive), entity
        if entity.side and entity.side in entity.text.split():
            assert same[0].side == entity.side, (entity, found)


def test_a_wrong_reference_is_named(tmp_path):
    concept = {"name": "a", "type": "DISEASE", "shows": ["b"]}
    (tmp_path / "lung.json").write_text(json.dumps({"organ": "lung", "concepts": [concept]}))
    with pytest.raises(UserError, match="'a' shows 'b', no concept"):
        load(tmp_path)
    (tmp_path / "lung.json").write_text(
        json.dumps({"organ": "", "concepts": [{"name": "a", "type": "DISEASE", "colour": 1}]})
    )
    with pytest.raises(UserError, match="'a' has the unknown key 'colour'"):
        load(tmp_path)
