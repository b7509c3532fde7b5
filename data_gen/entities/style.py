"""What a section of a report does not contain: traces of its writer, of the past, of a person."""

import collections
import re

_WRITER = (
    r"\b(as an ai|language model|i am|i'm|i cannot|i have|sure,|certainly|here is the report|"
    r"here's|please note|disclaimer)\b"
)
_EARLIER = (
    r"\b(compared? (?:to|with)|in comparison|comparison is made|since the (?:prior|previous)|"
    r"(?:prior|previous) (?:study|exam\w*|radiograph|film)s?|unchanged|"
    r"interval (?:change|increase|decrease|improvement|development)|"
    r"(?:has|have) (?:improved|worsened|increased|decreased|resolved))\b"
)
_MONTHS = (
    "january|february|march|april|june|july|august|september|october|november|december"  # not "may"
)
_DATE = rf"\b\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}\b|\b(?:19|20)\d\d-\d\d-\d\d\b|\b(?:{_MONTHS}) \d"
_PATTERNS = tuple(
    (re.compile(pattern, flags), why)
    for pattern, flags, why in (
        (r"\*\*|__|^\s*#|```|^\s*[-*•]\s", re.M, "write plain sentences without markdown"),
        (r"\b(findings?|impressions?|conclusions?)\s*:", re.I, "no heading within a section"),
        (_WRITER, re.I, "nothing about the writer"),
        (_EARLIER, re.I, "no comparison with an earlier study"),
        (_DATE, re.I, "no date"),
        (r"\b(?:Mr|Mrs|Ms|Dr)\.? [A-Z][a-z]+|\bMRN\b|patient name|date of birth", 0, "no person"),
        (r"_{2,}|\bX{3,}\b|\[[^\]]*\]|<[^>]*>|\{[^}]*\}", 0, "no placeholder"),
        (r"\?", 0, "no question"),
    )
)


def style_faults(text: str) -> tuple[str, ...]:
    """What is wrong with the style of a section, as instructions to its writer; each once."""
    faults = [why for pattern, why in _PATTERNS if pattern.search(text)]
    sentences = [s.strip().lower() for s in re.split(r"(?<=[.;])\s+", text) if s.strip()]
    counts = collections.Counter(s for s in sentences if len(s) > 3)
    if counts and counts.most_common(1)[0][1] > 1:
        faults.append("say nothing twice")
    return tuple(faults)
