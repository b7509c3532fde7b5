"""The bucket through the mock: failing in every way, within the rate, the same bytes each time."""

import dataclasses
import json
import time
from collections import Counter

import pytest
from article_shelf import Shelf, article, bytes_of, config_for, served, shelf, tree, version

from data_gen.pipelines.pubmed.collect.choice import Wanted
from data_gen.pipelines.pubmed.collect.config import Limits
from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.run import collect, dry_run
from data_gen.pipelines.pubmed.mock.faults import FAULTS, FaultPlan
from medvlp_jax.core.errors import UserError


def by_id(collected):
    items = list(collected.items())
    assert len({item.id for item in items}) == len(items)
    return {item.id: item for item in items}


def test_a_tenth_of_the_answers_failing_in_every_way_loses_nothing(tmp_path):
    library = shelf(60)
    with served(library, tmp_path, articles_per_shard=25) as (mock, config):
        clean = collect(config, tmp_path / "clean")
        calm = len(mock.traffic.requests())
    faults = FaultPlan(rate=0.1, seed=1, stall=10.0, retry_after=0.05)
    with served(
        library, tmp_path, faults, articles_per_shard=25, searches=3, files=60, timeout=2.0
    ) as (mock, config):
        began = time.monotonic()
        spoilt = collect(config, tmp_path / "spoilt")
        took = time.monotonic() - began
        traffic = mock.traffic
    assert spoilt.counts == clean.counts
    assert tree(tmp_path / "spoilt") == tree(tmp_path / "clean")
    assert set(by_id(spoilt)) == set(library.ids())
    assert set(traffic.faults()) >= set(FAULTS) - {"corrupt", "garbage"}
    assert len(traffic.requests()) > 1.05 * calm, "faults were asked again"
    # Time is bounded: by the rate, and by attempts that each end after two seconds.
    assert max(Counter(r.what for r in traffic.requests()).values()) <= config.pace.attempts
    assert took < 300, "a tenth of it on a machine that does nothing else"
    assert traffic.busiest("bucket") <= 60
    assert traffic.busiest("search") <= 3
    assert traffic.too_soon() == []


@pytest.mark.parametrize("kind", FAULTS)
def test_each_way_of_failing_alone(tmp_path, kind):
    library = shelf(6, first=100)
    faults = FaultPlan(rate=0.3, seed=3, kinds=(kind,), stall=10.0, retry_after=0.1)
    with served(library, tmp_path, faults, timeout=1.0) as (mock, config):
        collected = collect(config, tmp_path / "out")
        seen = set(mock.traffic.faults())
        assert mock.traffic.too_soon() == []
    assert seen == {kind}
    assert collected.counts["status"] == {"fetched": 4, "skipped": 2}
    for pmcid, item in by_id(collected).items():
        if item.status == "fetched":
            for name, data in library.articles[pmcid].versions[item.version - 1].media.items():
                assert (collected.articles / item.name / name).read_bytes() == data


def test_what_is_taken_and_what_is_not(tmp_path):
    free = {"license_code": "CC BY"}
    library = Shelf(
        {
            "PMC1": article(1, version("PMC1", 1, **free), version("PMC1", 2, **free)),
            "PMC2": article(
                2, version("PMC2", 1, **free), version("PMC2", 2, is_manuscript=True, **free)
            ),
            "PMC3": article(3, version("PMC3", 1, is_manuscript="yes", **free)),
            "PMC4": article(4, version("PMC4", 1, license_code=None)),
            "PMC5": article(5, version("PMC5", 1, license_code="CC BY-NC-ND")),
            "PMC6": article(6, version("PMC6", 1, license_code="TDM")),
            "PMC7": article(7, version("PMC7", 1, **free), version("PMC7", 2, is_retracted="true")),
            "PMC8": article(8, version("PMC8", 1, is_historical_ocr=True, **free)),
            "PMC9": article(9, version("PMC9", 1, license_code="cc-by 4.0")),
        }
    )
    with served(library, tmp_path) as (mock, config):
        items = by_id(collect(config, tmp_path / "out"))
        noncommercial = config_for(mock, tmp_path, licences=("noncommercial", "other"), ocr=True)
        others = by_id(collect(noncommercial, tmp_path / "others"))
    assert {id: item.name or item.reason for id, item in items.items()} == {
        "PMC1": "PMC1.2",
        "PMC2": "PMC2.1",
        "PMC3": "PMC3.1",
        "PMC4": "licence: none",
        "PMC5": "licence: CC BY-NC-ND",
        "PMC6": "licence: TDM",
        "PMC7": "retracted",
        "PMC8": "ocr: its text was read off scanned pages",
        "PMC9": "PMC9.1",
    }
    assert items["PMC9"].licence == "CC BY"
    assert [id for id, item in others.items() if item.status == "fetched"] == [
        *("PMC4", "PMC5", "PMC6")
    ]


