"""All stages on archives and folders that people hold, hostile ones among them, and on figures
that a person set right."""

import dataclasses
import gzip
import io
import pathlib
import re
import shutil
import struct
import tarfile
import zlib

import pytest

from data_gen.pipelines.pubmed import pipeline
from data_gen.pipelines.pubmed.match.matched import read_matched, write_matched
from data_gen.pipelines.pubmed.outcome import ARTICLES
from data_gen.pipelines.pubmed.stages.recording import RecordsJob
from medvlp_jax.core.files import jsonl
from medvlp_jax.data.store.dataset import open_dataset

from . import pubmed_run

pytestmark = pytest.mark.usefixtures("made_up")
CONFIG = dataclasses.replace(pubmed_run.CONFIG, raw=False, truth=False)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE article [<!ENTITY a "'
    + b"x" * 5000
    + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8))
    + b"]><article><front/><body><p>&i;</p></body></article>"
)


@pytest.fixture(scope="module")
def served(made_up, tmp_path_factory):
    """A folder that came from the services."""
    folder = tmp_path_factory.mktemp("served") / "data"
    pipeline.generate(CONFIG, folder, progress=False)
    return folder


def articles(folder: pathlib.Path) -> list[pathlib.Path]:
    found = sorted((folder / "work" / "collect" / "articles").iterdir())
    assert len(found) >= 10
    return found


def told(folder: pathlib.Path) -> dict[str, dict]:
    return {one["id"]: one for one in jsonl.read(folder / ARTICLES, "")}


def records(folder: pathlib.Path) -> dict[tuple, tuple]:
    """What a record shows and says, by its name without the article's version."""
    found = {}
    for split in ("train", "validation", "test"):
        for record in open_dataset(folder, split):
            name = re.sub(r"^(PMC\d+)-\d+_", r"\1_", record.id)
            found[name] = (split, record.texts, [image.data for image in record.images])
    return found


def from_disk(kind: str, path: pathlib.Path, out: pathlib.Path):
    collect = dataclasses.replace(CONFIG.collect, source=kind, path=str(path))
    config = dataclasses.replace(CONFIG, library="collect", collect=collect)
    return pipeline.generate(config, out, progress=False)


