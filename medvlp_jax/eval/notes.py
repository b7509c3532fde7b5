"""What has to be said beside the numbers of an evaluation, and why some of them are missing.

``results.json`` holds no NaN: a number that cannot be measured is ``null`` where its table has a
place for it, and its reason stands in the same evaluation under ``not_measured``.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from medvlp_jax.eval.metrics.classify import CALIBRATED
from medvlp_jax.eval.metrics.scores import THRESHOLDED

_NEED_VALIDATION = {*THRESHOLDED, *CALIBRATED, "threshold", "reliability", "calibration"}
_ENDS = ("low", "high")
#: Keys that are empty because something was not asked for.
_OPTIONAL = ("validation", "threshold_rule", "patients", "calibration")
#: Parts of an entry that are settings, and curves, whose classes have a row of their own.
_LEFT_OUT = ("maps", "bootstrap", "roc")
_SHOWN = 8


def not_measured(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Reason -> the numbers of an evaluation that it explains, as paths (``classes/edema/auc``)."""
    out: dict[str, list[str]] = {}
    for path in _missing(entry, ()):
        if path[0] not in _LEFT_OUT and path[-1] not in _OPTIONAL:
            out.setdefault(_why(path, entry), []).append("/".join(path))
    return out


def _missing(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield path
    elif isinstance(value, Mapping):
        if "value" in value and not _known(value["value"]):
            yield path  # its ends are missing too, for the same reason
            return
        for key, inner in value.items():
            yield from _missing(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            named = isinstance(inner, Mapping) and "name" in inner
            yield from _missing(inner, (*path, str(inner["name"]) if named else str(number)))


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _why(path: tuple[str, ...], entry: Mapping[str, Any]) -> str:
    if path[-1] == "sd":
        return "one subset has no deviation"
    if entry.get("kind") == "suite" and path[-1] not in _ENDS:
        return "the records of these sets have several classes at once"
    if path[-1] in _ENDS:
        if not entry.get("bootstrap", {}).get("resamples"):
            return "no interval: bootstrap.resamples is 0"
        return "no interval is drawn for this measure, or no resample defines it"
    what = {part for step in path for part in step.split("/")}
    stem = {part.removesuffix("_macro").removesuffix("_macro_low").removesuffix("_macro_high")
            for part in what}  # fmt: skip
    for row in (*entry.get("classes", ()), *entry.get("masks", ())):
        if row["name"] in what and (reason := _class_reason(row)):
            return reason
    if stem & _NEED_VALIDATION:
        if not entry.get("validation"):
            return "no validation data: neither threshold nor calibration is taken from test data"
        return "the validation data lack a positive or a negative record of the class"
    if "recall" in what:
        return "no record has this class alone"
    if "subgroups" in path:
        return "the subgroup lacks a positive or a negative record of the class"
    return "no record of the set counts for it"


def _class_reason(row: Mapping[str, Any]) -> str:
    if "pairs" in row:
        return "" if row["pairs"] else f"no region of {row['name']!r} in this set"
    if "boxes" in row:
        return "" if row["boxes"] else f"no box of {row['name']!r} in this set"
    lacks = [word for word in ("positives", "negatives") if word in row and not row[word]]
    words = " and no ".join(word.removesuffix("s") for word in lacks)
    return f"no {words} record of {row['name']!r} in this set" if lacks else ""


def notes(entry: Mapping[str, Any]) -> list[str]:
    """Sentences that belong beside the numbers of an entry of ``results.json``."""
    said = _of_suite(entry) if entry.get("kind") == "suite" else []
    if entry.get("kind") == "few_shot":
        for level in entry["levels"]:
            if level["fewer"]:
                fewer = _listed(f"{name} {n}" for name, n in level["fewer"].items())
                said.append(f"At {level['shots']} a class, classes have fewer: {fewer}.")
        if entry["several_classes"]:
            said.append(f"{entry['several_classes']} test records have none or several classes.")
    if entry.get("depends_on_classes"):
        said.append(str(entry["depends_on_classes"]))
    if cut := entry.get("prompts_cut"):
        first = cut["longest"][0]
        said.append(
            f"{cut['count']} of {cut['of']} prompts are longer than the {cut['read']} tokens that "
            f"the text tower reads and were cut there, the longest with {first['tokens']}: "
            f"{first['prompt'][:80]!r}..."
        )
    if entry.get("texts_full"):
        said.append(
            f"{entry['texts_full']} of {entry['records']} texts fill all {entry['text_length']} "
            "tokens that are read of them; longer ones were cut there."
        )
    if entry.get("without_text"):
        said.append(f"{entry['without_text']} records have no text and were left out.")
    if left := entry.get("not_scored"):
        said.append("Not scored: " + _listed(f"{k} ({why})" for k, why in left.items()) + ".")
    rows = (*entry.get("classes", ()), *entry.get("masks", ()))
    reasons = dict.fromkeys(filter(None, map(_class_reason, rows)))
    if reasons:
        said.append("Not measured: " + _listed(reasons) + ".")
    return said


def _of_suite(entry: Mapping[str, Any]) -> list[str]:
    """What a mean over some of the sets has to say of the others."""
    said = []
    if entry["measured"] < entry["of"]:
        said.append(
            f"All means are over the {entry['measured']} of {entry['of']} sets that are here."
        )
    for key, words in (("absent", "No data folder"), ("left_out", "There, but not measured")):
        if entry[key]:
            said.append(f"{words} ({len(entry[key])}): {', '.join(entry[key])}.")
    for row in entry["sets"]:
        if row["without_record"]:
            said.append(f"{row['name']} has no record of {_listed(row['without_record'])}.")
    counted = entry["means"]["over_sets"]["sets"]
    if counted["accuracy"] < entry["measured"]:
        several = [row["name"] for row in entry["sets"] if row["accuracy"]["value"] is None]
        said.append(f"Without an accuracy, which means leave out: {', '.join(several)}.")
    if entry["few_shot"] and entry["without_few_shot"]:
        names = ", ".join(entry["without_few_shot"])
        said.append(f"Few labels were not measured on: {names} (no splits to learn from).")
    return said


def _listed(words: Any) -> str:
    words = list(words)
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more
