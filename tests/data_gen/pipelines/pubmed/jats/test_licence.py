"""Licences in the four forms of the articles, and in more."""

import pytest

from data_gen.pipelines.pubmed.jats.licence import group_of

from .made import read

pytest.importorskip("lxml")

CC = "http://creativecommons.org/licenses"
PROSE = (
    "an open access article distributed under the terms of the Creative Commons {}License, which"
)


@pytest.mark.parametrize(
    ("inside", "code", "group"),
    [
        (f'<license license-type="open-access" xlink:href="{CC}/by/4.0/"/>', "CC BY", "commercial"),
        (f'<license xlink:href="{CC}/by-nc-nd/3.0/igo/"/>', "CC BY-NC-ND", "noncommercial"),
        (
            f"<license><license-p>{PROSE.format('Attribution ')}</license-p></license>",
            "CC BY",
            "commercial",
        ),
        (
            f"<license><p>{PROSE.format('Attribution-NonCommercial-ShareAlike ')}</p></license>",
            "CC BY-NC-SA",
            "noncommercial",
        ),
        ("<license><p>under CC BY-NC 4.0</p></license>", "CC BY-NC", "noncommercial"),
        ('<license license-type="cc-by-nd"/>', "CC BY-ND", "commercial"),
        (
            f"<copyright-statement>A et al. This is {PROSE.format('Attribution ')}"
            "</copyright-statement>",
            "CC BY",
            "commercial",
        ),
        ("<copyright-statement>© 2020 A publisher</copyright-statement>", "", "other"),
        ("<license license-type='tdm'><p>Text mining only.</p></license>", "", "other"),
        ("", "", "other"),
        (f'<license xlink:href="{CC[:-9]}/publicdomain/zero/1.0/"/>', "CC0", "commercial"),
        (f'<license xlink:href="{CC[:-9]}/publicdomain/mark/1.0/"/>', "public domain", "other"),
        (
            f'<license xlink:href="{CC}/by/4.0"><p>Data: <ext-link xlink:href="{CC[:-9]}'
            '/publicdomain/zero/1.0/">waiver</ext-link></p></license>',
            "CC BY",
            "commercial",
        ),
        (
            f'<license xlink:href="{CC}/by/4.0"/><license xlink:href="{CC}/by-nc/4.0"/>',
            "CC BY-NC",
            "noncommercial",
        ),
        (
            '<ali:license_ref xmlns:ali="http://www.niso.org/schemas/ali/1.0/">'
            f"{CC}/by-sa/4.0</ali:license_ref>",
            "CC BY-SA",
            "commercial",
        ),
    ],
)
def test_licence(inside, code, group):
    found = read(meta=f"<permissions>{inside}</permissions>").licence
    assert (found.code, found.group) == (code, group)


def test_prose_and_address_are_kept():
    found = read(
        meta=f'<permissions><license xlink:href="{CC}/by/4.0/"><license-p>Use it.</license-p>'
        "</license></permissions>"
    ).licence
    assert (found.url, found.text) == (f"{CC}/by/4.0/", "Use it.")


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("CC BY", "commercial"),
        ("cc-by-nc", "noncommercial"),
        ("CC BY NC ND", "other"),
        ("CC0", "commercial"),
        ("CC BY-NC-SA", "noncommercial"),
        ("TDM", "other"),
        ("", "other"),
    ],
)
def test_groups_of_codes(code, group):
    assert group_of(code) == group
