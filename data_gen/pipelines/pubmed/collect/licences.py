"""Licence codes as different tables write them, and the three groups of what they allow."""

import re

from data_gen.pipelines.pubmed.base import LicenceGroup
from data_gen.pipelines.pubmed.jats import licence

_CODE = re.compile(r"CC[ -]?BY(-NC)?(-SA|-ND)?|CC0")


def normal_code(code: str) -> str:
    """A licence code in the form of the field: "CC BY 4.0", "cc-by" and "CC-BY" are "CC BY".

    Codes that are none of Creative Commons come back as they are, without blanks around them.
    """
    plain = re.sub(r"\s+", " ", code).strip()
    upper = re.sub(r"\s*\d+(\.\d+)*$", "", plain.upper())
    if upper in ("CC0", "CC-0", "CC 0", "CC ZERO"):
        return "CC0"
    match = _CODE.fullmatch(upper)
    return f"CC BY{match[1] or ''}{match[2] or ''}" if match else plain


def group_of(code: str) -> LicenceGroup:
    """What a licence allows, by its code; unknown codes and "" are *other*."""
    return licence.group_of(normal_code(code))
