"""Free-text radiology reports: sections, and the marks that de-identification leaves."""

import re

from medvlp_jax.data.store.record import Text

# A heading is a line that begins with one blank: "\n FINDINGS: ". MIMIC-CXR reports and the
# sectioning script that is published with them (mit-lcp/mimic-cxr) agree on this form.
_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_MARKS = re.compile(r"_{2,}|\bX{3,}\b")
#: Headings that mean the same section.
_NAMES = {
    "finding": "findings",
    "findings and impression": "findings",
    "impressions": "impression",
    "conclusion": "impression",
    "comparisons": "comparison",
    "clinical indication": "indication",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "history": "indication",
    "clinical history": "indication",
}
LAST_PARAGRAPH = "last_paragraph"


def clean(text: str) -> str:
    """One line, single blanks; "" if nothing but de-identification marks and points is left.

    The marks (``___``, ``XXXX``) stay: what they hide is not known here.
    """
    line = " ".join(text.split())
    return line if re.search(r"\w", _MARKS.sub("", line)) else ""


def sections(report: str) -> dict[str, str]:
    """``{section: text}`` of a report, names in lower case; the last section of a name wins.

    What stands before the first heading is "preamble". ``last_paragraph`` is the last paragraph of
    the report, or of its last section, and is present for any report with words.
    """
    found: dict[str, str] = {}
    report = "\n" + report.replace("\r\n", "\n")
    headings = list(_HEADING.finditer(report))
    if preamble := clean(report[: headings[0].start()] if headings else report):
        found["preamble"] = preamble
    for i, heading in enumerate(headings):
        end = headings[i + 1].start() if i + 1 < len(headings) else len(report)
        name = " ".join(heading[1].lower().split())
        text = clean(report[heading.end() : end])
        if text:
            found[_NAMES.get(name, name)] = text
    paragraphs = [p for p in map(clean, re.split(r"\n\s*\n", report)) if p]
    if paragraphs:
        found[LAST_PARAGRAPH] = re.sub(r"^[A-Z ()/,-]+:\s+", "", paragraphs[-1])
    return found


def report_texts(report: str, min_words: int = 3) -> tuple[Text, ...]:
    """Findings, impression and indication; without the first two, the last paragraph as "report".

    Findings and impressions of fewer than ``min_words`` words are left out ("As above.").
    """
    parts = sections(report)

    def long_enough(names: tuple[str, ...]) -> list[tuple[str, str]]:
        found = [(name, parts.get(name, "")) for name in names]
        return [(name, text) for name, text in found if len(text.split()) >= min_words]

    kept = long_enough(("findings", "impression"))
    if not kept:
        kept = [("report", text) for _, text in long_enough((LAST_PARAGRAPH, "comparison"))[:1]]
    if kept and "indication" in parts:
        kept.append(("indication", parts["indication"]))
    return tuple(Text(text, name, "radiologist") for name, text in kept)
