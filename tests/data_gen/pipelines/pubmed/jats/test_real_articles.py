"""Real articles against counts taken by hand: by reading the XML and with text search alone.

Per figure: panel labels that its caption names, and how often the running text refers to it. Two
references that a dash joins ("1(a)–1(d)") are one; one to three figures is one of each.
"""

import pytest

from data_gen.pipelines.pubmed.captions import split
from data_gen.pipelines.pubmed.jats import find_graphic, read_article

pytest.importorskip("lxml")

ALL = {
    "nxml_only/1471-2180-11-174.nxml": ["", "AB", "ABCD", "AB"],
    "nxml_only/PMC4706923.nxml": ["AB", "", "C", "AB", "A"],
    "nxml_only/PMC4706941.nxml": ["", "AB", "AB"],
    "nxml_only/PMC4736760.nxml": [""] * 6,
    "nxml_only/PMC4738714.nxml": [""] * 5,
    "nxml_only/PMC4738724.nxml": ["AB", "ABC", "AB", "ABCD"],
    "nxml_only/PMC4738931.nxml": ["", ""],
    "nxml_only/PMC4738949.nxml": ["AB", "", "ABCDE", ""],
    "nxml_only/PMC4739213.nxml": [""] * 4,
    "nxml_only/PMC4739214.nxml": ["", "AB", "", "AB"],
    "nxml_only/PMC4739215.nxml": ["ABC", "", ""],
    "nxml_only/PMC4739221.nxml": [""] * 5,
    "nxml_only/PMC4739453.nxml": ["AB", "", "AB", "AB"],
    "nxml_only/PMC4745290.nxml": ["", "AB", "", "AB"],
    "nxml_only/PMC4745348.nxml": ["", "", ""],
    "nxml_only/ehp-116-1694.nxml": ["AB", "AB", "ABC"],
    "elife-32671/manuscript.xml": ["ABCDEFG", "ABC", "ABCDEFGH", "ABCDEF", "ABCDE"],
}
#: A caption that names (c) and no other panel: one letter alone is taken for a label only if it is
#: the first.
MISSED = {("nxml_only/PMC4706923.nxml", 2)}
MENTIONS = {
    "nxml_only/1471-2180-11-174.nxml": [4, 2, 8, 4],
    "nxml_only/PMC4706941.nxml": [1, 2, 1],
    "nxml_only/PMC4738724.nxml": [1, 1, 2, 1],
    "nxml_only/PMC4738949.nxml": [2, 1, 2, 1],
    "nxml_only/PMC4739453.nxml": [1, 1, 2, 1],
    "nxml_only/ehp-116-1694.nxml": [2, 1, 3],
    "elife-32671/manuscript.xml": [5, 3, 8, 6, 8],
}
LICENCES = {
    "nxml_only/ehp-116-1694.nxml": "public domain",
    "elife-32671/manuscript.xml": "",
}


@pytest.fixture(scope="module")
def folder(sample_dir):
    path = sample_dir / "articles"
    if not path.is_dir():
        pytest.skip("the sample has no articles")
    return path


@pytest.mark.parametrize("name", ALL)
def test_counts(folder, name):
    found = read_article((folder / name).read_bytes(), name)
    assert len(found.figures) == len(ALL[name])
    assert [f.label for f in found.figures] == [
        f"Figure {i + 1}" for i in range(len(found.figures))
    ]
    assert all(f.caption and len(f.graphics) == 1 for f in found.figures)
    mentions = [len(f.mentions) for f in found.figures]
    assert mentions == MENTIONS.get(name, [1] * len(found.figures))
    assert found.licence.code == LICENCES.get(name, "CC BY")
    got = []
    for figure in found.figures:
        parts = split(figure.caption, figure.marks).parts
        got.append("".join(dict.fromkeys(x for part in parts for x in part.labels)))
    wanted = ["" if (name, i) in MISSED else labels for i, labels in enumerate(ALL[name])]
    assert got == wanted


def test_letters_of_mentions(folder):
    name = "nxml_only/PMC4738724.nxml"
    found = read_article((folder / name).read_bytes(), name)
    letters = [["".join(m.letters) for m in f.mentions] for f in found.figures]
    assert letters == [["AB"], ["ABC"], ["A", "B"], ["ABCD"]]


def test_pictures_lie_beside_the_article(folder):
    name = "elife-32671/manuscript.xml"
    found = read_article((folder / name).read_bytes(), name)
    files = [find_graphic(f.graphics[0], folder / "elife-32671").name for f in found.figures]
    assert files == [f"fig{i}.jpg" for i in range(1, 6)]