def test_an_article_has_its_files_and_says_whence_it_is(tmp_path):
    one = version("PMC1", 1, media=("gr1.jpg", "fig 2 ä.png", "movie.mp4"), license_code="CC0")
    with served(Shelf({"PMC1": article(1, one)}), tmp_path) as (_, config):
        collected = collect(config, tmp_path / "out")
    folder = collected.articles / "PMC1.1"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("PMC1.1.json", "PMC1.1.xml", "fig 2 ä.png", "gr1.jpg", "provenance.json")
    ]
    assert (folder / "PMC1.1.xml").read_bytes() == one.xml
    assert (folder / "fig 2 ä.png").read_bytes() == one.media["fig 2 ä.png"]
    said = json.loads((folder / "provenance.json").read_text())
    assert (said["id"], said["version"], said["licence"], said["retrieved"], said["source"]) == (
        *("PMC1", 1, "CC0", "2026-12-01", "s3://pmc-oa-opendata/PMC1.1/"),
    )
    assert said["unwanted"] == 1
    assert {file["name"]: file["stated"] for file in said["files"]} == {
        "PMC1.1.json": False, "PMC1.1.xml": True, "fig 2 ä.png": True, "gr1.jpg": True,
    }  # fmt: skip


class Brains:
    """Takes articles of even numbers, and only their first figure."""

    fingerprint = "even"

    def wanted(self, name, xml):
        number = int(name.partition(".")[0][3:])
        if number == 5:
            raise UserError("PMC5.1.xml is no article")
        return Wanted("screened: odd") if number % 2 else Wanted(graphics=frozenset({"gr1"}))


def test_the_text_decides_before_images_are_fetched(tmp_path):
    library = Shelf({f"PMC{i}": article(i) for i in range(1, 7)})
    with served(library, tmp_path) as (mock, config):
        collected = collect(config, tmp_path / "out", choice=Brains())
        images = [r.what for r in mock.traffic.requests() if r.what.endswith(("jpg", "png"))]
        with pytest.raises(CollectError, match="choice: even -> everything"):
            collect(config, tmp_path / "out")
    items = by_id(collected)
    assert [items[f"PMC{i}"].status for i in range(1, 7)] == [
        *("skipped", "fetched", "skipped", "fetched", "failed", "fetched")
    ]
    assert items["PMC1"].reason == "screened: odd"
    assert items["PMC5"].reason == "unreadable: PMC5.1.xml is no article"
    assert sorted(images) == [f"PMC{i}.1/gr1.jpg" for i in (2, 4, 6)]


def test_files_that_are_not_fit_cost_themselves_alone(tmp_path):
    names = {
        "gr1.jpg": bytes_of("1"),
        "big.jpg": bytes_of("big", 5000),
        "sub/gr2.jpg": b"x",
        ".hidden.jpg": b"x",
        "provenance.json.jpg": b"fine",
        "Gr1.jpg": b"twice",
        "new\nline.jpg": b"x",
    }
    good = version("PMC1", 1)
    bad = type(good)(1, good.xml, names)
    with served(Shelf({"PMC1": article(1, bad)}), tmp_path, limits=Limits(file=2000)) as (_, c):
        collected = collect(c, tmp_path / "out")
    (item,) = collected.items()
    assert sorted(p.name for p in (collected.articles / "PMC1.1").iterdir()) == [
        *("PMC1.1.json", "PMC1.1.xml", "gr1.jpg", "provenance.json", "provenance.json.jpg")
    ]
    assert sorted(item.refused) == [
        ".hidden.jpg: a name that starts with a dot, tilde or hyphen",
        "Gr1.jpg: a second file of that name",
        "big.jpg: more than 2000 bytes",
        "new?line.jpg: a name with characters that cannot be printed",
        "sub/gr2.jpg: a path, no name",
    ]


