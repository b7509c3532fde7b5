"""What an article may be used for, out of the four forms in which articles say it."""

import re
from typing import Any

from data_gen.pipelines.pubmed.base import Licence, LicenceGroup
from data_gen.pipelines.pubmed.jats.flow import plain

_HREF = "{http://www.w3.org/1999/xlink}href"
_COMMERCIAL = frozenset(("CC0", "CC BY", "CC BY-SA", "CC BY-ND"))
_NONCOMMERCIAL = frozenset(("CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND"))
#: The stricter of several licences holds.
_STRICT = ("CC0", "CC BY", "CC BY-SA", "CC BY-ND", "CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND")

_URL = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/(by(?:-[a-z]{2})*)|publicdomain/(zero|mark))", re.I
)
_SHORT = re.compile(r"\bCC[\s-]?(0\b|BY(?:[\s-]*(?:NC|ND|SA)\b)*)", re.I)
_LONG = re.compile(r"creative\s+commons\s+(?:public\s+domain|(.{0,120}?)licen[sc]e)", re.I | re.S)


def licence_of(meta: Any | None) -> Licence:
    """The licence of ``article-meta``.

    Read in this order: the address of the ``license`` element or of ``ali:license_ref``; an address
    or a name in its prose; its ``license-type``; the ``copyright-statement``. Of several licences
    the strictest holds. The public domain mark is no licence: its group is *other*.
    """
    if meta is None:
        return Licence()
    found = [_read(e) for e in meta.iter("license")]
    found += [_named(_from_url((e.text or "").strip()), e.text or "", "") for e in _refs(meta)]
    named = [one for one in found if one.code]
    if named:
        ranked = [one for one in named if one.code in _STRICT] or named
        best = max(ranked, key=lambda one: _STRICT.index(one.code) if one.code in _STRICT else 0)
        if not best.text:
            text = next((one.text for one in found if one.text), "")
            best = Licence(best.code, best.group, best.url, text)
        return best
    for tag in ("copyright-statement", "copyright-holder"):
        for element in meta.iter(tag):
            text = plain(element)
            code = _from_url(text) or _from_prose(text)
            if code:
                return _named(code, "", text)
    if found:
        return found[0]
    return Licence(text=plain(next(meta.iter("copyright-statement"), None)))


def group_of(code: str) -> LicenceGroup:
    """The group of a licence code as PMC writes it ("CC BY-NC", "CC0", "TDM", "")."""
    code = re.sub(r"[\s_]+", " ", code.strip().upper())
    code = "CC0" if code in ("CC0", "CC 0", "CC-0") else re.sub(r"^CC[- ]BY[- ]?", "CC BY-", code)
    code = code.rstrip("-")
    if code in _COMMERCIAL:
        return "commercial"
    return "noncommercial" if code in _NONCOMMERCIAL else "other"


def _refs(meta: Any) -> list[Any]:
    return [e for e in meta.iter("{*}license_ref") if e.tag.startswith("{")]


def _read(element: Any) -> Licence:
    text = plain(element)
    url = (element.get(_HREF) or "").strip()
    links = [e.get(_HREF) or e.text or "" for tag in ("ext-link", "uri") for e in element.iter(tag)]
    for address in (url, *links):
        if code := _from_url(address):
            return _named(code, address.strip(), text)
    code = _from_url(text) or _from_prose(text) or _from_prose(element.get("license-type") or "")
    return _named(code, url, text)


def _named(code: str, url: str, text: str) -> Licence:
    return Licence(code, group_of(code), url.strip(), text)


def _from_url(text: str) -> str:
    match = _URL.search(text)
    if match is None:
        return ""
    if match[2]:
        return "CC0" if match[2].lower() == "zero" else "public domain"
    return _code(match[1])


def _from_prose(text: str) -> str:
    if match := _SHORT.search(text):
        return "CC0" if match[1] == "0" else _code(match[1])
    if match := _LONG.search(text):
        return _code(match[1]) if match[1] is not None else "CC0"
    return "public domain" if re.search(r"public[\s-]domain", text, re.I) else ""


def _code(words: str) -> str:
    """Of "by-nc-nd", "BY NC", or "Attribution-NonCommercial-NoDerivatives 4.0 International"."""
    words = words.lower()
    code = "CC BY"
    if re.search(r"\bnc\b|non[\s-]*commercial", words):
        code += "-NC"
    if re.search(r"\bnd\b|no[\s-]*deriv", words):
        return code + "-ND"
    if re.search(r"\bsa\b|share[\s-]*alike", words):
        return code + "-SA"
    return code
