"""Articles in JATS read per second, against pubmed_parser on the same files."""

# pyright: reportMissingImports=false
import os
import pathlib
import shutil
import tempfile
import time

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(1.0, at_most=False)
#: As many figures and paragraphs as a usual article has.
_FIGURES, _PARAGRAPHS = 5, 45
_VOCABULARY = """
patient lesion cortex signal contrast axial images showed increased left frontal lobe
enhancement tumor cells were seen after treatment volume compared with controls group mean
"""
_WORDS = _VOCABULARY.split()
_NOTE = (
    "Both sides read the files from disk. Ours gives metadata, licence, figures with marks and "
    "mentions with panel letters; the peer's whole is parse_pubmed_xml, parse_pubmed_caption and "
    "parse_pubmed_paragraph, which parse the file once each; its captions alone are the "
    "second. Its texts leave out what stands deeper than one element."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Made articles, and the real ones of ``MEDVLP_SAMPLE`` where that folder is given."""
    rounds = 3 if settings.quick else 7
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folders = {"made": _made(pathlib.Path(name) / "made", 40 if settings.quick else 150)}
        if real := _real(pathlib.Path(name) / "real"):
            folders["real"] = real
        for kind, folder in folders.items():
            tell(f"{kind} articles")
            rows += _compare(kind, folder, rounds, tell)
    return rows


def _compare(kind: str, folder: pathlib.Path, rounds: int, tell: Tell) -> list[Row]:
    given = {"folder": str(folder)}
    ours = Side("ours", f"{__name__}:OurReader", given)
    peer = Side("pubmed_parser", f"{__name__}:PeerReader", given)
    with Worker(ours, threads=1) as a, Worker(peer, threads=1) as b:
        sides = [lambda: a.call("rate"), lambda: b.call("rate"), lambda: b.call("captions")]
        whole, other, captions = in_turn(sides, rounds, tell)
    what = f"JATS, {kind} articles"
    return [
        paired_row(what, Paired(whole, other), "articles/s", TARGET, _NOTE, digits=0),
        paired_row(
            f"{what}, against captions alone", Paired(whole, captions), "articles/s", None, _NOTE, 0
        ),
    ]


class OurReader:
    """Everything of each article in a folder, by :func:`read_article`."""

    def __init__(self, folder: str):
        from data_gen.pipelines.pubmed.jats import read_article

        self._read, self._files = read_article, _files(folder)
        self.rate()

    def rate(self) -> float:
        """Articles per second, all files once."""
        start = time.perf_counter()
        for file in self._files:
            self._read(pathlib.Path(file).read_bytes(), file)
        return len(self._files) / (time.perf_counter() - start)


class PeerReader:
    """The same of pubmed_parser, as far as it goes."""

    def __init__(self, folder: str):
        import pubmed_parser

        self._peer, self._files = pubmed_parser, _files(folder)
        self.rate()

    def rate(self) -> float:
        """Articles per second: metadata, captions, and paragraphs with references."""
        start = time.perf_counter()
        for file in self._files:
            self._peer.parse_pubmed_xml(file)
            self._peer.parse_pubmed_caption(file)
            self._peer.parse_pubmed_paragraph(file)
        return len(self._files) / (time.perf_counter() - start)

    def captions(self) -> float:
        """Articles per second, figures only."""
        start = time.perf_counter()
        for file in self._files:
            self._peer.parse_pubmed_caption(file)
        return len(self._files) / (time.perf_counter() - start)


def _files(folder: str) -> list[str]:
    return sorted(str(path) for path in pathlib.Path(folder).iterdir())


def _real(folder: pathlib.Path) -> pathlib.Path | None:
    sample = os.environ.get("MEDVLP_SAMPLE")
    found = sorted(pathlib.Path(sample, "articles").rglob("*.nxml")) if sample else []
    if not found:
        return None
    folder.mkdir()
    for file in found:  # as .xml the peer is spared a pass over the tree
        shutil.copyfile(file, folder / f"{file.stem}.xml")
    return folder


def _made(folder: pathlib.Path, count: int) -> pathlib.Path:
    folder.mkdir()
    for number in range(count):
        text = article(np.random.default_rng(number), number)
        (folder / f"PMC{number}.1.xml").write_text(text, encoding="utf-8")
    return folder


def article(rng: np.random.Generator, number: int) -> str:
    """A JATS article of about 50 kB, in the forms that both sides can read."""

    def words(count: int) -> str:
        return " ".join(rng.choice(_WORDS, count))

    def cited() -> str:
        return f'[<xref ref-type="bibr" rid="B{rng.integers(60)}">{rng.integers(60)}</xref>]'

    figures = "".join(
        f'<fig id="F{i}"><label>Figure {i}</label><caption><title>{words(6)}.</title><p>'
        + " ".join(
            f"(<bold>{letter}</bold>) {words(14)} <italic>in vivo</italic>." for letter in "ABCD"
        )
        + f'</p></caption><graphic xlink:href="gr{i}"/></fig>'
        for i in range(1, _FIGURES + 1)
    )

    def mention(i: int) -> str:
        if i % 3:
            return ""
        return (
            f"(<xref ref-type='fig' rid='F{i % _FIGURES + 1}'>Figure {i % _FIGURES + 1}A–C</xref>)"
        )

    body = "".join(
        f"<sec><title>Part {i}</title><p>{words(60)} {mention(i)} {words(40)} {cited()}, "
        f"{words(30)} {cited()}.</p></sec>"
        for i in range(_PARAGRAPHS)
    )
    references = "".join(
        f'<ref id="B{i}"><element-citation><article-title>{words(10)}</article-title><source>J'
        f"</source><year>2015</year><fpage>{i}</fpage></element-citation></ref>"
        for i in range(60)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE article PUBLIC "-//NLM//DTD JATS v1.2'
        '//EN" "JATS-archivearticle1.dtd"><article xmlns:xlink="http://www.w3.org/1999/xlink" '
        'article-type="research-article"><front><journal-meta><journal-title-group><journal-title>J'
        "</journal-title></journal-title-group></journal-meta><article-meta>"
        f'<article-id pub-id-type="pmc">{number}</article-id>'
        f'<article-id pub-id-type="pmid">{number}</article-id>'
        f"<title-group><article-title>{words(12)}</article-title></title-group><pub-date pub-type="
        f'"ppub"><day>1</day><month>2</month><year>2020</year></pub-date><abstract><p>{words(200)}'
        '</p></abstract><permissions><license xlink:href="http://creativecommons.org/licenses/by/'
        f'4.0/"><license-p>{words(30)}</license-p></license></permissions></article-meta></front>'
        f"<body>{body}{figures}</body><back><ref-list>{references}</ref-list></back></article>"
    )
