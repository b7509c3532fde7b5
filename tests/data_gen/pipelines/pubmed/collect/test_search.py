"""Searches of any size, through the mock: halved by days, whole, or an error."""

import datetime
import re

import pytest
from article_shelf import Shelf, article, config_for, served, shelf

from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.run import _list, dry_run
from data_gen.pipelines.pubmed.mock.faults import FaultPlan


def searched(config):
    entries, found = _list(config, config.date)
    return [entry.id for entry in entries], found


def test_a_search_past_the_limit_is_cut_into_days(tmp_path):
    library = shelf(150)
    with served(library, tmp_path, search_limit=20) as (mock, config):
        ids, found = searched(config)
        asked = mock.traffic.requests("search")
    assert ids == sorted(library.ids(), key=lambda name: int(name[3:]))
    days = [datetime.date.fromisoformat(day) for row in found["ranges"] for day in row[:2]]
    assert all(count <= 20 for *_, count in found["ranges"])
    assert sum(count for *_, count in found["ranges"]) == 150
    # The ranges cover every day from the first to the last once.
    assert (days[0], days[-1]) == (datetime.date(1990, 1, 1), datetime.date(2026, 12, 1))
    assert all((b - a).days == 1 for a, b in zip(days[1:-1:2], days[2::2], strict=True))
    assert all(r.query["tool"] == "medvlp_jax" and r.query["email"] for r in asked)
    assert all("api_key" not in r.query for r in asked)


def test_a_search_within_the_limit_is_one_request(tmp_path):
    with served(shelf(20), tmp_path, search_limit=20) as (mock, config):
        assert len(searched(config)[0]) == 20
        assert len(mock.traffic.requests("search")) == 1


def test_more_in_a_day_than_the_limit_is_an_error_that_names_the_day(tmp_path):
    library = Shelf({f"PMC{i}": article(i, day="2024-03-05") for i in range(1, 8)})
    with (
        served(library, tmp_path, search_limit=5) as (_, config),
        pytest.raises(CollectError, match=r"7 articles were released on 2024-03-05 alone.*narrow"),
    ):
        searched(config)


def test_dates_terms_and_limit_are_kept(tmp_path):
    library = Shelf(
        {
            f"PMC{i}": article(i, day=day, words=words)
            for i, (day, words) in enumerate(
                [
                    ("2020-05-01", "brain"),
                    ("2021-05-01", "brain"),
                    ("2021-06-01", "heart"),
                    ("2022-05-01", "The Brain"),
                    ("2023-05-01", "brain"),
                ],
                start=1,
            )
        }
    )
    with served(library, tmp_path, since="2021-01-01", until="2022-12-31") as (mock, config):
        assert searched(config)[0] == ["PMC2", "PMC4"]
        both = config_for(mock, tmp_path, term="brain OR heart", limit=3)
        assert searched(both)[0] == ["PMC3", "PMC4", "PMC5"], "the highest ids"


def test_the_key_goes_to_the_search_alone_and_into_no_message(tmp_path, monkeypatch):
    monkeypatch.setenv("NCBI_API_KEY", "s3cr3t-k3y-of-m1ne")
    with served(shelf(3), tmp_path) as (mock, config):
        dry_run(config)
        sent = {(r.service, r.query.get("api_key")) for r in mock.traffic.requests()}
        assert sent == {("search", "s3cr3t-k3y-of-m1ne"), ("bucket", None)}
        mock.faults = FaultPlan(rate=1.0)
        hasty = config_for(mock, tmp_path, attempts=2, timeout=0.5)
        with pytest.raises(CollectError) as error:
            searched(hasty)
    assert "s3cr3t" not in str(error.value)
    assert "2 attempts" in str(error.value)


def test_without_a_mail_address_nothing_is_asked(tmp_path):
    with served(shelf(3), tmp_path, email="") as (mock, config):
        with pytest.raises(CollectError, match=r"set --config\.email"):
            searched(config)
        assert mock.traffic.requests() == []


def test_a_term_that_is_none_is_named(tmp_path):
    with (
        served(shelf(3), tmp_path, term="brain AND (") as (_, config),
        pytest.raises(CollectError, match=re.escape("mend config.term")),
    ):
        searched(config)


def test_a_list_of_ids_needs_no_search(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("PMC12\n7\npmc9\nPMC12\n\n")
    with served(shelf(1), tmp_path, ids=str(ids), email="") as (mock, config):
        assert searched(config)[0] == ["PMC7", "PMC9", "PMC12"]
        assert mock.traffic.requests() == []
    ids.write_text("PMC12\nten\n")
    with pytest.raises(CollectError, match=r"entry 2: 'ten' is no PMCID"):
        searched(config)
