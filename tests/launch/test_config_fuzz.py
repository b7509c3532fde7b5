"""No value of any key of any config ends in a traceback, or in more than one line."""

import collections

import config_fuzz
import pytest


@pytest.fixture(scope="module")
def starts() -> list[config_fuzz.Start]:
    return config_fuzz.all_starts()


def tried(starts: list[config_fuzz.Start], share: float) -> collections.Counter[str]:
    found = [config_fuzz.run(*change) for change in config_fuzz.mutations(starts, share)]
    wrong = [one for one in found if one.end not in ("accepted", "refused")]
    assert not wrong, "\n".join(map(str, wrong))
    return collections.Counter(one.end for one in found)


def test_configs_as_they_are_can_start(starts):
    assert len(starts) > 25
    for start in starts:
        start.start(start.config)


def test_a_sample_of_all_changes(starts):
    """A few thousand of them, the same at every run."""
    ends = tried([s for s in starts if s.name == "quickstart"], 0.003)
    ends += tried([s for s in starts if s.name != "quickstart" and not s.groups], 0.03)
    assert ends["refused"] > 500
    assert ends["accepted"] > 50


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_every_change(starts):
    ends = tried(starts, 1.0)
    assert sum(ends.values()) > 50_000
