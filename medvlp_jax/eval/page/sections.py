"""The sections of the page that show one kind of evaluation."""

from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.classes.reliability import reliability_grid
from medvlp_jax.eval.page.classes.roc import roc_grid
from medvlp_jax.eval.page.classes.scores import calibration_table, multiway_block, threshold_table
from medvlp_jax.eval.page.entry import FEW, Entry, has_few, intervals, percent, where
from medvlp_jax.eval.page.example_cards import answered_figures, wrong_figures
from medvlp_jax.eval.page.examples import Answered, WrongCall
from medvlp_jax.eval.page.heatmaps import heatmaps_of_set
from medvlp_jax.eval.page.shown import Shown
from medvlp_jax.eval.page.tables import (
    class_table,
    grounding_table,
    groups_table,
    metrics_table,
    rules_table,
)
from medvlp_jax.pages.html import count, esc, interval, legend, number, tag
from medvlp_jax.pages.tables import interval_cell, name_cell, nth, table, td, th
from medvlp_jax.pages.whiskers import Mark, whisker, whisker_axis


def _how(entry: Entry) -> str:
    """One sentence on where the numbers come from."""
    parts = []
    if "prompt_bank" in entry:
        joined = {
            "embeddings": "mean embedding",
            "unnormalised": "mean embedding before normalisation",
            "mean": "mean score",
            "max": "largest score",
        }[entry["ensemble"]]
        parts.append(
            f"protocol {esc(entry['protocol'])}, prompt bank {esc(entry['prompt_bank'])}, {joined} "
            "of the prompts"
        )
        if entry.get("models", 1) > 1:
            parts.append(f"mean of {entry['models']} checkpoints")
    if "subset" in entry:
        subset = entry["subset"]
        parts.append(
            f"{count(subset['per_class'])} records of each class alone out of "
            f"{count(subset['of'])}, drawn with seed {subset['seed']}"
        )
    if entry.get("threshold_rule"):
        rule = {"youden": "Youden", "max_f1": "largest F1", "max_mcc": "largest MCC"}[
            entry["threshold_rule"]
        ]
        parts.append(f"thresholds from {_validation(entry)} ({rule})")
    elif "threshold" in entry:
        parts.append(f"threshold {entry['threshold']:.2f} from {_validation(entry)}")
    if entry["bootstrap"]["resamples"]:
        parts.append(intervals(entry))
    said = "; ".join(parts)
    first = tag("p", f"{said[:1].upper()}{said[1:]}.", class_="how") if said else ""
    return first + "".join(tag("p", esc(note), class_="how note") for note in notes(entry))


def _validation(entry: Entry) -> str:
    """Where a threshold is from; a set that is named after its split is named once."""
    name, _, split = str(entry["validation"]).rpartition(", split ")
    return esc(where({"set": name or split, "split": split}))


def zeroshot_section(shown: Shown, name: str, entry: Entry) -> str:
    """One set: curves, tables, thresholds, probabilities, the worst errors, prompts."""
    rules, differences = shown.rules_of(name)
    wrong = shown.examples_of(WrongCall, entry)
    groups = groups_table(entry, rules)
    undefined = entry["macro"]["undefined"]
    remarks = []
    if undefined:
        names = esc(", ".join(undefined))
        remarks.append(f"Left out of the macro means, without a positive or a negative: {names}.")
    if any(map(has_few, entry["classes"])):
        remarks.append(
            f"* Fewer than {FEW} positives or negatives: the interval is narrower than what is "
            "known, and no difference is judged."
        )
    if entry.get("rule") == "pos_vs_neg" and entry["temperature"] == 1:
        remarks.append(
            "Scores are differences of two similarities without a temperature: they rank, and only "
            "a calibration makes probabilities of them."
        )
    calibration = calibration_table(entry)
    return "".join(
        [
            tag("h3", esc(where(entry))),
            _how(entry),
            roc_grid(entry, rules),
            class_table(entry, rules, differences),
            legend(**_marks(entry, bool(rules))),
            *(tag("p", note, class_="how") for note in remarks),
            tag("h4", "Beside rules that need no training") + rules_table(entry, rules, differences)
            if rules
            else "",
            multiway_block(entry),
            tag("details", tag("summary", "At a threshold"), threshold_table(entry)),
            tag(
                "details",
                tag("summary", "As probabilities, calibrated on validation"),
                tag("div", reliability_grid(entry), calibration, class_="inside"),
            )
            if calibration
            else "",
            tag("h4", "The surest errors") + wrong_figures(wrong) if wrong else "",
            tag("h4", "Subgroups") + groups if groups else "",
            _prompts(entry),
        ]
    )


