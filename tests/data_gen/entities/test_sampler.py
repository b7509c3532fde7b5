"""The sampler: cap, rules, balance, errors, resumption."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from data_gen.entities.balance import entropy, gini
from data_gen.entities.bank import EntityBank, default_bank
from data_gen.entities.entity import NON_ANATOMY, Entity
from data_gen.entities.ontology import ontology
from data_gen.entities.phantom import findings_of
from data_gen.entities.rules import rules_of
from data_gen.entities.sampler import SamplePlan, SamplerConfig, plan, plan_in
from data_gen.phantom.chest_xray.findings import MAX_FINDINGS, compatible
from medvlp_jax.core.errors import UserError


@pytest.fixture(scope="module")
def bank():
    return default_bank().drawable()


@pytest.fixture(scope="module")
def small():
    """A bank in which the cap is tight, and 40 concepts have four wordings each."""
    things = [
        Entity(f"thing {i} {w}", NON_ANATOMY[i % 4], f"thing {i}", 1 + 50 * (i == 0))
        for i in range(40)
        for w in range(4)
    ]
    places = [Entity(f"place {i}", "ANATOMY", f"place {i}") for i in range(30)]
    return EntityBank((*things, *places))


def faults(drawn):
    """Contradictions of a study, by a plain loop over pairs and the ontology."""
    words = ontology()

    def meet(a, b):
        return not a or not b or a == b or "bilateral" in (a, b)

    for a, b in itertools.combinations(drawn, 2):
        place = [(e.canonical, e.side, e.attributes) for e in (a, b) if e.is_anatomy]
        if place:
            if len(place) == 2 and place[0] == place[1]:
                yield "same place", a, b
            continue
        if a.canonical == b.canonical:
            yield "same concept", a, b
        for x, y in ((a, b), (b, a)):
            shown = x.positive and y.canonical in words.implied[x.canonical]
            if shown and y.negative and meet(x.side, y.side):
                yield "denied", x, y
            both = x.positive and y.positive
            if both and y.canonical in words.concepts[x.canonical].contradicts:
                yield "contradicts", x, y


@pytest.mark.parametrize("mode", ["pooled", "stratified"])
def test_cap_and_rules_hold(bank, mode):
    drawn = plan(bank, 1500, SamplerConfig(cap=2, mode=mode, seed=3, k=7))
    assert drawn.indices.shape == (1500, 10)
    assert drawn.uses.max() <= 2
    for index in range(len(drawn)):
        entities = drawn.entities(index)
        assert [e.is_anatomy for e in entities] == [False] * 7 + [True] * 3
        assert not list(faults(entities))
    for index in range(0, 1500, 50):
        findings = findings_of(drawn.entities(index), index)
        assert len(findings) <= MAX_FINDINGS
        assert all(compatible(a, b) for a, b in itertools.combinations(findings, 2))


def test_strata_are_equal(bank):
    drawn = plan(bank, 400, SamplerConfig(mode="stratified", seed=1))
    total = collections.Counter()
    for index in range(len(drawn)):
        types = collections.Counter(e.type for e in drawn.entities(index) if not e.is_anatomy)
        assert set(types.values()) == {2, 3}
        total += types
    assert set(total.values()) == {900}


def test_a_bound_on_what_is_present(bank):
    drawn = plan(bank, 500, SamplerConfig(max_positive=2))
    counts = [sum(e.positive for e in drawn.entities(i)) for i in range(500)]
    assert max(counts) == 2


def test_a_full_urn_is_dealt_out(small):
    """The cap allows exactly what is wanted: everything is used cap times, and rules hold."""
    drawn = plan(small, 160, SamplerConfig(k=5, m=0, cap=5))
    things = np.array([not e.is_anatomy for e in small])
    assert set(drawn.uses[things]) == {5}
    assert not any(list(faults_of_groups(drawn, i)) for i in range(160))


def faults_of_groups(drawn, index):
    for a, b in itertools.combinations(drawn.entities(index), 2):
        if a.canonical == b.canonical:
            yield a, b


def test_capacity_is_checked_with_numbers_and_the_mend(small):
    mend = (
        r"161 studies want 805 draws .* 160 entities with cap=5 allow 800: raise cap to 6, draw at "
        r"most 160 studies, or enlarge"
    )
    with pytest.raises(UserError, match=mend):
        plan(small, 161, SamplerConfig(k=5, m=0, cap=5))
    with pytest.raises(UserError, match="draws of ANATOMY"):
        plan(small, 100, SamplerConfig(k=1, m=5, cap=4))
    with pytest.raises(UserError, match="want 200 draws of ABNORMALITY"):
        plan(small, 100, SamplerConfig(k=8, m=1, cap=4, mode="stratified"))
    with pytest.raises(UserError, match="needs entities of type ANATOMY"):
        plan(EntityBank(small.entities[:10]), 1, SamplerConfig())


def test_what_cannot_be_settled_is_an_error():
    """Three concepts cannot fill four slots, however many wordings they have."""
    things = [Entity(f"{c} {w}", "DISEASE", c) for c in "abc" for w in range(50)]
    bank = EntityBank((*things, Entity("p", "ANATOMY", "p")))
    with pytest.raises(UserError, match="10 of 10 studies still hold entities that exclude"):
        plan(bank, 10, SamplerConfig(k=4, m=0, rounds=20))


def test_plans_are_deterministic_and_seeds_differ(small):
    one, same, other = (plan(small, 50, SamplerConfig(k=4, m=2, seed=s)) for s in (7, 7, 8))
    assert np.array_equal(one.indices, same.indices)
    assert not np.array_equal(one.indices, other.indices)


def test_a_plan_is_kept_and_found_again(small, tmp_path):
    config = SamplerConfig(k=4, m=2)
    made = plan_in(tmp_path, small, 50, config)
    before = (tmp_path / "plan.npy").stat().st_mtime_ns
    found = plan_in(tmp_path, small, 50, config)
    assert (tmp_path / "plan.npy").stat().st_mtime_ns == before
    assert np.array_equal(made.indices, found.indices)
    assert found.config == config
    # As a kill between the two files leaves it.
    (tmp_path / "plan.json").unlink()
    assert np.array_equal(plan_in(tmp_path, small, 50, config).indices, made.indices)
    with pytest.raises(UserError, match="is the plan of other settings"):
        plan_in(tmp_path, small, 50, dataclasses.replace(config, seed=1))
    with pytest.raises(UserError, match="was drawn from another entity bank"):
        SamplePlan.load(tmp_path, EntityBank(small.entities[1:]))


def test_draws_are_more_even_than_the_bank(bank, tmp_path):
    drawn = plan(bank, 3000, SamplerConfig())
    b = drawn.balance
    assert b["entropy_after"] > b["entropy_before"]
    assert b["gini_after"] < b["gini_before"]
    assert "none is used more than" in str(drawn)
    drawn.histogram(tmp_path / "balance.png")
    assert (tmp_path / "balance.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "counts", [[1, 1, 1, 1], [4, 0, 0, 0], [1, 2, 3, 10], [7], [0, 0, 0]], ids=str
)
def test_entropy_and_gini_are_the_textbook_ones(counts):
    x = np.array(counts)
    if x.sum():
        assert entropy(x) == pytest.approx(stats.entropy(x, base=2))
        pairs = sum(abs(int(a) - int(b)) for a in x for b in x)
        assert gini(x) == pytest.approx(pairs / (2 * len(x) * x.sum()))
    else:
        assert entropy(x) == gini(x) == 0.0


def test_rules_leave_a_place_out_where_its_organ_is_full():
    edema = Entity("severe edema", "DISEASE", "edema", 1, "bilateral", "diffuse", "severe", "edema")
    fissure = Entity("lingula", "ANATOMY", "lingula", 1, "left", "mid")
    base = Entity("left lung base", "ANATOMY", "lung base", 1, "left", "basal")
    rib = Entity("left rib", "ANATOMY", "rib", 1, "left")
    rules = rules_of(EntityBank((edema, fissure, base, rib)))
    at = np.arange(4)
    assert rules.conflict(at[:1], at[1:]).tolist() == [True, False, False]
