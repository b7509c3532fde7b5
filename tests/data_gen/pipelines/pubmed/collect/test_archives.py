"""Archives of the old ``oa_package``: read, and refused where they are an attack or damaged."""

import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest
from article_shelf import jats

from data_gen.pipelines.pubmed.collect.config import CollectConfig, Limits
from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.run import collect, dry_run, update


def member(name: str, data: bytes = b"", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def pack(path, *members, packed=True):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return path


def package(folder, number: int, *more, **how):
    """An archive as PMC made them: text, two figures with thumbnails, and a PDF."""
    name = f"PMC{number}"
    return pack(
        folder / "oa_package" / "0a" / "1b" / f"{name}.tar.gz",
        member(name, type=tarfile.DIRTYPE),
        member(f"{name}/paper.nxml", jats(number)),
        member(f"{name}/f1.jpg", b"first of %d" % number),
        member(f"{name}/f1.gif", b"small"),
        member(f"{name}/f2.jpg", b"second"),
        member(f"{name}/paper.pdf", b"%PDF"),
        *more,
        **how,
    )


def listing(folder, *rows):
    head = "File,Article Citation,Accession ID,Last Updated (YYYY-MM-DD HH:MM:SS),PMID,License"
    lines = [
        f'oa_package/0a/1b/PMC{n}.tar.gz,"J, 2020",PMC{n},2020-01-01,,{code}' for n, code in rows
    ]
    (folder / "oa_file_list.csv").write_text("\n".join([head, *lines]) + "\n")


def taken(folder, out, **changes):
    config = CollectConfig(source="archives", path=str(folder), date="2026-12-01", **changes)
    collected = collect(config, out)
    return collected, {item.id: item for item in collected.items()}


def test_archives_become_articles_by_the_list_of_licences(tmp_path):
    packages = tmp_path / "in"
    for number in (1, 2, 3):
        package(packages, number)
    listing(packages, (1, "CC BY"), (2, "NO-CC CODE"))
    collected, items = taken(packages, tmp_path / "out")
    assert [items[f"PMC{i}"].status for i in (1, 2, 3)] == ["fetched", "skipped", "fetched"]
    assert items["PMC2"].reason == "licence: NO-CC CODE"
    assert items["PMC3"].licence == "CC BY", "not in the list: read in the text"
    folder = collected.articles / "PMC1.0"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("PMC1.0.xml", "f1.jpg", "f2.jpg", "provenance.json")
    ]
    assert (folder / "f1.jpg").read_bytes() == b"first of 1"
    assert (folder / "PMC1.0.xml").read_bytes() == jats(1)
    assert not (tmp_path / "out" / "partial").exists()
    seen = dry_run(CollectConfig(source="archives", path=str(packages)))
    assert (seen.articles, seen.first) == (3, ("PMC1", "PMC2", "PMC3"))


