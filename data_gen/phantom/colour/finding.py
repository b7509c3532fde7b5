"""A finding as the colour modalities keep it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SEVERITIES = ("mild", "moderate", "severe")

Value = str | float


@dataclass(frozen=True)
class Finding:
    """One thing that a picture shows.

    Attributes:
      name: as labels name it.
      side: ``"left"``, ``"right"``, or ``""`` where sides mean nothing.
      zone: the place, in the words of a report; ``""`` for the whole picture.
      severity: one of :data:`SEVERITIES`.
      attributes: what else a report may say (strings) and what the renderer needs (numbers).
    """

    name: str
    side: str
    zone: str
    severity: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
