"""Tables of a classifier beyond its ranking: at thresholds, as probabilities, one of several."""

from medvlp_jax.eval.page.entry import Entry, percent
from medvlp_jax.pages.html import count, esc, interval, number, tag
from medvlp_jax.pages.tables import interval_cell, name_cell, nth, table, td, th, value_cell

_AT = (("accuracy", "ACC"), ("balanced_accuracy", "balanced ACC"), ("mcc", "MCC"))
_ORACLES = (("f1_oracle", "F1"), ("accuracy_oracle", "ACC"), ("mcc_oracle", "MCC"))


def threshold_table(entry: Entry) -> str:
    """What a threshold makes of the scores: one from validation, and the oracle's beside it."""
    validated = bool(entry["threshold_rule"])
    head = [
        th("class"),
        *([nth("threshold"), nth(f"F1, {percent(entry)} interval")] if validated else ()),
        *(nth(words) for _, words in _AT if validated),
        *(
            nth(f"{words} oracle", class_="muted", title="best threshold on this very set")
            for _, words in _ORACLES
        ),
    ]
    rows = []
    for row in (*entry["classes"], entry["macro"] | {"name": "macro mean", "threshold": None}):
        if row["auc"]["value"] is None:
            continue
        cells = [name_cell(row["name"])]
        if validated:
            cells += [value_cell(row["threshold"]), interval_cell(row["f1"])]
            cells += [value_cell(row[m]["value"]) for m, _ in _AT]
        cells += [value_cell(row[m]["value"], class_="muted") for m, _ in _ORACLES]
        rows.append(cells)
    return table(head, rows, class_="sortable") if rows else ""


def calibration_table(entry: Entry) -> str:
    """How far calibrated probabilities can be believed; empty without validation data."""
    if not entry.get("calibration"):
        return ""
    head = [
        th("class"),
        nth(f"Brier, {percent(entry)} interval"),
        nth("of the prior", title="always saying how frequent the class is"),
        nth("ECE"),
        nth("slope"),
        nth("offset"),
    ]
    fit = entry["calibration"]
    rows = []
    for k, row in enumerate(entry["classes"]):
        if row["brier"]["value"] is None:
            continue
        rows.append(
            [
                name_cell(row["name"]),
                interval_cell(row["brier"]),
                value_cell(row["brier_prior"]["value"], class_="muted"),
                value_cell(row["ece"]["value"]),
                value_cell(fit["slope"][k]),
                value_cell(fit["offset"][k]),
            ]
        )
    return table(head, rows) if rows else ""


def multiway_block(entry: Entry) -> str:
    """Accuracy of the arg-max, and whom it takes for whom."""
    top1 = entry.get("top1")
    if not top1:
        return ""
    line = (
        f"Balanced accuracy over {count(top1['records'])} records with one class: "
        f"{interval(top1['balanced_accuracy'])}; accuracy {interval(top1['accuracy'])}; chance "
        f"{number(top1['chance'])}."
    )
    names = top1["confusion"]["classes"]
    counts = top1["confusion"]["counts"]
    head = [th("truth, rows; called, columns"), *(th(esc(n)) for n in names), th("recall")]
    rows = [
        [
            name_cell(name),
            *(
                td(
                    number(c, 0 if c == int(c) else 1),
                    class_="hit" if i == j else "none" if not c else None,
                )
                for j, c in enumerate(counts[i])
            ),
            value_cell(top1["recall"][name]["value"]),
        ]
        for i, name in enumerate(names)
    ]
    return (
        tag("h4", "One of several classes")
        + tag("p", line, class_="how")
        + table(head, rows, class_="matrix")
    )
