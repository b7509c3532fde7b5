"""The table of endpoints, licence codes, and what a config may say."""

import pytest

from data_gen.pipelines.pubmed.collect import names
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from data_gen.pipelines.pubmed.collect.licences import group_of, normal_code
from medvlp_jax.core.config import ConfigError, parse


def test_the_defaults_are_the_live_services():
    ends = Endpoints()
    assert ends.search == "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi"
    assert ends.bucket == "https://pmc-oa-opendata.s3.amazonaws.com/"
    assert ends.metadata.format(name="PMC1.2") == "metadata/PMC1.2.json"
    assert ends.search_limit == 9999


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"since": "2020-02-30"}, "since='2020-02-30' is no day"),
        ({"date": "1.2.2020"}, "write it as YYYY-MM-DD"),
        ({"since": ""}, "since is empty"),
        ({"licences": []}, "at least one group"),
        ({"licences": ["commercial", "commercial"]}, "none twice"),
        ({"licences": ["free"]}, "must be one of"),
        ({"endpoints": {"bucket": "https://here"}}, "must end in /"),
        ({"endpoints": {"metadata": "metadata.json"}}, "must hold {name}"),
        ({"endpoints": {"search_limit": 10000}}, "at most 9999"),
        ({"pace": {"files": 0}}, "above 0"),
        ({"limits": {"file": 0}}, "at least 1"),
        ({"sauce": "service"}, "did you mean config.source"),
    ],
)
def test_what_a_config_must_not_say(changes, why):
    with pytest.raises(ConfigError) as error:
        parse(CollectConfig, changes)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("code", "normal", "group"),
    [
        ("CC BY", "CC BY", "commercial"),
        ("cc-by 4.0", "CC BY", "commercial"),
        ("CC-BY-SA", "CC BY-SA", "commercial"),
        ("CC BY-ND", "CC BY-ND", "commercial"),
        ("CC0", "CC0", "commercial"),
        ("CC0 1.0", "CC0", "commercial"),
        ("CC BY-NC", "CC BY-NC", "noncommercial"),
        ("CC  BY-NC-ND 3.0", "CC BY-NC-ND", "noncommercial"),
        ("CC BY-NC-SA", "CC BY-NC-SA", "noncommercial"),
        ("NO-CC CODE", "NO-CC CODE", "other"),
        ("TDM", "TDM", "other"),
        ("CC BY-XX", "CC BY-XX", "other"),
        ("", "", "other"),
    ],
)
def test_licence_codes(code, normal, group):
    assert (normal_code(code), group_of(code)) == (normal, group)


@pytest.mark.parametrize(
    ("href", "name", "same"),
    [
        ("gr1", "gr1.jpg", True),
        ("gr1.jpg", "gr1.jpg", True),
        ("gr1.tif", "gr1.jpg", True),
        ("figures/gr1.tif", "gr1.jpg", True),
        ("gr1", "gr10.jpg", False),
        ("Gr1.TIF", "gr1.jpg", True),
        ("fig.1", "fig.1.jpg", True),
        ("fig.1", "fig.jpg", False),
        ("elife-32671-fig1.tif", "elife-32671-fig1.jpg", True),
    ],
)
def test_hrefs_with_and_without_their_ending(href, name, same):
    assert names.names_graphic(href, name) is same
