"""How panels and parts of a caption are matched."""

import dataclasses
from typing import Literal

from medvlp_jax.core.fields import Fraction


@dataclasses.dataclass(frozen=True)
class MatchConfig:
    """When a label counts as read, and what becomes of what no label settles.

    Attributes:
      read_at: least score of a label that pairs its panel with a part.
      sure_at: least score of a label that is believed against the reading order, or alone against
        the count of panels.
      order_weight: how much the reading order says where two panels read one label.
      fill: pairs panels without a label with parts in reading order, where their counts agree.
      unmatched: what becomes of a compound figure of which nothing was paired: ``reject`` its
        panels and parts, or pair the ``whole_figure`` with the whole caption. Either is said.
    """

    read_at: Fraction = 0.3
    sure_at: Fraction = 0.75
    order_weight: Fraction = 0.15
    fill: bool = True
    unmatched: Literal["reject", "whole_figure"] = "reject"