def test_members_that_attack_cost_themselves_alone(tmp_path):
    packages = tmp_path / "in"
    evil = [
        (member("../../outside.jpg", b"x"), "../../outside.jpg: a path that leaves its folder"),
        (member("/etc/cron.jpg", b"x"), "/etc/cron.jpg: an absolute path"),
        (member("PMC1/..\\up.jpg", b"x"), "PMC1/..\\up.jpg: a path that leaves its folder"),
        (
            member("PMC1/s.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "PMC1/s.jpg: a link to /etc/passwd",
        ),
        (
            member("PMC1/h.jpg", type=tarfile.LNKTYPE, linkname="PMC1/f1.jpg"),
            "PMC1/h.jpg: a link to PMC1/f1.jpg",
        ),
        (member("PMC1/zero.jpg", type=tarfile.CHRTYPE), "PMC1/zero.jpg: a device"),
        (member("PMC1/disk.jpg", type=tarfile.BLKTYPE), "PMC1/disk.jpg: a device"),
        (member("PMC1/pipe.jpg", type=tarfile.FIFOTYPE), "PMC1/pipe.jpg: a named pipe"),
        (member("PMC1/f1.jpg", b"again"), "PMC1/f1.jpg: a second file of that name"),
        (member("PMC1/a/b/deep.jpg", b"x"), "PMC1/a/b/deep.jpg: in a folder below the article's"),
        (
            member("PMC1/big.jpg", b"x" * 5001),
            "PMC1/big.jpg: 5001 bytes, more than the limit of 5000",
        ),
        (
            member("PMC1/odd\x07.jpg", b"x"),
            "PMC1/odd?.jpg: a name with characters that cannot be printed",
        ),
    ]
    package(packages, 1, *(m for m, _ in evil))
    package(packages, 2)
    collected, items = taken(packages, tmp_path / "out", limits=Limits(file=5000))
    assert items["PMC1"].refused == tuple(f"PMC1.tar.gz: {line}" for _, line in evil)
    assert sorted(path.name for path in (collected.articles / "PMC1.0").iterdir()) == [
        *("PMC1.0.xml", "f1.jpg", "f2.jpg", "provenance.json")
    ]
    assert (collected.articles / "PMC1.0" / "f1.jpg").read_bytes() == b"first of 1"
    assert items["PMC2"].status == "fetched"
    assert collected.counts["refused files"] == len(evil)
    assert not list(tmp_path.glob("*.jpg"))


def huge_header(path):
    """A tar whose extended header says that it is 8 MiB long, and is, of zeros."""
    info = tarfile.TarInfo("PMC6/paper.nxml")
    info.type, info.size = tarfile.XHDTYPE, 1 << 23
    path.write_bytes(gzip.compress(info.tobuf() + b"\0" * (1 << 23), mtime=0))


def test_whole_archives_that_are_refused_are_one_line_each_and_the_rest_goes_on(tmp_path):
    packages = tmp_path / "in"
    folder = package(packages, 1).parent
    bomb = folder / "PMC2.tar.gz"
    bomb.write_bytes(gzip.compress(b"\0" * (20 << 20)))
    cut = package(packages, 3)
    cut.write_bytes(cut.read_bytes()[:-30])
    plain = package(packages, 4, packed=False)
    damaged = bytearray(plain.read_bytes())
    damaged[1024:1124] = b"\xff" * 100  # the header of the text
    (folder / "PMC4.tar").write_bytes(damaged)
    plain.unlink()
    pack(folder / "PMC5.tar.gz", member("PMC5/f1.jpg", b"x"))
    huge_header(folder / "PMC6.tar.gz")
    pack(folder / "PMC7.tar.gz", *(member(f"PMC7/{i}.nxml", jats(7)) for i in range(2)))
    (folder / "PMC8.tar.gz").write_bytes(b"no archive")
    os.mkfifo(folder / "PMC9.tar.gz")
    many = (member(f"PMC10/{i}.txt") for i in range(60))
    pack(folder / "PMC10.tar.gz", *many)
    _, items = taken(packages, tmp_path / "out", limits=Limits(files=5, ratio=100.0))
    said = {id: item.reason for id, item in items.items() if item.status == "failed"}
    assert [id for id, item in items.items() if item.status == "fetched"] == ["PMC1"]
    assert len(said) == 9
    words = {
        "PMC2": "looks like a bomb",
        "PMC3": "end-of-stream",
        "PMC4": "damaged at byte|cannot be read",
        "PMC5": "holds no JATS files, not one",
        "PMC6": "cannot be read",
        "PMC7": "holds 2 JATS files, not one",
        "PMC8": "cannot be read|damaged",
        "PMC9": "a named pipe",
        "PMC10": "more than 50 members",
    }
    for pmcid, word in words.items():
        assert said[pmcid].startswith("refused: ")
        assert any(part in said[pmcid] for part in word.split("|")), said[pmcid]
        assert f"{pmcid}.tar" in said[pmcid]
        assert "\n" not in said[pmcid]
    assert not (tmp_path / "out" / "partial").exists()


def test_a_bomb_is_stopped_before_it_fills_the_disk(tmp_path):
    packages = tmp_path / "in"
    packages.mkdir()
    (packages / "PMC1.tar.gz").write_bytes(gzip.compress(b"\0" * (20 << 20)))
    _, items = taken(packages, tmp_path / "out", limits=Limits(archive=1 << 20))
    assert "more than 1048576 bytes" in items["PMC1"].reason or "bomb" in items["PMC1"].reason


def zipped(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data, kind in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = kind << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, data)


def test_zip_archives_and_what_is_wrong_with_them(tmp_path):
    packages = tmp_path / "in"
    packages.mkdir()
    text = ("PMC1/paper.nxml", jats(1), stat.S_IFREG)
    zipped(
        packages / "PMC1.zip",
        text,
        ("PMC1/f1.jpg", b"one", stat.S_IFREG),
        ("../f2.jpg", b"x", stat.S_IFREG),
        ("PMC1/f2.jpg", b"/etc/passwd", stat.S_IFLNK),
    )
    zipped(packages / "PMC2.zip", text, ("PMC2/f1.jpg", b"\0" * (20 << 20), 0))
    # A member that holds more than the directory at the end says.
    zipped(packages / "PMC3.zip", text, ("PMC3/f1.jpg", b"\0" * 100_000, 0))
    lying = (packages / "PMC3.zip").read_bytes()
    (packages / "PMC3.zip").write_bytes(
        lying.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    )
    collected, items = taken(packages, tmp_path / "out", limits=Limits(ratio=10.0))
    assert items["PMC1"].refused == (
        "PMC1.zip: ../f2.jpg: a path that leaves its folder",
        "PMC1.zip: PMC1/f2.jpg: a link",
    )
    assert (collected.articles / "PMC1.0" / "f1.jpg").read_bytes() == b"one"
    assert "bomb" in items["PMC2"].reason
    assert items["PMC3"].status == "fetched"
    assert any("f1.jpg" in line for line in items["PMC3"].refused)
    assert not (collected.articles / "PMC3.0" / "f1.jpg").exists()


def test_an_update_sees_what_was_relicensed_and_what_is_gone(tmp_path):
    packages = tmp_path / "in"
    for number in (1, 2, 3):
        package(packages, number)
    listing(packages, (1, "CC BY"), (2, "CC BY"), (3, "CC BY"))
    taken(packages, tmp_path / "out")
    listing(packages, (1, "CC BY"), (2, "CC BY-NC"), (3, "CC BY"))
    next(packages.rglob("PMC3.tar.gz")).unlink()
    package(packages, 4)
    os.utime(packages / "oa_file_list.csv", (1, 1))
    config = CollectConfig(source="archives", path=str(packages), date="2027-01-01")
    updated = update(config, tmp_path / "out")
    said = {item.id: (item.status, item.reason) for item in updated.items()}
    assert said == {
        "PMC1": ("fetched", ""),
        "PMC2": ("withdrawn", "licence: CC BY-NC"),
        "PMC3": ("withdrawn", "absent: its file is gone"),
        "PMC4": ("fetched", ""),
    }
    assert {path.name for path in updated.articles.iterdir()} == {"PMC1.0", "PMC4.0"}


def test_two_files_of_one_article_are_told(tmp_path):
    packages = tmp_path / "in"
    package(packages / "a", 1)
    package(packages / "b", 1)
    collected, items = taken(packages, tmp_path / "out")
    assert items["PMC1"].status == "fetched"
    (other,) = [item for item in items.values() if item.status == "skipped"]
    assert other.id == "PMC1 in b/oa_package/0a/1b/PMC1.tar.gz"
    assert other.reason == "duplicate: another file has that id"
    assert collected.counts["items"] == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("File,PMID\nx.tar.gz,1\n", "lacks the column 'License'"),
        ("File,License\nPMC1.tar.gz,CC BY\na/PMC1.tar.gz,CC0\n", "line 3: PMC1.tar.gz has two"),
        ("File,License\n,CC BY\n", "line 2: no File"),
        (b"File,License\n\xff,CC BY\n", "cannot be read"),
    ],
)
def test_a_list_that_is_none_stops_the_run(tmp_path, text, why):
    packages = tmp_path / "in"
    package(packages, 1)
    place = packages / "oa_file_list.csv"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CollectError, match=f"oa_file_list.*{why}"):
        taken(packages, tmp_path / "out")


def test_a_folder_that_is_none_is_one_line(tmp_path):
    with pytest.raises(CollectError, match="is no folder"):
        taken(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CollectError, match="holds no article"):
        taken(tmp_path / "empty", tmp_path / "out")
