"""Sentences that are about every panel: scale bars, abbreviations, statistics, sources."""

import re

#: What a sentence at the end of a caption starts with, or holds, when it is about all panels.
_STARTS = re.compile(
    r"""[*†‡#§¶\s]*(?:
      scale\s*bars?|bars?\s*[,=:]|bars?\s+(?:represents?|indicates?|denotes?|shows?|are|is)
    | (?:original\s+)?magnifications?|(?:all\s+)?(?:×|x)\s?\d+
    | abbreviations?|keys?\s*:|legend|symbols?\s*:|note\b
    | (?:\w+\s+){0,2}(?:arrows|arrowheads|arrow\ heads|asterisks|stars|circles|triangles|lines|boxes
      |dots|squares|bars)\s+(?:\w+\s+){0,2}(?:indicate|show|point|mark|denote|represent|highlight|depict)
    | error\s+bars?|(?:colou?r|gr[ae]y)\s*(?:bars?|scales?|codes?)
    | (?:all|the)?\s*(?:data|values|results|numbers)\s+(?:are|were|represent|show|shown|at|from)
    | (?:all|both|each|these)\s+(?:of\s+the\s+)?(?:the\s+)?(?:\w+\s+)?
      (?:images?|panels?|scans?|sections?|slices?|figures?|photographs?|micrographs?|experiments?|groups?|graphs?)
    | in\s+(?:all|both|each)\s+\w+
    | (?:statistical|significan|representative\s+of|one-way|two-way|student|n\s*=|ns\b)
    | (?:[*†‡#§¶]+|ns|\*)\s*,?\s*[pP]\s*[<>=≤≥]|[pP]\s*[<>=≤≥]
    | (?:adapted|reproduced|modified|reprinted|redrawn|republished|taken|from\s+reference|courtesy
      |image\s+courtesy|images\s+courtesy|source|credit|copyright|©|https?:|doi)
    | \(?(?:for\s+interpretation|colou?r\s+(?:version|figure)|online)
    | (?:final|definitive|the)\s+(?:diagnosis|histology)
    )""",
    re.I | re.X,
)
_HOLDS = re.compile(
    r"(?:scale\s*bars?\s*[,=:]|mean\s*(?:±|\+/[-−]|\+-)|\bs\.?e\.?m\.?\b|original magnification)",
    re.I,
)
#: One of "RN, red nucleus; SN, substantia nigra", "LA indicates left atrium; LV, left ventricle".
_ABBREVIATION = re.compile(
    r"\s*(?:[A-Z][\w/+\-]{0,9}|[a-z]{1,4}[A-Z]?\w{0,3})\s*"
    r"(?:[,:=]|indicates|denotes|is|stands for)\s+\S[^=:]{2,60}$"
)
_ONE_ABBREVIATION = re.compile(
    r"\s*[A-Z][A-Za-z0-9]{0,7}\s*(?:=|:|,|indicates|denotes)\s+[a-z][a-z \-]{2,50}$"
)
#: Longer sentences are no list of abbreviations.
_LONGEST = 2000
#: A clause within a sentence from which on it is about all panels.
_CLAUSE = re.compile(r"[;,]\s*(?=(?:scale\s*bars?|original\s+magnification|bars?\s*[=:])\b)", re.I)


def is_common(sentence: str) -> bool:
    """Whether a sentence at the end of a caption speaks of all of it."""
    return bool(_STARTS.match(sentence) or _HOLDS.search(sentence) or _explains(sentence))


def _explains(sentence: str) -> bool:
    """Whether a sentence is a list of abbreviations."""
    if len(sentence) > _LONGEST:
        return False
    sentence = sentence.strip().rstrip(".")
    sign = "[;,]" if "=" in sentence and ";" not in sentence else ";"
    pieces = re.split(rf"{sign}\s*(?:and\s+)?", sentence)
    if len(pieces) == 1:
        return bool(_ONE_ABBREVIATION.match(sentence))
    return all(_ABBREVIATION.match(piece) for piece in pieces)


def common_clause(text: str, start: int, end: int) -> int:
    """Where in a stretch a clause about all panels starts; ``end`` for nowhere."""
    match = _CLAUSE.search(text, start, end)
    return match.end() if match else end
