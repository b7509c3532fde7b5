"""The mock answers as the services do, fails by plan, and measures what it is asked."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from article_shelf import Shelf, article, shelf, version

from data_gen.pipelines.pubmed.mock.faults import FAULTS, FaultPlan
from data_gen.pipelines.pubmed.mock.search import SearchService
from data_gen.pipelines.pubmed.mock.server import serving
from data_gen.pipelines.pubmed.mock.traffic import Request, Traffic


def asked(service, **query):
    return json.loads(service.answer(query))["esearchresult"]


def test_searches_are_paged_newest_first_up_to_the_limit():
    service = SearchService(shelf(30), limit=12)
    first = asked(service, term="brain", retmax="5")
    assert (first["count"], first["idlist"]) == ("30", ["129", "128", "127", "126", "125"])
    assert asked(service, term="brain", retstart="10", retmax="9")["idlist"] == ["119", "118"]
    assert "ERROR" in asked(service, term="brain", retstart="12")
    assert len(asked(service, term="brain")["idlist"]) == 12, "20 are usual, and more than allowed"


@pytest.mark.parametrize(
    ("term", "ids"),
    [
        ("(brain) AND 2020/01/02:2020/01/03[pmcrdat]", ["3", "2"]),
        ("brain AND tumor[Title]", ["3"]),
        ('"left brain" OR heart', ["4", "2"]),
        ("brain NOT (tumor OR left)", ["1"]),
        ("cc_by_license[Filter]", ["3", "1"]),
        ("cc_by-nc*_license[Filter]", ["4", "2"]),
        ("open_access[Filter] AND BRAIN", ["3", "2", "1"]),
        ("lung", []),
    ],
)
def test_terms(term, ids):
    rows = [
        ("2020-01-01", "brain", "CC BY"),
        ("2020-01-02", "left brain", "CC BY-NC"),
        ("2020-01-03", "Brain tumor", "CC BY"),
        ("2020-01-04", "heart", "CC BY-NC-ND"),
    ]
    library = Shelf(
        {
            f"PMC{i}": article(i, version(f"PMC{i}", license_code=code), day=day, words=words)
            for i, (day, words, code) in enumerate(rows, 1)
        }
    )
    assert asked(SearchService(library, 100), term=term)["idlist"] == ids


def fetched(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


def test_the_bucket_lists_and_serves_what_the_metadata_name():
    library = Shelf({"PMC1": article(1, version("PMC1", 1), version("PMC1", 2))})
    with serving(library) as mock:
        base = mock.endpoints.bucket
        query = {"list-type": "2", "prefix": "PMC1.", "delimiter": "/", "max-keys": "1"}
        page = fetched(f"{base}?{urllib.parse.urlencode(query)}").decode()
        assert "<CommonPrefixes><Prefix>PMC1.1/</Prefix></CommonPrefixes>" in page
        assert "<IsTruncated>true</IsTruncated>" in page
        token = page.partition("<NextContinuationToken>")[2].partition("<")[0]
        query["continuation-token"] = token
        rest = fetched(f"{base}?{urllib.parse.urlencode(query)}").decode()
        assert "<Prefix>PMC1.2/</Prefix>" in rest
        assert "<IsTruncated>false</IsTruncated>" in rest
        whole = fetched(f"{base}?list-type=2&prefix=metadata/").decode()
        assert whole.count("<Key>") == 2
        values = json.loads(fetched(f"{base}metadata/PMC1.2.json"))
        assert values == json.loads(fetched(f"{base}PMC1.2/PMC1.2.json"))
        assert (values["pmcid"], values["version"], values["is_retracted"]) == ("PMC1", 2, False)
        assert len(values["media_urls"]) == 2
        for address in [*values["media_urls"], values["xml_url"]]:
            assert fetched(address.replace("s3://pmc-oa-opendata/", base))
        for key in ("PMC1.3/PMC1.3.xml", "PMC2.1/gr1.jpg", "PMC1.1/gr9.jpg", "metadata/x.json"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                fetched(base + key)


def test_faults_are_planned_by_the_seed():
    names = [f"PMC{i}.1/gr1.jpg" for i in range(4000)]
    plan = FaultPlan(rate=0.1, seed=5)
    faults = [plan.fault(name, 0, True) for name in names]
    assert faults == [plan.fault(name, 0, True) for name in names]
    assert faults != [FaultPlan(rate=0.1, seed=6).fault(name, 0, True) for name in names]
    assert faults != [plan.fault(name, 1, True) for name in names]
    found = [fault for fault in faults if fault]
    assert 0.08 < len(found) / len(names) < 0.12
    assert set(found) == set(FAULTS) - {"garbage"}
    assert not any(FaultPlan().fault(name, 0, True) for name in names)


def test_the_traffic_is_measured():
    traffic = Traffic()
    for time in (0.0, 0.5, 0.9, 1.0, 1.45, 5.0):
        traffic.add(Request("bucket", f"at {time}", time, {}))
    traffic.add(Request("search", "x", 0.6, {}, "busy_until", 2.0))
    traffic.add(Request("search", "x", 2.5, {}))
    traffic.add(Request("search", "y", 2.6, {}))
    assert traffic.busiest("bucket") == 4  # 0.5 to 1.45
    assert traffic.busiest("search") == 2
    assert [request.time for request in traffic.too_soon()] == [2.5]
    assert traffic.faults() == {"busy_until": 1}
