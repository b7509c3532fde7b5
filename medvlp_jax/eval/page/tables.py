"""The tables of the report, each from the plain values of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.pages.charts import Mark, bar, roc_panel, whisker, whisker_axis
from medvlp_jax.pages.html import count, esc, interval, legend, number, table, tag

Entry = Mapping[str, Any]
AUC_DOMAIN = (0.3, 1.0)
#: With fewer positives or negatives, percentile intervals are too narrow to be believed.
FEW = 10


def th(text: str, **attributes: Any) -> str:
    return tag("th", text, scope="col", **attributes)


def td(text: str, **attributes: Any) -> str:
    return tag("td", text, **attributes)


def nth(text: str, **attributes: Any) -> str:
    """The head of a column of numbers."""
    return th(text, class_=f"n {attributes.pop('class_', '')}".strip(), **attributes)


def percent(entry: Entry) -> str:
    """``95 %``: the level of the intervals of this entry."""
    return f"{100 * entry['bootstrap']['level']:g} %"


def name_cell(text: str) -> str:
    return tag("th", esc(text), scope="row")


def counts_table(sets: Sequence[Entry]) -> str:
    """Records of every set, and how many of them have each label."""
    labels = list(dict.fromkeys(label for s in sets for label in s.get("labels", {})))
    head = [th("label"), *(nth(_set_name(s)) for s in sets)]
    total = [tag("th", "studies", scope="row")]
    total += [td(tag("b", count(s["records"])), class_="n") for s in sets]
    rows = [total]
    for label in labels:
        row = [name_cell(label)]
        for s in sets:
            of = s.get("labels", {}).get(label)
            if of is None:
                row.append(td("–", class_="n muted"))
                continue
            share = of["positive"] / max(s["records"], 1)
            doubt = f"{count(of['uncertain'])} unsure, " if of.get("uncertain") else ""
            text = f"{count(of['positive'])} {tag('small', f'{doubt}{100 * share:.0f} %')}"
            row.append(td(text + bar(share), class_="n"))
        rows.append(row)
    return table(head, rows, class_="counts")


def _set_name(one: Entry) -> str:
    """A set with its split below it, unless it is named after it."""
    name, split = str(one["name"]), str(one["split"])
    return esc(name) + (tag("small", esc(split)) if split and split != name else "")


def class_table(entry: Entry, rules: Mapping[str, Entry], differences: Mapping[str, Entry]) -> str:
    """Per class: AUC with interval beside the rules, AP, scores at the validation threshold.

    Args:
      entry: of a zero-shot model.
      rules: rule name -> entry of a baseline on the same set.
      differences: rule name -> paired comparison.
    """
    head = [
        th("class"),
        nth("pos."),
        nth("neg."),
        nth(f"AUC, {percent(entry)} interval"),
        th(whisker_axis(AUC_DOMAIN)),
        nth("AP"),
        *((nth("F1"), nth("sens."), nth("spec.")) if entry["threshold_rule"] else ()),
        nth("F1 oracle", class_="muted", title="best threshold on this very set: optimistic"),
        *((nth("minus best rule"),) if rules else ()),
    ]
    rows = []
    of_rule = {name: _by_name(r) for name, r in rules.items()}
    for row in entry["classes"]:
        cells = [
            name_cell(row["name"] + " *" * has_few(row)),
            td(count(row["positives"]), class_="n"),
            td(count(row["negatives"]), class_="n"),
        ]
        if row["auc"]["value"] is None:
            width = len(head) - 3
            why = "no positive" if not row["positives"] else "no negative"
            cells.append(td(f"undefined: {why}", colspan=width, class_="muted"))
            rows.append(cells)
            continue
        marks = [Mark(r[row["name"]]["auc"]["value"], "rule", name) for name, r in of_rule.items()]
        cells += [
            td(interval(row["auc"]), class_="n"),
            td(whisker(**row["auc"], domain=AUC_DOMAIN, marks=marks, reference=0.5)),
            td(number(row["ap"]["value"]), class_="n"),
        ]
        if entry["threshold_rule"]:
            cells += [
                td(number(row[m]["value"]), class_="n")
                for m in ("f1", "sensitivity", "specificity")
            ]
        cells.append(td(number(row["f1_oracle"]["value"]), class_="n muted"))
        if rules:
            best = max(of_rule, key=lambda name: of_rule[name][row["name"]]["auc"]["value"] or 0)
            part = differences[best]["classes"][row["name"]]
            cells.append(_difference(part, best, judge=not has_few(row)))
        rows.append(cells)
    rows.append(_macro_row(entry, rules, differences))
    return table(head, rows, class_="classes sortable")


def _macro_row(
    entry: Entry, rules: Mapping[str, Entry], differences: Mapping[str, Entry]
) -> list[str]:
    macro = entry["macro"]
    marks = [Mark(r["macro"]["auc"]["value"], "rule", name) for name, r in rules.items()]
    cells = [
        tag("th", f"macro mean of {len(macro['classes'])}", scope="row", class_="total"),
        td(""),
        td(""),
        td(interval(macro["auc"]), class_="n"),
        td(whisker(**macro["auc"], domain=AUC_DOMAIN, marks=marks, reference=0.5)),
        td(number(macro["ap"]["value"]), class_="n"),
    ]
    if entry["threshold_rule"]:
        cells += [
            td(number(macro[m]["value"]), class_="n") for m in ("f1", "sensitivity", "specificity")
        ]
    cells.append(td(number(macro["f1_oracle"]["value"]), class_="n muted"))
    if rules:
        best = best_rule(rules)
        cells.append(_difference(differences[best]["macro"], best))
    return cells


def rules_of(
    model: str, entry: Entry, results: Mapping[str, Any], of_kind: Mapping[str, Mapping[str, Entry]]
) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """The baselines that were compared with ``model``, and the comparisons, by rule."""
    rules, differences = {}, {}
    for comparison in results.get("comparisons", []):
        if comparison["model"] == model:
            other = of_kind["baseline"][comparison["other"]]
            rules[other["rule"]], differences[other["rule"]] = other, comparison
    return rules, differences


def has_few(row: Entry) -> bool:
    """Whether a defined class has too few records for its interval to be believed."""
    return 0 < min(row["positives"], row["negatives"]) < FEW


def best_rule(rules: Mapping[str, Entry]) -> str:
    """The rule with the largest macro AUC."""
    return max(rules, key=lambda name: rules[name]["macro"]["auc"]["value"] or 0)


def verdict(part: Mapping[str, float | None]) -> str:
    """``good`` where the interval of a gain lies above 0, ``bad`` below, ``open`` across."""
    low, high = part.get("low"), part.get("high")
    if low is None or high is None:
        return "open"
    return "good" if low > 0 else "bad" if high < 0 else "open"


def _difference(part: Mapping[str, float | None], rule: str, judge: bool = True) -> str:
    kind = verdict(part) if judge else "open"
    return td(interval(part, plus=True), class_=f"n {kind}", title=f"minus {rule}")


def _by_name(entry: Entry) -> dict[str, Entry]:
    return {row["name"]: row for row in entry["classes"]}


def rules_table(model: Entry, rules: Mapping[str, Entry], differences: Mapping[str, Entry]) -> str:
    """The model beside the rules, all scored by the same code on the same records."""
    head = [
        th("scored by"),
        nth(f"macro AUC, {percent(model)} interval"),
        th(whisker_axis(AUC_DOMAIN)),
        nth("macro AP"),
        nth("model minus rule, paired"),
    ]
    rows = [
        [
            tag("th", "zero-shot model", scope="row", class_="total"),
            td(interval(model["macro"]["auc"]), class_="n"),
            td(whisker(**model["macro"]["auc"], domain=AUC_DOMAIN, reference=0.5)),
            td(number(model["macro"]["ap"]["value"]), class_="n"),
            td(""),
        ]
    ]
    for name, rule in rules.items():
        rows.append(
            [
                name_cell(name),
                td(interval(rule["macro"]["auc"]), class_="n"),
                td(whisker(**rule["macro"]["auc"], domain=AUC_DOMAIN, reference=0.5)),
                td(number(rule["macro"]["ap"]["value"]), class_="n"),
                _difference(differences[name]["macro"], name),
            ]
        )
    return table(head, rows)


def roc_grid(entry: Entry, rules: Mapping[str, Entry]) -> str:
    """One small ROC chart per defined class, and what its lines are."""
    roc = entry.get("roc")
    if not roc:
        return ""
    panels = []
    for row in entry["classes"]:
        name, auc = row["name"], row["auc"]
        if auc["value"] is None:
            continue
        note = number(auc["value"], 2)
        if auc["low"] is not None:
            note += f" [{number(auc['low'], 2)}, {number(auc['high'], 2)}]"
        others = [(rule, e["roc"]["value"][name]) for rule, e in rules.items() if "roc" in e]
        panels.append(
            roc_panel(
                name, roc["false_positive_rate"],
                roc["value"][name], roc["low"][name], roc["high"][name], note, others,
            )
        )  # fmt: skip
    if not panels:
        return ""
    marks = {"line": "zero-shot model"}
    if entry["bootstrap"]["resamples"]:
        marks["band"] = f"its {percent(entry)} band"
    marks |= {"dash": f"rules without training: {', '.join(rules)}"} if rules else {}
    marks["mean"] = "chance"
    return tag("div", *panels, class_="rocs") + legend(**marks)


def groups_table(entry: Entry, rules: Mapping[str, Entry]) -> str:
    """Macro AUC in every subgroup, the rules as marks beside it."""
    head = [th("group"), nth("studies"), nth("classes"),
            nth(f"macro AUC, {percent(entry)} interval"),
            th(whisker_axis(AUC_DOMAIN)), nth("macro AP")]  # fmt: skip
    rows = []
    for column, groups in entry.get("subgroups", {}).items():
        for value, group in groups.items():
            marks = []
            for name, rule in rules.items():
                same = rule.get("subgroups", {}).get(column, {}).get(value)
                if same:
                    marks.append(Mark(same["macro"]["auc"]["value"], "rule", name))
            auc = group["macro"]["auc"]
            rows.append(
                [
                    name_cell(f"{column} {value}"),
                    td(count(group["records"]), class_="n"),
                    td(str(len(group["macro"]["classes"])), class_="n"),
                    td(interval(auc), class_="n"),
                    td(whisker(**auc, domain=AUC_DOMAIN, marks=marks, reference=0.5)),
                    td(number(group["macro"]["ap"]["value"]), class_="n"),
                ]
            )
    return table(head, rows) if rows else ""


def grounding_table(entry: Entry) -> str:
    """Pointing game beside its chance level and controls, and the overlap scores."""
    domain = (0.0, 1.0)
    at_validation = "dice" in entry["overall"]
    head = [th("class"), nth("pairs"), nth(f"pointing game, {percent(entry)} interval"),
            th(whisker_axis(domain)), nth("chance"),
            nth("other phrase", title="the same boxes under the maps of other phrases"),
            *((nth("prior", title="pointing where the class mostly is in the validation set"),)
              if at_validation else ()),
            nth("CNR"), nth("|CNR|"), nth("pixel AP"),
            *((nth("Dice"),) if at_validation else ()),
            nth("Dice oracle", class_="muted"),
            nth("mIoU", title="of maps rescaled to -1..1, cuts 0.1 to 0.5"),
            nth("raw mIoU", title="of the similarities themselves, cuts 0.1 to 0.5")]  # fmt: skip
    rows = []
    parts = [(row["name"], row["pairs"], row, "") for row in entry["classes"]]
    overall = entry["overall"]
    parts.append((f"all {entry['pairs']} pairs", entry["pairs"], overall, "total"))
    if "pointing_random" in overall:
        # Chance and the controls belong to the boxes or to the trained maps.
        untrained = {m: overall[f"{m}_random"] for m in overall if f"{m}_random" in overall}
        fixed = {m: overall[m] for m in ("pointing_chance",)}
        parts.append(("the same network untrained", entry["pairs"], untrained | fixed, ""))
    for name, pairs, part, kind in parts:
        cells = [
            tag("th", esc(name), scope="row", class_=kind or None),
            td(count(pairs), class_="n"),
        ]
        if not pairs:
            rows.append(
                [*cells, td("no region in this set", colspan=len(head) - 2, class_="muted")]
            )
            continue
        marks = [
            Mark(part[measure]["value"], mark, words)
            for measure, mark, words in (
                ("pointing_chance", "chance", "chance"),
                ("pointing_other_phrase", "rule", "other phrase"),
            )
            if measure in part
        ]
        measures = ["pointing_chance", "pointing_other_phrase"]
        measures += ["pointing_prior"] if at_validation else []
        measures += ["cnr", "cnr_absolute", "auprc", *(["dice"] if at_validation else [])]
        measures += ["dice_oracle", "miou", "miou_raw"]
        cells += [td(interval(part["pointing"]), class_="n"),
                  td(whisker(**part["pointing"], domain=domain, marks=marks))]  # fmt: skip
        cells += [
            td(
                number(part[m]["value"]) if m in part else "–",
                class_="n muted" if "oracle" in m else "n",
            )
            for m in measures
        ]
        rows.append(cells)
    return table(head, rows, class_="sortable dense")
