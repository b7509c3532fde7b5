"""What an evaluation's entry in results.json says: plain values, read by the sections."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.pages.html import count

Entry = Mapping[str, Any]
AUC_DOMAIN = (0.3, 1.0)
#: With fewer positives or negatives, percentile intervals are too narrow to be believed.
FEW = 10


def where(entry: Entry) -> str:
    """The set and its split; a set that is named after its split is named once."""
    name, split = str(entry["set"]), str(entry["split"])
    return name if name == split or not split else f"{name}, {split}"


def percent(entry: Entry) -> str:
    """``95 %``: the level of the intervals of this entry."""
    return f"{100 * entry['bootstrap']['level']:g} %"


def intervals(entry: Entry) -> str:
    """``95 % intervals from 1,000 bootstrap resamples of 120 patients``."""
    b = entry["bootstrap"]
    by_patient = b.get("patients") and b["by_patient"]
    unit = f"{count(b['patients'])} patients" if by_patient else "records"
    return f"{percent(entry)} intervals from {count(b['resamples'])} bootstrap resamples of {unit}"


def has_few(row: Entry) -> bool:
    """Whether a defined class has too few records for its interval to be believed."""
    return 0 < min(row["positives"], row["negatives"]) < FEW


def best_rule(rules: Mapping[str, Entry]) -> str:
    """The rule with the largest macro AUC."""
    return max(rules, key=lambda name: rules[name]["macro"]["auc"]["value"] or 0)