def test_what_is_wrong_with_one_article_is_its_status(tmp_path):
    base, none = "s3://pmc-oa-opendata/", f"?md5={32 * '0'}"
    fields = {
        1: {"media_urls": [f"{base}PMC1.1/gone.jpg{none}"]},
        2: {"pmcid": "PMC3"},
        3: {"xml_url": "s3://elsewhere/PMC3.1/PMC3.1.xml"},
        4: {"xml_url": f"{base}PMC5.1/PMC5.1.xml"},
        5: {"xml_url": None},
        6: {"xml_url": f"{base}PMC6.1/gone.xml"},
        7: {"xml_url": f"{base}PMC7.1/PMC7.1.xml{none}"},
        8: {"media_urls": "no list"},
        9: {},
    }
    library = Shelf(
        {f"PMC{i}": article(i, version(f"PMC{i}", **more)) for i, more in fields.items()}
    )
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join([*library.ids(), "PMC10"]))
    with served(library, tmp_path, ids=str(ids), attempts=3) as (_, config):
        collected = collect(config, tmp_path / "out")
    said = {id: f"{item.status} {item.reason}" for id, item in by_id(collected).items()}
    assert said["PMC1"] == said["PMC9"] == "fetched "
    assert by_id(collected)["PMC1"].refused == ("gone.jpg: the bucket does not have it",)
    assert said["PMC2"] == "failed refused: the metadata of PMC2.1 are of PMC3.1"
    for pmcid in ("PMC3", "PMC4", "PMC8"):
        assert said[pmcid].startswith(f"failed refused: the metadata of {pmcid}.1 name")
        assert said[pmcid].endswith("which is none of it")
    assert said["PMC5"] == "failed refused: the metadata of PMC5.1 name no XML"
    assert said["PMC6"].startswith("failed absent: PMC6.1/gone.xml")
    assert said["PMC7"].startswith("failed no answer: PMC7.1/PMC7.1.xml: its MD5 is")
    assert [id for id, item in by_id(collected).items() if item.passing] == ["PMC7"]
    assert said["PMC10"] == "skipped absent: the bucket does not have it"
    assert not (collected.folder / "partial").exists()


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_service_that_is_out_stops_the_run_and_the_same_command_goes_on(tmp_path, concurrency):
    library = Shelf({f"PMC{i}": article(i) for i in range(1, 13)})
    out = tmp_path / "out"
    quick = {"articles_per_shard": 4, "outage": 4, "attempts": 3, "concurrency": concurrency}
    with served(library, tmp_path, **quick) as (mock, config):
        whole = collect(config, tmp_path / "whole")
        mock.faults = Outage()
        with pytest.raises(CollectError, match=r"4 articles in a row failed.*status 503"):
            collect(config, out)
        assert 0 < len(list((out / "articles").iterdir())) < 12
        mock.faults = FaultPlan()
        collect(config, out)
    assert tree(out) == tree(whole.folder)


class Outage:
    """The bucket answers until an article of the second shard is asked for."""

    stall = retry_after = 0.0
    out = False

    def fault(self, what, time, is_file):
        self.out = self.out or "PMC6" in what
        return "unavailable" if self.out else None


def test_a_service_that_asks_for_a_long_pause_is_asked_no_more(tmp_path):
    faults = FaultPlan(rate=1.0, kinds=("busy_until",), retry_after=3600.0)
    with served(shelf(9), tmp_path, concurrency=1) as (mock, config):
        stage = collect(config, tmp_path / "whole")
        asked = len(mock.traffic.requests("bucket"))
        mock.faults = Later(faults)
        with pytest.raises(CollectError, match=r"left alone for 3600 s.*goes on later"):
            collect(config, tmp_path / "out")
        assert len(mock.traffic.requests("bucket")) == asked + 1
        mock.faults = FaultPlan()
        assert collect(config, tmp_path / "out").counts == stage.counts


class Later:
    """A plan for the bucket alone."""

    def __init__(self, plan):
        self.plan, self.stall, self.retry_after = plan, plan.stall, plan.retry_after

    def fault(self, what, time, is_file):
        return None if "term" in what else self.plan.fault(what, time, is_file)


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(tmp_path):
    with served(shelf(30), tmp_path) as (mock, config):
        before = tree(tmp_path)
        seen = dry_run(config)
        assert all(not r.what.endswith(("xml", "jpg", "png")) for r in mock.traffic.requests())
        collected = collect(config, tmp_path / "out")
    assert {k for k in tree(tmp_path) if not k.startswith(("out/", "rate/"))} == set(before)
    assert seen.articles == 30 == collected.counts["items"]
    assert sum(seen.sample.values()) == 20
    assert {"taken", "licence"} <= set(seen.sample)
    assert seen.requests > 60
    assert seen.lines()[-1] == "nothing was written"


def test_listings_of_many_pages_are_read_to_the_end(tmp_path):
    versions = tuple(version("PMC1", number) for number in range(1, 6))
    with served(Shelf({"PMC1": article(1, *versions)}), tmp_path) as (mock, config):
        pages = dataclasses.replace(mock.endpoints, listing_keys=2)
        collected = collect(dataclasses.replace(config, endpoints=pages), tmp_path / "out")
        listings = [r for r in mock.traffic.requests("bucket") if r.query]
    assert [item.name for item in collected.items()] == ["PMC1.5"]
    assert len(listings) == 3
    assert sum("continuation-token" in r.query for r in listings) == 2


def test_a_folder_of_another_config_is_left_alone(tmp_path):
    with served(shelf(3), tmp_path) as (mock, config):
        collect(config, tmp_path / "out")
        before = tree(tmp_path / "out")
        other = config_for(mock, tmp_path, licences=("other",))
        with pytest.raises(CollectError, match=r"another config .*licences"):
            collect(other, tmp_path / "out")
        slower = config_for(mock, tmp_path, files=11, email="you@there.org")
        again = collect(slower, tmp_path / "out")
    assert (again.made, again.found) == (0, 1)
    assert tree(tmp_path / "out") == before


def test_a_search_without_a_result_is_an_error(tmp_path):
    with served(shelf(3), tmp_path, term="no such word") as (_, config):
        with pytest.raises(CollectError, match=r"finds nothing since 1990-01-01; widen it"):
            collect(config, tmp_path / "out")
        assert not (tmp_path / "out" / "runs").exists()
