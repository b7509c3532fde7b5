"""The tables of the report, each from the plain values of results.json."""

from collections.abc import Mapping

from medvlp_jax.eval.page.entry import AUC_DOMAIN, Entry, best_rule, has_few, percent
from medvlp_jax.pages.html import esc, interval, number, tag
from medvlp_jax.pages.tables import (
    count_cell,
    interval_cell,
    name_cell,
    nth,
    table,
    td,
    th,
    value_cell,
    verdict,
)
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis


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
            count_cell(row["positives"]),
            count_cell(row["negatives"]),
        ]
        if row["auc"]["value"] is None:
            width = len(head) - 3
            why = "no positive" if not row["positives"] else "no negative"
            cells.append(td(f"undefined: {why}", colspan=width, class_="muted"))
            rows.append(cells)
            continue
        marks = [Mark(r[row["name"]]["auc"]["value"], "rule", name) for name, r in of_rule.items()]
        cells += [
            interval_cell(row["auc"]),
            td(whisker(**row["auc"], domain=AUC_DOMAIN, marks=marks, reference=0.5)),
            value_cell(row["ap"]["value"]),
        ]
        if entry["threshold_rule"]:
            cells += [value_cell(row[m]["value"]) for m in ("f1", "sensitivity", "specificity")]
        cells.append(value_cell(row["f1_oracle"]["value"], class_="muted"))
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
        interval_cell(macro["auc"]),
        td(whisker(**macro["auc"], domain=AUC_DOMAIN, marks=marks, reference=0.5)),
        value_cell(macro["ap"]["value"]),
    ]
    if entry["threshold_rule"]:
        cells += [value_cell(macro[m]["value"]) for m in ("f1", "sensitivity", "specificity")]
    cells.append(value_cell(macro["f1_oracle"]["value"], class_="muted"))
    if rules:
        best = best_rule(rules)
        cells.append(_difference(differences[best]["macro"], best))
    return cells


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
            interval_cell(model["macro"]["auc"]),
            td(whisker(**model["macro"]["auc"], domain=AUC_DOMAIN, reference=0.5)),
            value_cell(model["macro"]["ap"]["value"]),
            td(""),
        ]
    ]
    for name, rule in rules.items():
        rows.append(
            [
                name_cell(name),
                interval_cell(rule["macro"]["auc"]),
                td(whisker(**rule["macro"]["auc"], domain=AUC_DOMAIN, reference=0.5)),
                value_cell(rule["macro"]["ap"]["value"]),
                _difference(differences[name]["macro"], name),
            ]
        )
    return table(head, rows)


def groups_table(entry: Entry, rules: Mapping[str, Entry]) -> str:
    """Macro AUC in every subgroup, the rules as marks beside it."""
    head = [
        th("group"),
        nth("studies"),
        nth("classes"),
        nth(f"macro AUC, {percent(entry)} interval"),
        th(whisker_axis(AUC_DOMAIN)),
        nth("macro AP"),
    ]
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
                    count_cell(group["records"]),
                    td(str(len(group["macro"]["classes"])), class_="n"),
                    interval_cell(auc),
                    td(whisker(**auc, domain=AUC_DOMAIN, marks=marks, reference=0.5)),
                    value_cell(group["macro"]["ap"]["value"]),
                ]
            )
    return table(head, rows) if rows else ""


def metrics_table(entry: Entry) -> str:
    """Every number of an evaluation, with its interval where it has one."""
    metrics = entry["metrics"]
    rows = [
        [
            name_cell(name.replace("_", " ")),
            interval_cell(
                {"value": value, **{k: metrics.get(f"{name}_{k}") for k in ("low", "high")}}
            ),
        ]
        for name, value in metrics.items()
        if not name.endswith(("_low", "_high"))
    ]
    return table([th("measure"), nth(f"value, {percent(entry)} interval")], rows)


def grounding_table(entry: Entry) -> str:
    """Pointing game beside its chance level and controls, and the overlap scores."""
    domain = (0.0, 1.0)
    at_validation = "dice" in entry["overall"]
    head = [
        th("class"),
        nth("pairs"),
        nth(f"pointing game, {percent(entry)} interval"),
        th(whisker_axis(domain)),
        nth("chance"),
        nth("other phrase", title="the same boxes under the maps of other phrases"),
        *(
            (nth("prior", title="pointing where the class mostly is in the validation set"),)
            if at_validation
            else ()
        ),
        nth("CNR"),
        nth("|CNR|"),
        nth("pixel AP"),
        *((nth("Dice"),) if at_validation else ()),
        nth("Dice oracle", class_="muted"),
        nth("mIoU", title="of maps rescaled to -1..1, cuts 0.1 to 0.5"),
        nth("raw mIoU", title="of the similarities themselves, cuts 0.1 to 0.5"),
    ]
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
            count_cell(pairs),
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
        cells += [
            interval_cell(part["pointing"]),
            td(whisker(**part["pointing"], domain=domain, marks=marks)),
        ]
        cells += [
            td(
                number(part[m]["value"]) if m in part else "–",
                class_="n muted" if "oracle" in m else "n",
            )
            for m in measures
        ]
        rows.append(cells)
    return table(head, rows, class_="sortable dense")
