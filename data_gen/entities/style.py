"""What a section of a report does not contain: traces of the model that wrote it, or of a person."""

import collections
import re

_PATTERNS = (
    (re.compile(r"\*\*|__|^\s*#|```|^\s*[-*•]\s", re.M), "write plain sentences without markdown"),
    (re.compile(r"\b(findings?|impressions?|conclusions?)\s*:", re.I), "no heading within a section"),
    (
        re.compile(r"\b(as an ai|language model|i am|i'm|i cannot|i have|sure,|certainly|here is the "
                   r"report|here's|please note|disclaimer)\b", re.I),
        "nothing about the writer",
    ),
    (
        re.compile(r"\b(compared? (?:to|with)|in comparison|comparison is made|since the (?:prior|previous)|"
                   r"prior (?:study|exam\w*|radiograph|film)s?|previous (?:study|exam\w*|radiograph|film)s?|"
                   r"interval (?:change|increase|decrease|improvement|development)|unchanged|"
                   r"(?:has|have) (?:improved|worsened|increased|decreased|resolved))\b", re.I),
        "no comparison with an earlier study",
    ),
    (
        re.compile(r"\b\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b|\b(?:19|20)\d\d-\d\d-\d\d\b|"
                   r"\b(?:january|february|march|april|june|july|august|september|october|november|"
                   r"december) \d", re.I),
        "no date",
    ),
    (
        re.compile(r"\b(?:Mr|Mrs|Ms|Dr)\.? [A-Z][a-z]+|\bMRN\b|patient name|date of birth"),
        "no person",
    ),
    (re.compile(r"_{2,}|\bX{3,}\b|\[[^\]]*\]|<[^>]*>|\{[^}]*\}"), "no placeholder"),
    (re.compile(r"\?"), "no question"),
)  # fmt: skip


def style_faults(text: str) -> tuple[str, ...]:
    """What is wrong with the style of a section, as instructions to its writer; each once."""
    faults = [why for pattern, why in _PATTERNS if pattern.search(text)]
    sentences = [s.strip().lower() for s in re.split(r"(?<=[.;])\s+", text) if s.strip()]
    counts = collections.Counter(s for s in sentences if len(s) > 3)
    if counts and counts.most_common(1)[0][1] > 1:
        faults.append("say nothing twice")
    return tuple(faults)
