"""What a review leads to, seen as a whole: the bad set's neighbours and near-duplicates go too."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_gen.curation.duplicates import near_duplicates, unit
from data_gen.curation.reasons import DUPLICATE, LIKE_BAD
from data_gen.curation.review import Reviewed
from data_gen.phantom.registry import PHANTOMS
from medvlp_jax.core.errors import UserError

#: Splits whose copy is kept, before all others: a test study must not be learnt from.
HELD_OUT = ("test", "validation", "valid", "val")
_ROWS = 4096
_JUDGED = {q.reason for phantom in PHANTOMS.values() for q in phantom.review.questions}


@dataclasses.dataclass(frozen=True)
class Drop:
    """Why an image goes.

    Attributes:
      stage: ``images``, ``bad set`` or ``duplicates``.
      reasons: see :mod:`data_gen.curation.reasons`.
      detail: which image it is like, where it is like one.
      scores: what was found here, beside those of the verdict.
    """

    stage: str
    reasons: tuple[str, ...]
    detail: str = ""
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)


def decide(
    lines: Sequence[Reviewed], bad_above: float = 1.0, same_above: float = 1.0
) -> dict[str, Drop]:
    """Id of each image that goes -> why.

    1. What a check refused goes. 2. What the judge said no to is the bad set of this folder (the
    curation of SynCXR): images with a cosine above ``bad_above`` to any of it go. 3. Of images
    more alike than ``same_above`` the first stays, held-out splits before the others.

    Args:
      lines: of all splits, with distinct ids.
      bad_above, same_above: cosines; 1 switches the step off.

    Raises:
      UserError: an id occurs twice.
    """
    if len({one.id for one in lines}) < len(lines):
        raise UserError("two images of the folder have one id; import it again with unique ids")
    drops = {one.id: Drop("images", one.reasons) for one in lines if one.reasons}
    left = [one for one in lines if one.id not in drops and one.embedding is not None]
    bad = [one for one in lines if one.embedding is not None and _JUDGED.intersection(one.reasons)]
    if bad_above < 1 and bad and left:
        drops |= _like_bad(left, bad, bad_above)
        left = [one for one in left if one.id not in drops]
    if same_above < 1 and left:
        left.sort(key=lambda one: _rank(one.split))  # stable: the folder's order within a split
        rows = np.stack([one.embedding for one in left if one.embedding is not None])
        for name, kept in near_duplicates(rows, [one.id for one in left], same_above).items():
            drops[name] = Drop("duplicates", (DUPLICATE,), f"like {kept}")
    return drops


def _rank(split: str) -> int:
    return HELD_OUT.index(split) if split in HELD_OUT else len(HELD_OUT)


def _like_bad(left: Sequence[Reviewed], bad: Sequence[Reviewed], above: float) -> dict[str, Drop]:
    wrong = unit(np.stack([one.embedding for one in bad if one.embedding is not None]))
    found = {}
    for start in range(0, len(left), _ROWS):
        part = left[start : start + _ROWS]
        rows = unit(np.stack([one.embedding for one in part if one.embedding is not None]))
        cosines = np.round(rows @ wrong.T, 9)
        for one, row in zip(part, cosines, strict=True):
            if row.max() > above:
                nearest = bad[int(row.argmax())].id
                score = {"bad/cosine": float(row.max())}
                found[one.id] = Drop("bad set", (LIKE_BAD,), f"like {nearest}", score)
    return found
