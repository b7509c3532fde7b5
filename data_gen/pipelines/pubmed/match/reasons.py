"""Why a pair holds, or why it does not: the words that pairs, rejects and pages use.

A reason is one of these, alone or followed by a colon and what helps to understand it.
"""

LABEL = "label read"
SUB_LABEL = "sub-label read"
AGAINST_ORDER = "label read against the reading order"
POSITION = "position words"
COUNTS_AGREE = "counts agree, no label read"
BETWEEN = "in order between labels"
LAST_LEFT = "the last panel and the last part"
ONE_PANEL = "one panel"
NO_PANELS = "no panel found"
NO_PARTS = "the caption names no panel"
NOTHING_PAIRED = "nothing could be paired"
BY_HAND = "corrected by a person"

NO_CAPTION = "no caption"
NO_PANEL = "no panel for the label"
NO_LABEL = "no label of the caption was read in the panel"
OTHER_LABEL = "the panel reads a label that the caption does not name"
COUNTS_DIFFER = "counts of panels and parts differ"
DOUBTFUL = "the label contradicts the order and is not sure"
NO_SUCH_POSITION = "no panel at the position"
UNKNOWN_POSITION = "position words that are not known"

#: Reason -> what it means, in the words of a page.
MEANINGS: dict[str, str] = {
    LABEL: "the label printed in the panel is that of the part",
    SUB_LABEL: "the panel reads A1, A2, ...; the caption has one part A for all of them",
    AGAINST_ORDER: "panels are not in the order of their labels; the labels were believed",
    POSITION: "the caption says left, upper right, ..., and the panel lies there",
    COUNTS_AGREE: "as many panels as parts, paired in reading order",
    BETWEEN: "as many panels as parts between two labels that were read, paired in order",
    LAST_LEFT: "all others were paired by label, out of order",
    ONE_PANEL: "a figure of one panel goes with its whole caption",
    NO_PANELS: "the separator found nothing; the figure goes with its whole caption",
    NO_PARTS: "a caption of one piece goes with the whole figure",
    NOTHING_PAIRED: "neither labels nor order settle it; the config wants the whole figure then",
    BY_HAND: "a person set or confirmed it",
    NO_CAPTION: "the figure has no caption",
    NO_PANEL: "no panel reads the label, and the order does not say which one has it",
    NO_LABEL: "the panel reads no label, and the order does not say which part it belongs to",
    OTHER_LABEL: "the label was read surely, and no part of the caption has it",
    COUNTS_DIFFER: "the order cannot say which panel belongs to which part",
    DOUBTFUL: "label and order disagree, and the label is not sure enough to be believed alone",
    NO_SUCH_POSITION: "the panels do not lie as the caption's words say",
    UNKNOWN_POSITION: "the part is about a place that the rules cannot find",
}


def said(reason: str, detail: str = "") -> str:
    """A reason with its detail."""
    return f"{reason}: {detail}" if detail else reason


def kind(reason: str) -> str:
    """The reason without its detail, for counting."""
    return reason.partition(": ")[0]
