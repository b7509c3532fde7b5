"""What somebody asked for, by a list of findings or by labels, for the colour modalities."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from data_gen.phantom.colour.finding import Finding
from medvlp_jax.core.errors import UserError


def wanted_names(
    id: str,
    labels: Mapping[str, int],
    known: Sequence[str],
    others: Sequence[str],
) -> list[str]:
    """The findings that labels ask for, sorted.

    Args:
      known: names of findings.
      others: labels that are no findings.

    Raises:
      UserError: no labels, or unknown ones; the message names the request ``id``.
    """
    every = (*known, *others)
    if not labels:
        raise UserError(
            f"request {id} has a prompt only, and the phantom reads no prose: give labels "
            f"({', '.join(every)}), or use another back end"
        )
    asked = {name for name, value in labels.items() if value == 1}
    unknown = sorted(asked - set(every))
    if unknown:
        raise UserError(
            f"request {id}: the phantom cannot draw {', '.join(unknown)}; it knows "
            + ", ".join(every)
        )
    return sorted(asked & set(known))


def check_together(
    id: str,
    findings: Sequence[Finding],
    compatible: Callable[[Finding, Finding], bool],
    most: int,
) -> None:
    """Refuses findings that one picture cannot show.

    Raises:
      UserError: too many, or two that exclude each other; the message names the request ``id``.
    """
    if len(findings) > most:
        raise UserError(f"request {id} lists {len(findings)} findings; the phantom draws {most}")
    for a, b in itertools.combinations(findings, 2):
        if not compatible(a, b):
            raise UserError(f"request {id}: {a.name} and {b.name} cannot be seen in one picture")
