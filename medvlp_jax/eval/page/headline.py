"""The numbers at the top of the page, each beside what it has to beat."""

from typing import Any

from medvlp_jax.eval.page.entry import AUC_DOMAIN, Entry, best_rule, has_few, where
from medvlp_jax.eval.page.shown import Draw, Shown
from medvlp_jax.pages.html import count, empty, esc, legend, number, signed, tag
from medvlp_jax.pages.tables import verdict
from medvlp_jax.pages.whiskers import Mark, whisker

#: Sets with fewer records (or boxes) have no number at the top of the page.
FEW_RECORDS = 30


def headline(shown: Shown) -> str:
    """A card per evaluation of enough records; the other sets are named below."""
    cards, few, marks = [], {}, {"value": "the number, with its interval"}
    of_suites = {row["name"] for e in shown.of_kind.get("suite", {}).values() for row in e["sets"]}
    for kind, (draw, own_marks) in CARDS.items():
        for name, entry in shown.of_kind.get(kind, {}).items():
            if kind == "zeroshot" and entry["set"] in of_suites:
                continue  # the suite's card stands for its sets
            if _enough(entry):
                cards.append(draw(shown, name, entry))
                marks |= own_marks
            else:
                few[where(entry)] = f"{esc(where(entry))} ({_size(entry)})"
    if not any('class="mark b"' in card for card in cards):
        marks.pop("rule", None)  # nothing was compared with
    parts = [tag("div", *cards, class_="cards") + legend(**marks)] if cards else []
    if few:
        sets = ", ".join(few.values())
        words = (
            f"Too small for a number here: {sets}. What was measured on them stands further down."
        )
        parts.append(tag("p", words, class_="how"))
    return "".join(parts) or empty("Nothing was evaluated.")


def _size(entry: Entry) -> str:
    n = entry["pairs"] if "pairs" in entry else entry["records"]
    word = "finding with a box" if "pairs" in entry else "study" if n == 1 else "studies"
    return f"{count(n)} {word}"


def _enough(entry: Entry) -> bool:
    """Whether a set can carry a headline: enough records, and a class whose interval counts."""
    if (entry["pairs"] if "pairs" in entry else entry["records"]) < FEW_RECORDS:
        return False
    if entry["kind"] not in ("zeroshot", "classification"):
        return True
    return any(row["auc"]["value"] is not None and not has_few(row) for row in entry["classes"])


def _zeroshot(shown: Shown, name: str, entry: Entry) -> str:
    rules, differences = shown.rules_of(name)
    macro = entry["macro"]["auc"]
    marks = [Mark(r["macro"]["auc"]["value"], "rule", k) for k, r in rules.items()]
    line, kind = "", "open"
    if rules:
        best = best_rule(rules)
        gain = differences[best]["macro"]
        kind = verdict(gain)
        words = {"good": "above", "bad": "below", "open": "not shown to differ from"}[kind]
        line = (
            f"{words} the best rule without training ({esc(best)}, "
            f"{number(rules[best]['macro']['auc']['value'])}): {signed(gain['value'])}"
            f"{_ends(gain, signed)}"
        )
    classes = len(entry["macro"]["classes"])
    what = f"{_size(entry)}, {classes} class{'es' * (classes != 1)}"
    scale = whisker(**macro, domain=AUC_DOMAIN, marks=marks, reference=0.5, width=230)
    title = "Zero-shot macro AUC" if entry["kind"] == "zeroshot" else "Macro AUC"
    return _card(title, entry, macro, what, scale, line, kind)


def _grounding(shown: Shown, name: str, entry: Entry) -> str:
    overall = entry["overall"]
    gain = overall["pointing_gain"]
    marks = [Mark(overall["pointing_chance"]["value"], "chance", "chance")]
    scale = whisker(**overall["pointing"], domain=(0, 1), marks=marks, width=230)
    line = (
        f"chance is {number(overall['pointing_chance']['value'])}: "
        f"{signed(gain['value'])}{_ends(gain, signed)}"
    )
    if "pointing_random" in overall:
        untrained = overall["pointing_random"]
        line += f"; the same network untrained {number(untrained['value'])}"
        line += _ends(untrained, number)
    what = f"{count(entry['pairs'])} findings with a box"
    return _card("Pointing game", entry, overall["pointing"], what, scale, line, verdict(gain))


