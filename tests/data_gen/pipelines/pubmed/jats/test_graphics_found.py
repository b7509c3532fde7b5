"""The file that an href means, and hrefs that mean no file of the folder."""

import os

import pytest

from data_gen.pipelines.pubmed.jats import find_graphic
from medvlp_jax.core.errors import UserError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "PMC1.1"
    folder.mkdir()
    for name in ("gr1.gif", "gr1.jpg", "gr2.png", "GR3.TIF", "x.001.jpg", "x.002.jpg", "gr4.pdf"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    os.symlink(tmp_path / "secret.jpg", folder / "link.jpg")
    return folder


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("gr1", "gr1.jpg"),
        ("gr1.jpg", "gr1.jpg"),
        ("gr1.gif", "gr1.gif"),
        ("gr1.tif", "gr1.jpg"),
        ("gr2.tiff", "gr2.png"),
        ("gr3", "GR3.TIF"),
        ("x.002", "x.002.jpg"),
    ],
)
def test_found(folder, href, name):
    assert find_graphic(href, folder) == folder / name
    assert find_graphic(href, folder, sorted(os.listdir(folder))) == folder / name


@pytest.mark.parametrize("href", ["x", "gr9.jpg", "gr4.pdf", "gr4", "link.jpg"])
def test_nothing_there(folder, href):
    with pytest.raises(UserError, match=r"PMC1\.1.*no picture"):
        find_graphic(href, folder)


@pytest.mark.parametrize(
    "href",
    [
        "../secret.jpg",
        "..",
        "/etc/passwd",
        "a/b.jpg",
        "..\\secret.jpg",
        "http://h/a.jpg",
        "",
        "a\0b",
    ],
)
def test_paths_and_addresses_are_refused(folder, href):
    with pytest.raises(UserError, match="refused"):
        find_graphic(href, folder)


def test_a_link_in_a_given_listing_is_refused(folder):
    with pytest.raises(UserError, match="link"):
        find_graphic("link.jpg", folder, ["link.jpg"])
