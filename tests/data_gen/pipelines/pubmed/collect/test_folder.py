"""A folder of JATS files with their images; hrefs that lead elsewhere are refused."""

import os

from article_shelf import jats

from data_gen.pipelines.pubmed.collect.config import CollectConfig, Limits
from data_gen.pipelines.pubmed.collect.run import collect


def taken(folder, out, **changes):
    usual = {"source": "folder", "path": str(folder), "date": "2026-12-01"}
    collected = collect(CollectConfig(**usual | changes), out)
    return collected, {item.id: item for item in collected.items()}


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def test_images_are_found_by_the_names_in_the_text(tmp_path):
    one, two = tmp_path / "in" / "x", tmp_path / "in" / "y"
    images = {"f1__jpg": b"1", "f2__png": b"2", "f10__jpg": b"10", "other__jpg": b"o"}
    write(one, PMC5__nxml=jats(5), **images)
    write(two, manuscript__xml=jats(6, ("f1.tif", "f2.png")), manifest__xml=b"<files/>", **images)
    write(two, noncommercial__xml=jats(7, licence="by-nc/4.0"))
    collected, items = taken(tmp_path / "in", tmp_path / "out")
    assert {id: item.status for id, item in items.items()} == {
        "PMC5": "fetched",
        "PMC6": "fetched",
        "PMC7": "skipped",
    }
    assert items["PMC7"].reason == "licence: CC BY-NC"
    for number in (5, 6):
        files = sorted(path.name for path in (collected.articles / f"PMC{number}.0").iterdir())
        assert files == [f"PMC{number}.0.xml", "f1.jpg", "f2.png", "provenance.json"]


def test_hrefs_links_and_devices_that_lead_elsewhere_are_refused(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = tmp_path / "in"
    hrefs = (
        "../secret.jpg",
        "/etc/passwd",
        "link",
        "pipe",
        "big",
        "none",
        "fine",
        "https://far/away.jpg",
    )
    write(folder, article__nxml=jats(1, hrefs), fine__jpg=b"f", big__jpg=b"x" * 101)
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    os.mkfifo(folder / "pipe.jpg")
    collected, items = taken(folder, tmp_path / "out", limits=Limits(file=100))
    assert items["PMC1"].refused == (
        "article.nxml: ../secret.jpg: a path that leaves its folder",
        "article.nxml: /etc/passwd: an absolute path",
        "article.nxml: link: a link",
        "article.nxml: pipe: no regular file",
        "article.nxml: big: 101 bytes, more than the limit of 100",
        "article.nxml: none: no file of that name",
    )
    files = sorted(path.name for path in (collected.articles / "PMC1.0").iterdir())
    assert files == ["PMC1.0.xml", "fine.jpg", "provenance.json"]


def test_files_that_cannot_be_read_are_their_own_status(tmp_path):
    folder = tmp_path / "in"
    write(folder, PMC1__nxml=jats(1), PMC2__xml=jats(2)[:-30], PMC3__xml=jats(3) + b" " * 3000)
    os.mkfifo(folder / "PMC4.xml")
    (folder / "PMC5.xml").symlink_to(folder / "none.xml")
    _, items = taken(folder, tmp_path / "out", limits=Limits(xml=3000))
    assert {id: item.status for id, item in items.items()} == {
        "PMC1": "fetched",
        **{f"PMC{i}": "failed" for i in (2, 3, 4)},
        "PMC5": "skipped",
    }
    assert "more than the limit of 3000" in items["PMC3"].reason
    assert "a named pipe" in items["PMC4"].reason
    assert items["PMC5"].reason == "absent: its file is gone"


def test_articles_without_an_id_are_named_by_their_place(tmp_path):
    text = jats(1).replace(b"pmc", b"doi")
    for place in ("a", "b"):
        write(tmp_path / "in" / place, manuscript__xml=text, f1__jpg=b"1")
    collected, items = taken(tmp_path / "in", tmp_path / "out")
    assert set(items) == {"a_manuscript", "b_manuscript"}
    assert (collected.articles / "a_manuscript.0" / "f1.jpg").exists()


def test_the_real_sample(tmp_path, sample_dir):
    folder = sample_dir / "articles"
    groups = ("commercial", "noncommercial", "other")
    collected, items = taken(folder, tmp_path / "out", licences=groups)
    assert collected.counts["status"] == {"fetched": 17}
    (elife,) = [item for item in items.values() if item.files > 1]
    assert elife.files == 6, "the text and five figures"
    assert elife.refused == ()
    others = [item for item in items.values() if item is not elife]
    assert all(line.endswith("no file of that name") for item in others for line in item.refused)