def _retrieval(shown: Shown, name: str, entry: Entry) -> str:
    measure = "r@5" if "r@5" in entry["image_to_text"] else next(iter(entry["chance"]))
    part, chance = entry["image_to_text"][measure], entry["chance"][measure]
    marks = [Mark(chance, "chance", "chance")]
    scale = whisker(**part, domain=(0, 1), marks=marks, width=230)
    what = f"{count(entry['records'])} reports, {count(entry['distinct_texts'])} distinct"
    kind = "good" if part["low"] is not None and part["low"] > chance else "open"
    line = f"chance is {number(chance)}"
    return _card(f"Image → report {measure.upper()}", entry, part, what, scale, line, kind)


def _reranked(shown: Shown, name: str, entry: Entry) -> str:
    both = entry["image_to_text"]
    measure = "r@5" if "r@5" in both["chance"] else next(iter(both["chance"]))
    part, chance, first = both[measure], both["chance"][measure], both[f"first_{measure}"]
    marks = [Mark(chance, "chance", "chance"), Mark(first["value"], "rule", "by cosine alone")]
    scale = whisker(**part, domain=(0, 1), marks=marks, width=230)
    what = f"{count(entry['records'])} images, {count(entry['distinct_texts'])} texts"
    gain = both[f"gain_{measure}"]
    line = (
        f"by cosine alone {number(first['value'])}: {signed(gain['value'])}{_ends(gain, signed)}; "
        f"chance is {number(chance)}"
    )
    title = f"Image → text {measure.upper()}, re-ranked"
    return _card(title, entry, part, what, scale, line, verdict(gain))


def _captioning(shown: Shown, name: str, entry: Entry) -> str:
    scores = entry["scores"]
    part, other = scores["rouge_l"], scores["rouge_l_commonest"]
    marks = [Mark(other["value"], "rule", "the commonest text")]
    scale = whisker(**part, domain=(0, 1), marks=marks, width=230)
    line = f"the commonest text for every image {number(other['value'])}"
    return _card("Captions, ROUGE-L", entry, part, _size(entry), scale, line, "open")


def _modality(shown: Shown, name: str, entry: Entry) -> str:
    top1 = entry["top1"]
    part, chance = top1["accuracy"], top1["chance"]
    marks = [Mark(chance, "chance", "chance")]
    scale = whisker(**part, domain=(0, 1), marks=marks, width=230)
    what = f"{_size(entry)}, {len(top1['recall'])} modalities"
    line = f"balanced accuracy {number(top1['balanced_accuracy']['value'])}; chance {chance:.3f}"
    return _card("Modality recognised", entry, part, what, scale, line, "open")


def _by_modality(shown: Shown, name: str, entry: Entry) -> str:
    part, each = entry["averages"]["modalities"], entry["parts"]
    scale = whisker(**part, domain=AUC_DOMAIN, reference=0.5, width=230)
    what = f"{_size(entry)}, mean of {len(each)} modalit{'ies' if len(each) > 1 else 'y'}"
    line = ", ".join(f"{esc(p['name'])} {number(p['macro']['auc']['value'])}" for p in each)
    return _card("Macro AUC within modalities", entry, part, what, scale, line, "open")


def _counterfactual(shown: Shown, name: str, entry: Entry) -> str:
    part = entry["ranked"]
    marks = [Mark(entry["chance"], "chance", "chance")]
    scale = whisker(**part, domain=(0, 1), marks=marks, width=230)
    what = f"{count(entry['compared'])} pairs that differ by one finding"
    kind = "good" if part["low"] is not None and part["low"] > entry["chance"] else "open"
    return _card("Pairs ranked right", entry, part, what, scale, "chance is 0.5", kind)


#: Evaluators that train -> title, where the headline stands in a level, its scale.
LEARNT: dict[str, tuple[str, tuple[str, ...], tuple[float, float]]] = {
    "probe": ("Linear probe, macro AUC", ("auc",), AUC_DOMAIN),
    "finetune": ("Fine-tuned, macro AUC", ("auc",), AUC_DOMAIN),
    "segmentation": ("Segmentation, Dice of positives", ("dice_positive", "macro"), (0, 1)),
    "detection": ("Detection, mAP", ("macro",), (0, 1)),
}


