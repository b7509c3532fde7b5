"""Licences in the four forms in which articles carry them."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

from data_gen.pipelines.pubmed.base import Licence, LicenceGroup

#: Code as the metadata write it -> group, address, prose.
_KNOWN: Mapping[str, tuple[LicenceGroup, str, str]] = {
    "CC BY": (
        "commercial",
        "https://creativecommons.org/licenses/by/4.0/",
        "This is an open access article distributed under the terms of the Creative Commons "
        "Attribution License.",
    ),
    "CC0": (
        "commercial",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "This work is dedicated to the public domain under the Creative Commons CC0 waiver.",
    ),
    "CC BY-NC": (
        "noncommercial",
        "https://creativecommons.org/licenses/by-nc/4.0/",
        "This is an open access article under the Creative Commons Attribution-NonCommercial "
        "License.",
    ),
    "CC BY-NC-ND": (
        "noncommercial",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
        "This is an open access article under the Creative Commons "
        "Attribution-NonCommercial-NoDerivatives License.",
    ),
    "TDM": ("other", "", "All rights reserved; text and data mining is permitted."),
}
WEIGHTS: Mapping[str, float] = {
    "CC BY": 0.62,
    "CC0": 0.05,
    "CC BY-NC": 0.15,
    "CC BY-NC-ND": 0.1,
    "TDM": 0.08,
}
FORMS = ("address", "prose", "statement", "none")


def licence(code: str) -> Licence:
    """What the metadata of such an article come to."""
    group, url, text = _KNOWN[code]
    return Licence(code, group, url, text)


def permissions(code: str, form: str, year: int) -> str:
    """The ``permissions`` element, or nothing.

    Args:
      form: one of :data:`FORMS`: a ``license`` with an address; with prose alone; the statement of
        copyright alone, which says the rest; or no element at all.
    """
    _, url, text = _KNOWN[code]
    if form == "none":
        return ""
    who = f"Copyright &#x000a9; {year} The Authors."
    if form == "statement":
        said = f"<copyright-statement>{who} {escape(text)}</copyright-statement>"
        return f"<permissions>{said}</permissions>"
    said = f"<copyright-statement>{who}</copyright-statement>"
    said += f"<copyright-year>{year}</copyright-year>"
    link = f' license-type="open-access" xlink:href="{url}"' if form == "address" and url else ""
    return (
        f"<permissions>{said}<license{link}><license-p>{escape(text)}</license-p></license>"
        "</permissions>"
    )
