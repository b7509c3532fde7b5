"""Building HTML from strings: elements, escaping, numbers."""

import html
from collections.abc import Mapping
from typing import Any

#: Elements without a closing tag.
_VOID = {"img", "br", "hr", "meta", "input"}


def esc(value: Any) -> str:
    """Text that is safe inside an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def tag(name: str, *children: str, **attributes: Any) -> str:
    """One element. Children are markup already; attribute values are escaped.

    ``class_`` and ``for_`` lose their underscore, others turn it into a hyphen; ``None`` and
    ``False`` leave the attribute out, ``True`` writes its name alone.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.removesuffix("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{esc(value)}"')
    opened = f"<{' '.join(parts)}>"
    return opened if name in _VOID else f"{opened}{''.join(children)}</{name}>"


def number(value: float | None, digits: int = 3) -> str:
    """``0.873``; an en dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """``12,345``."""
    return "–" if value is None else f"{value:,.0f}"


def signed(value: float | None, digits: int = 3) -> str:
    """``+0.12`` or ``−0.12`` with a true minus sign."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def interval(part: Mapping[str, float | None], digits: int = 3, plus: bool = False) -> str:
    """Value and interval, the interval in smaller grey type; markup."""
    show = signed if plus else number
    text = tag("span", show(part["value"], digits), class_="num")
    if part.get("low") is None:
        return text
    ends = f"{show(part['low'], digits)} to {show(part['high'], digits)}"
    return f"{text} {tag('span', ends, class_='ci')}"


def plain(value: Any) -> str:
    """Any value as text: large whole numbers with commas, fractions with four digits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def facts(pairs: Mapping[str, Any]) -> str:
    """A list of names and values."""
    items = "".join(
        tag("div", tag("dt", esc(k)), tag("dd", esc(plain(v)))) for k, v in pairs.items()
    )
    return tag("dl", items, class_="facts")


def legend(**marks: str) -> str:
    """What the marks of a figure or a table mean: class of the mark -> words.

    Marks: ``value`` (dot with whiskers), ``rule`` (diamond), ``chance`` (bar), ``reference``
    (dashed upright), ``line``, ``dash``, ``faint``, ``mean`` (lines), ``dot``, ``band``, ``box``,
    ``box-dash``.
    """
    shown = (tag("span", tag("i", class_=f"swatch {k}"), esc(v)) for k, v in marks.items())
    return tag("p", *shown, class_="key small")


def empty(sentence: str) -> str:
    """What stands where there is nothing to show."""
    return tag("p", esc(sentence), class_="empty")