def _learnt(shown: Shown, name: str, entry: Entry) -> str:
    """The card of an evaluator that trains, at its largest share of the labels."""
    title, path, domain = LEARNT[entry["kind"]]
    level = max(entry["levels"], key=lambda e: e["fraction"])

    def of(start: str) -> Any:
        part = level[start]
        for key in path:
            part = part[key]
        return part

    first = "pretrained" if "pretrained" in level else "random"
    part, marks, line, verdict_ = of(first), [], "", "open"
    if "difference" in level:
        random, gain = of("random"), of("difference")
        marks = [Mark(random["value"], "rule", "random start")]
        verdict_ = verdict(gain)
        line = (
            f"the same network from random initialisation {number(random['value'])}"
            f"{_ends(random, number)}: {signed(gain['value'])}{_ends(gain, signed)}"
        )
    scale = whisker(part["value"], part["low"], part["high"], domain, marks, width=230)
    what = f"{count(entry['records'])} studies, {100 * level['fraction']:g} % of the labels"
    return _card(title, entry, part, what, scale, line, verdict_)


_BEATS = {"rule": "what it has to beat"}
_CHANCE = {"chance": "chance"}


def _predicted(shown: Shown, name: str, entry: Entry) -> str:
    """The card of a model that was trained on masks or boxes."""
    dice = entry["kind"] == "dice"
    part = entry["measures"]["dice_positive"]["macro"] if dice else entry["macro"]
    title = "Segmentation, Dice of positives" if dice else "Detection, mAP"
    scale = whisker(part["value"], part["low"], part["high"], (0, 1), width=230)
    return _card(title, entry, part, _size(entry), scale, "", "open")


def _suite(shown: Shown, name: str, entry: Entry) -> str:
    """The mean of a suite over its sets, with how many of them there are."""
    over = entry["means"]["over_sets"]
    measure = "auc" if over["accuracy"]["value"] is None else "accuracy"
    part = over[measure]
    scale = whisker(**part, domain=(0, 1), width=230)
    what = f"mean over {over['sets'][measure]} of {entry['of']} sets, {_size(entry)}"
    by_modality = entry["means"]["over_modalities"][measure]
    line = f"mean over the modalities {number(by_modality['value'])}{_ends(by_modality, number)}"
    word = "macro AUC" if measure == "auc" else "accuracy"
    return _card(f"Suite, zero-shot {word}", entry, part, what, scale, line, "open")


#: Kind of an evaluation -> its card, and what the marks of it mean, in page order.
CARDS: dict[str, tuple[Draw, dict[str, str]]] = {
    "suite": (_suite, {}),
    "zeroshot": (_zeroshot, _BEATS | {"reference": "an AUC of 0.5"}),
    "classification": (_zeroshot, {"reference": "an AUC of 0.5"}),
    "dice": (_predicted, {}),
    "average_precision": (_predicted, {}),
    "grounding": (_grounding, _CHANCE),
    "retrieval": (_retrieval, _CHANCE),
    "reranked": (_reranked, _BEATS | _CHANCE),
    "captioning": (_captioning, _BEATS),
    "gradcam": (_grounding, _CHANCE),
    "modality": (_modality, _CHANCE),
    "by_modality": (_by_modality, {"reference": "an AUC of 0.5"}),
    "counterfactual": (_counterfactual, _CHANCE),
    **dict.fromkeys(LEARNT, (_learnt, _BEATS)),
}


def _card(
    title: str, entry: Entry, part: Entry, what: str, scale: str, line: str, kind: str
) -> str:
    return tag(
        "article",
        tag("h3", esc(title)),
        tag("p", esc(f"{where(entry)}: {what}"), class_="what"),
        tag("p", tag("b", number(part["value"])), tag("span", _ends(part, number)), class_="big"),
        scale,
        tag("p", line, class_=f"line {kind}") if line else "",
        class_="card",
    )


def _ends(part: Entry, show: Any) -> str:
    return "" if part.get("low") is None else f" [{show(part['low'])}, {show(part['high'])}]"
