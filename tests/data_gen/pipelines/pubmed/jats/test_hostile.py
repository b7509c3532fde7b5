"""XML that attacks, and XML that is none: one line that names the file."""

import time

import pytest

from data_gen.pipelines.pubmed.jats import read_article
from data_gen.pipelines.pubmed.jats.parse import parse
from medvlp_jax.core.errors import UserError

pytest.importorskip("lxml")

LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
SECRET = "what only this machine may know"
BOMB = f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]>'
HOSTILE = {
    "bomb": (f"{BOMB}<article><p>&a11;</p></article>", "entit"),
    "bomb in an attribute": (f'{BOMB}<article id="&a11;"/>', "amplification"),
    "entity of a file": (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file://SECRET">]><article><p>&x;</p></article>',
        "entities",
    ),
    "parameter entity": (
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><article/>',
        "entities",
    ),
    "deep": ("<article>" + "<sec>" * 250 + "</sec>" * 250 + "</article>", "within one another"),
    "very deep": ("<article>" + "<sec>" * 100_000, "depth"),
    "long text": ("<article><p>" + "a" * 10_100_000 + "</p></article>", "too long"),
    "nothing": ("", "empty"),
    "no XML": ("PK\x03\x04 archive", "cannot be read"),
    "cut": ("<article><front>", "cannot be read"),
    "a web page": ("<html><body/></html>", "root is <html>"),
    "several": ("<set><article/><article/></set>", "2 articles"),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?><article/>', "encoding"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_is_refused_in_one_line(kind, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    text, why = HOSTILE[kind]
    start = time.process_time()
    with pytest.raises(UserError) as error:
        read_article(text.replace("SECRET", str(secret)).encode(), "PMC7.1/bad.xml")
    message = str(error.value)
    assert message.startswith("PMC7.1/bad.xml")
    assert why in message
    assert "\n" not in message
    assert SECRET not in message
    assert time.process_time() - start < 2


def test_a_large_file_is_refused_unread():
    with pytest.raises(UserError, match=r"big\.xml is refused: 1,001 bytes"):
        parse(b"<" * 1001, "big.xml", max_bytes=1000)


def test_an_outside_dtd_is_not_loaded_and_its_characters_are_known(tmp_path):
    dtd = tmp_path / "evil.dtd"
    dtd.write_text(f'<!ENTITY alpha "{SECRET}">')
    text = (
        f'<!DOCTYPE article SYSTEM "{dtd}"><article><fig id="f"><caption><p>TNF-&alpha; and '
        "&nosuch;</p></caption></fig></article>"
    )
    (figure,) = read_article(text.encode(), "a.xml").figures
    assert figure.caption == "TNF-α and &nosuch;"


def test_an_include_stays_an_element():
    text = (
        '<article xmlns:xi="http://www.w3.org/2001/XInclude"><fig id="f"><caption><p>Text'
        '<xi:include href="file:///etc/hostname" parse="text"/></p></caption></fig></article>'
    )
    assert read_article(text.encode(), "a.xml").figures[0].caption == "Text"


@pytest.mark.parametrize("wrap", ["<pmc-articleset>{}</pmc-articleset>", "{}"])
def test_other_encodings_envelopes_and_namespaces(wrap):
    inner = (
        '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.2/">'
        '<fig id="f"><label>1</label></fig></article>'
    )
    found = read_article(wrap.format(inner).encode("utf-16"), "a.xml")
    assert [f.label for f in found.figures] == ["1"]
