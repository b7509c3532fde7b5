"""Pauses between attempts: bounded, doubling, spread, and the same each time."""

import pytest

from data_gen.pipelines.pubmed.collect.services.backoff import granted, pause


@pytest.mark.parametrize("attempt", range(12))
def test_each_pause_is_between_half_of_its_bound_and_all_of_it(attempt):
    bound = min(30.0, 0.5 * 2**attempt)
    for key in map(str, range(200)):
        assert bound / 2 <= pause(attempt, key, 0.5, 30.0) <= bound


def test_a_pause_depends_on_attempt_and_key_alone():
    assert pause(3, "a", 0.5, 30.0) == pause(3, "a", 0.5, 30.0)
    assert len({pause(3, str(i), 0.5, 30.0) for i in range(1000)}) == 1000


def test_pauses_are_spread_evenly():
    shares = sorted(pause(0, str(i), 1.0, 1.0) for i in range(2000))
    for q in (0.1, 0.5, 0.9):
        assert shares[int(q * 2000)] == pytest.approx(0.5 + q / 2, abs=0.03)


def test_no_number_of_attempts_overflows():
    assert pause(10**6, "a", 0.5, 30.0) <= 30.0


def test_a_service_that_asks_for_more_gets_it():
    assert granted(0, "a", 0.5, 30.0, 120.0) == 120.0
    assert granted(5, "a", 0.5, 30.0, 0.1) == pause(5, "a", 0.5, 30.0)