def png_of(width: int, height: int) -> bytes:
    """A picture that says that it is so large, and is not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def pack(path: pathlib.Path, members: dict[str, bytes]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(out.getvalue(), mtime=0))


def contents(article: pathlib.Path) -> dict[str, bytes]:
    name = article.name.split(".")[0]
    files = [path for path in sorted(article.iterdir()) if path.name != "provenance.json"]
    return {f"{name}/{path.name.replace('.xml', '.nxml')}": path.read_bytes() for path in files}


def test_a_folder_of_articles_becomes_the_records_of_the_service(served, tmp_path):
    library = tmp_path / "in"
    for article in articles(served):
        shutil.copytree(article, library / article.name)
        (library / article.name / "provenance.json").unlink()
    from_disk("folder", library, tmp_path / "out")
    ours, theirs = records(tmp_path / "out"), records(served)
    assert ours
    assert ours.keys() <= theirs.keys()
    assert all(ours[key] == theirs[key] for key in ours)
    # What is missing has no licence in its text; the service told it apart from the text.
    gone = {one["reason"] for one in told(tmp_path / "out").values() if one["status"] != "used"}
    assert len(ours) == len(theirs) or any("licence" in reason for reason in gone), gone


def test_hostile_archives_cost_themselves_and_the_rest_becomes_records(served, tmp_path):
    library = tmp_path / "in"
    library.mkdir()
    whole = articles(served)[:8]
    for article in whole:
        pack(library / f"{article.name.split('.')[0]}.tar.gz", contents(article))
    victims = [dict(contents(article)) for article in articles(served)[8:11]]
    outside, huge, _ = victims
    outside |= {"../../outside.jpg": b"x", "/etc/cron.jpg": b"x"}
    pack(library / "PMC90000001.tar.gz", outside)
    picture = next(name for name in huge if not name.endswith(".nxml"))
    huge[picture] = png_of(11_000, 10_000)
    pack(library / "PMC90000002.tar.gz", huge)
    pack(library / "PMC90000003.tar.gz", {"PMC90000003/paper.nxml": BOMB})
    (library / "PMC90000004.tar.gz").write_bytes(gzip.compress(b"\0" * (40 << 20)))
    (library / "PMC90000005.tar.gz").write_bytes(b"no archive")
    from_disk("archives", library, tmp_path / "out")
    found = told(tmp_path / "out")
    assert len(found) == len(list(library.iterdir()))
    for bad in ("PMC90000003", "PMC90000004", "PMC90000005"):
        assert found[bad]["status"] != "used"
        assert found[bad]["reason"]
        assert "\n" not in found[bad]["reason"]
    ours, theirs = records(tmp_path / "out"), records(served)
    used = {key for key, one in found.items() if one["status"] == "used"}
    assert used & {article.name.split(".")[0] for article in whole}
    same = [key for key in ours if key in theirs]
    assert len(same) >= 5
    assert all(ours[key] == theirs[key] for key in same)
    assert not list(tmp_path.rglob("outside.jpg"))
    assert not list(tmp_path.rglob("cron.jpg"))


def reject_one(folder: pathlib.Path, path: pathlib.Path, number: int = 0) -> None:
    """Writes a figure whose pair ``number`` a person took back."""
    chosen = next(
        one
        for one in read_matched(folder / "matched.jsonl")
        if sum(p.status == "label_match" for p in one.pairs) > 1
    )
    pairs = list(chosen.pairs)
    place = [i for i, pair in enumerate(pairs) if pair.status == "label_match"][number]
    pairs[place] = dataclasses.replace(pairs[place], status="rejected", reason="by hand")
    write_matched(path, [dataclasses.replace(chosen, pairs=tuple(pairs))])


def test_what_a_person_set_right_takes_the_place_of_what_was_found(served, tmp_path):
    folder, path = tmp_path / "data", tmp_path / "corrected.jsonl"
    shutil.copytree(served, folder)
    before = records(folder)
    reject_one(folder, path)
    config = dataclasses.replace(CONFIG, corrected=str(path))
    made = pipeline.generate(config, folder, progress=False)
    after = records(folder)
    assert len(after) == len(before) - 1
    assert all(after[key][1:] == before[key][1:] for key in after)
    assert "by hand" in (folder / "rejects.jsonl").read_text()
    assert made.summary["pubmed"]["corrected"] == {"given": 1, "taken": 1}
    # The same name, but another content.
    reject_one(folder, path, 1)
    pipeline.generate(config, folder, progress=False)
    other = records(folder)
    assert len(other) == len(after)
    assert other.keys() != after.keys()


def test_corrections_that_were_interrupted_go_on(served, tmp_path, monkeypatch):
    folder, path = tmp_path / "data", tmp_path / "corrected.jsonl"
    shutil.copytree(served, folder)
    before = records(folder)
    reject_one(folder, path)
    config = dataclasses.replace(CONFIG, corrected=str(path))
    build, built = RecordsJob._build, []

    def ends(job, one):
        built.append(one)
        if len(built) > 8:
            raise KeyboardInterrupt
        return build(job, one)

    with monkeypatch.context() as patch:
        patch.setattr(RecordsJob, "_build", ends)
        with pytest.raises(KeyboardInterrupt):
            pipeline.generate(config, folder, progress=False)
    pipeline.generate(config, folder, progress=False)
    assert len(records(folder)) == len(before) - 1
    pipeline.generate(CONFIG, folder, progress=False)
    assert records(folder) == before


def test_corrections_of_other_figures_are_named(served, tmp_path, caplog):
    folder, path = tmp_path / "data", tmp_path / "corrected.jsonl"
    shutil.copytree(served, folder)
    reject_one(folder, path)
    text = path.read_text()
    name = next(iter(read_matched(path))).article.pmcid
    path.write_text(text.replace(name, "PMC77777777"))
    before = records(folder)
    config = dataclasses.replace(CONFIG, corrected=str(path))
    made = pipeline.generate(config, folder, progress=False)
    assert records(folder) == before
    assert made.summary["pubmed"]["corrected"] == {"given": 1, "taken": 0}
    assert "none of this folder" in caplog.text