def _marks(entry: Entry, rules: bool) -> dict[str, str]:
    """What the marks of a table of AUC mean."""
    interval = f"with its {percent(entry)} interval" if entry["bootstrap"]["resamples"] else ""
    kind = "zero-shot model" if entry["kind"] == "zeroshot" else "model"
    marks = {"value": f"AUC of the {kind} {interval}".strip()}
    marks |= {"rule": "AUC of a rule without training"} if rules else {}
    return marks | {"reference": "chance, 0.5"}


def _prompts(entry: Entry) -> str:
    rows = [
        [
            name_cell(c),
            td("<br>".join(map(esc, p["positive"]))),
            td("<br>".join(map(esc, p["negative"]))),
        ]
        for c, p in entry.get("prompts", {}).items()
    ]
    if not rows:
        return ""
    body = table([th("class"), th("affirming"), th("denying")], rows, class_="prompts")
    return tag("details", tag("summary", "The prompts"), body)


def retrieval_table(entry: Entry) -> str:
    """Recall at k in both directions beside chance."""
    domain = (0.0, 1.0)
    head = [
        th("direction"),
        th("measure"),
        nth(f"value, {percent(entry)} interval"),
        th(whisker_axis(domain)),
        nth("chance"),
    ]
    rows = []
    for key, words in (("image_to_text", "image → report"), ("text_to_image", "report → image")):
        for i, (measure, part) in enumerate(entry[key].items()):
            recall = measure.startswith("r@")
            chance = entry["chance"].get(measure)
            marks = [Mark(chance, "chance", "chance")]
            rows.append(
                [
                    *([tag("th", words, scope="row", rowspan=len(entry[key]))] if not i else ()),
                    td(esc(measure.replace("r@", "R@").replace("_", " "))),
                    interval_cell(part, 3 if recall else 1),
                    td(whisker(**part, domain=domain, marks=marks) if recall else ""),
                    td(number(chance) if recall else "", class_="n"),
                ]
            )
    return table(head, rows)


def retrieval_section(shown: Shown, name: str, entry: Entry) -> str:
    """Recall, and images with the reports that the model finds for them."""
    return (
        tag("h3", esc(where(entry)))
        + _how(entry)
        + retrieval_table(entry)
        + legend(value="recall, with its interval", chance="recall of a random order")
        + answered_figures(shown.examples_of(Answered, entry))
    )


def metrics_section(shown: Shown, name: str, entry: Entry) -> str:
    """The numbers of an evaluation that has no section of its own."""
    return tag("h3", esc(where(entry))) + _how(entry) + metrics_table(entry)


def grounding_section(shown: Shown, name: str, entry: Entry) -> str:
    """The scores of phrases against boxes, and the pictures of the set."""
    words = {
        "positive": "the affirming prompts of the class",
        "difference": "the affirming minus the denying prompts of the class",
        "contrast": "the affirming prompts of the class minus their mean over the classes",
        "phrases": "the words that the record gives its boxes",
    }[entry["query"]]
    maps = entry["maps"]
    unit = "patches" if maps["unit"] == "patches" else "of the side of the patch grid"
    smoothed = f"smoothed with a sigma of {maps['sigma']:g} {unit}, " if maps["sigma"] else ""
    asked = (
        f"Asked: {words}; {smoothed}{esc(maps['upsample'])} upsampling; compared with "
        f"{esc(entry['truth'])} at {maps['size']} pixels."
    )
    return (
        tag("h3", esc(where(entry)))
        + _how(entry)
        + tag("p", asked, class_="how")
        + grounding_table(entry)
        + _against_untrained(entry)
        + legend(
            value="pointing game, with its interval",
            chance="chance: area of the boxes",
            rule="the same boxes under other phrases",
        )
        + heatmaps_of_set(shown, entry.get("pictures_of", entry["set"]))
    )


def _against_untrained(entry: Entry) -> str:
    """One sentence: what training added, in paired differences."""
    words = {"pointing": "pointing game", "cnr": "CNR", "auprc": "pixel AP", "dice": "Dice"}
    gains = [
        f"{name} {interval(entry['overall'][f'{m}_gain_random'], plus=True)}"
        for m, name in words.items()
        if f"{m}_gain_random" in entry["overall"]
    ]
    if not gains:
        return ""
    said = f"Trained minus untrained, on the same resamples: {', '.join(gains)}."
    return tag("p", said, class_="how")
