"""Updates: what came, what changed, what was taken back; and what stays as it was."""

import dataclasses

import pytest
from article_shelf import Shelf, article, served, tree, version

from data_gen.pipelines.pubmed.collect import runs
from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.run import collect, update
from data_gen.pipelines.pubmed.mock.faults import FaultPlan


def before():
    free = {f"PMC{i}": article(i) for i in range(1, 9)}
    later = {
        "PMC9": article(9, version("PMC9", license_code="CC BY-NC")),
        "PMC10": article(10, version("PMC10", xml_url="s3://pmc-oa-opendata/PMC10.1/gone.xml")),
    }
    return Shelf(free | later)


def after():
    library = before()
    library.articles |= {
        "PMC2": article(2, version("PMC2", is_retracted=True)),
        "PMC3": article(3, version("PMC3", license_code="CC BY-NC")),
        "PMC4": article(4, version("PMC4"), version("PMC4", 2)),
        "PMC5": article(5, version("PMC5", media=("gr1.jpg", "gr9.png"))),
        "PMC6": article(6, version("PMC6", license_code="CC0")),
        "PMC9": article(9, version("PMC9", license_code="CC BY")),
        "PMC10": article(10),
        "PMC11": article(11),
    }
    del library.articles["PMC7"]
    return library


def later(config):
    return dataclasses.replace(config, date="2027-01-05")


def test_an_update_fetches_what_is_new_and_withdraws_what_was_taken_back(tmp_path):
    with served(before(), tmp_path) as (mock, config):
        first = collect(config, tmp_path / "out")
        items = {item.id: item for item in first.items()}
        untouched = tree(first.articles / "PMC1.1")
        mock.serve(after())
        asked = len(mock.traffic.requests())
        second = update(later(config), tmp_path / "out")
        asked = [r.what for r in mock.traffic.requests()[asked:]]
    assert items["PMC10"].status == "failed"
    assert (first.run, second.run, second.date) == (1, 2, "2027-01-05")
    said = {item.id: (item.status, item.reason.split(":")[0], item.name) for item in second.items()}
    assert said == {
        "PMC1": ("fetched", "", "PMC1.1"),
        "PMC2": ("withdrawn", "retracted", ""),
        "PMC3": ("withdrawn", "licence", ""),
        "PMC4": ("fetched", "", "PMC4.2"),
        "PMC5": ("fetched", "", "PMC5.1"),
        "PMC6": ("fetched", "", "PMC6.1"),
        "PMC7": ("withdrawn", "absent", ""),
        "PMC8": ("fetched", "", "PMC8.1"),
        "PMC9": ("fetched", "", "PMC9.1"),
        "PMC10": ("fetched", "", "PMC10.1"),
        "PMC11": ("fetched", "", "PMC11.1"),
    }
    there = {path.name for path in second.articles.iterdir()}
    assert there == {name for _, _, name in said.values() if name}
    retrieved = {item.id: item.retrieved for item in second.items() if item.status == "fetched"}
    assert retrieved["PMC1"] == retrieved["PMC8"] == "2026-12-01"
    assert {retrieved[f"PMC{i}"] for i in (4, 5, 6, 9, 10, 11)} == {"2027-01-05"}
    assert {item.checked for item in second.items()} == {"2027-01-05"}
    assert tree(second.articles / "PMC1.1") == untouched
    assert (second.articles / "PMC5.1" / "gr9.png").exists()
    assert not (second.articles / "PMC5.1" / "gr2.png").exists()
    # What stands as it did costs its listing and its metadata, and no file.
    assert [what for what in asked if "PMC1.1/" in what or "PMC8.1/" in what] == []
    # The first run's status stays, so that an update that is killed knows what was there.
    assert (runs.folder_of(first.folder, 1) / runs.STATUS).exists()


def test_an_update_that_was_killed_ends_as_one_that_was_not(tmp_path):
    outs = [tmp_path / "one", tmp_path / "other"]
    with served(before(), tmp_path, articles_per_shard=4) as (mock, config):
        for out in outs:
            collect(config, out)
        mock.serve(after())
        update(later(config), outs[0])
        whole = tree(outs[0])
        # The other gets as far as some articles and one shard, and loses the last moments.
        update(later(config), outs[1])
        place = runs.folder_of(outs[1], 2)
        (outs[1] / runs.STATUS).write_bytes((runs.folder_of(outs[1], 1) / runs.STATUS).read_bytes())
        (place / runs.STATUS).unlink()
        shards = sorted((place / "shards").iterdir())
        shards[0].unlink()
        (outs[1] / "partial" / "PMC4.2-99").mkdir(parents=True)
        (place / ".ids.txt.tmp-99").write_text("")
        again = update(later(config), outs[1])
    assert again.made == 1
    assert tree(outs[1]) == whole


def test_what_cannot_be_asked_stays_and_keeps_the_date_of_the_last_answer(tmp_path):
    with served(before(), tmp_path, attempts=2) as (mock, config):
        collect(config, tmp_path / "out")

        class OneDown(FaultPlan):
            def fault(self, what, time, is_file):
                return "unavailable" if "PMC1." in what else None

        mock.faults = OneDown()
        second = update(later(config), tmp_path / "out")
    checked = {item.id: item.checked for item in second.items()}
    assert checked.pop("PMC1") == "2026-12-01"
    assert set(checked.values()) == {"2027-01-05"}
    assert (second.articles / "PMC1.1" / "gr1.jpg").exists()


def test_an_update_of_a_service_that_is_out_stops(tmp_path):
    with served(before(), tmp_path, attempts=2, outage=3, concurrency=1) as (
        mock,
        config,
    ):
        first = collect(config, tmp_path / "out")
        articles = tree(first.articles)
        mock.faults = FaultPlan(rate=1.0, kinds=("unavailable",))
        ids = tmp_path / "ids.txt"
        ids.write_text("PMC1\n")
        listed = dataclasses.replace(later(config), ids=str(ids))
        with pytest.raises(CollectError, match=r"3 articles in a row failed.*nobody answered"):
            update(listed, tmp_path / "out")
        assert tree(first.articles) == articles


def test_a_second_update_of_the_same_library_changes_no_article(tmp_path):
    with served(before(), tmp_path) as (mock, config):
        collect(config, tmp_path / "out")
        mock.serve(after())
        second = update(later(config), tmp_path / "out")
        articles = tree(second.articles)
        third = update(dataclasses.replace(config, date="2027-02-01"), tmp_path / "out")
        assert tree(third.articles) == articles
        assert third.counts == second.counts
        # Withdrawn stays withdrawn, and comes back if the licence does.
        mock.serve(before())
        fourth = update(dataclasses.replace(config, date="2027-03-01"), tmp_path / "out")
    back = {item.id: item.status for item in fourth.items()}
    assert [back[f"PMC{i}"] for i in (2, 3, 7)] == ["fetched"] * 3
    assert back["PMC11"] == "withdrawn"


def test_there_is_nothing_to_update_in_an_empty_folder(tmp_path):
    with (
        served(before(), tmp_path) as (_, config),
        pytest.raises(CollectError, match="collect into it first"),
    ):
        update(config, tmp_path / "out")
