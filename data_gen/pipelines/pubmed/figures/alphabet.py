"""The questions that the reader answers about a glyph: which sign it is, and whether a capital."""

#: Signs, letters without their case. A glyph that is none of them is rejected.
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789()."
UPPER = "upper case"
#: Letters whose capital has the same form, so that a glyph alone does not tell.
SAME_FORM = frozenset("cosuvwxzkp")
#: Names of the reader's classes, in the order of its answers.
CLASSES: tuple[str, ...] = (*SIGNS, UPPER)


def labels_of(sign: str) -> dict[str, int]:
    """The labels of a glyph in a record: every sign is judged, the case where the form tells.

    Args:
      sign: what the glyph is, with its case; "" for none of :data:`SIGNS`.
    """
    low = sign.lower()
    out = {one: int(one == low) for one in SIGNS}
    if low.isalpha() and low not in SAME_FORM:
        out[UPPER] = int(sign.isupper())
    return out
