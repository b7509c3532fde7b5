"""What is reviewed, and what the review says."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

Pixels = UInt8[np.ndarray, "y x"] | UInt8[np.ndarray, "y x 3"]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An image that may become part of a data set.

    Attributes:
      id: for messages; unique among those reviewed together.
      image: one channel, or RGB.
      text: what it is said to show; empty where nothing is said.
      labels: lower-case finding -> 1 there, 0 not there, -1 uncertain; as in a record.
      view: as in a record; empty counts as the one that the modality is laid out in.
    """

    id: str
    image: Pixels = dataclasses.field(repr=False)
    text: str = ""
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    view: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of one review.

    Attributes:
      accepted: no check objected.
      reasons: keys of :data:`data_gen.curation.reasons.REASONS`, in the order of the checks.
      scores: what was measured, by ``check/quantity``; finite numbers.
      embedding: float32, unit length; None where no encoder is used or the image was refused
        before one was asked.
    """

    accepted: bool
    reasons: tuple[str, ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    embedding: Float[np.ndarray, "d"] | None = dataclasses.field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Reasons and scores, the latter with four significant digits; not the embedding."""
        scores = {k: float(f"{v:.4g}") for k, v in self.scores.items()}
        return {"accepted": self.accepted, "reasons": list(self.reasons), "scores": scores}
