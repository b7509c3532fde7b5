"""Reports against the truth, read by a scan that knows nothing of the grammar."""

import hashlib
import itertools
import os
import re
import statistics
import subprocess
import sys

import pytest

from data_gen.phantom.chest_xray.draw import make_device, make_finding
from data_gen.phantom.chest_xray.findings import (
    DEVICES,
    FINDING_NAMES,
    SPECS,
    SUPPORT_DEVICES,
    Finding,
    Study,
)
from data_gen.phantom.chest_xray.sample import sample_study, stream
from data_gen.phantom.chest_xray.words.report import STYLES, grammar, write_report
from data_gen.phantom.grammar import Chooser, Grammar, listing, sentence, tidy

# What a reader with a short word list would take each label for.
TERMS = {
    "cardiomegaly": r"cardiomegaly|enlarged (?:heart|cardiac silhouette)|cardiac enlargement"
    r"|enlargement of the (?:heart|cardiac silhouette)"
    r"|(?:heart|cardiac silhouette)(?: is| appears)? (?:\w+ly )?enlarged"
    r"|(?:heart size|diameter of the heart)(?: is)?(?: \w+ly)? increased",
    "pleural effusion": r"effusions?|pleural fluid",
    "pneumothorax": r"pneumothorax",
    "consolidation": r"consolidat(?:ion|ed)",
    "pneumonia": r"pneumonia|bronchopneumonia|infiltrates?|infect\w+",
    "atelectasis": r"atelectasis|collapsed?|volume loss",
    "edema": r"edema|vascular congestion|kerley b lines",
    "nodule": r"nodules?|nodular (?:opacity|density)",
    "mass": r"mass|mass-like opacity|mass lesion",
    "fracture": r"fractures?|bony abnormality",
    "emphysema": r"emphysema\w*|hyperinflat\w+",
    SUPPORT_DEVICES: r"tubes?|lines?(?! at)|PICC|catheter|drain|pacemaker|(?:ECG|monitoring) leads"
    r"|wires|support devices",
}
OPACITIES = {"consolidation", "pneumonia", "atelectasis", "edema", "nodule", "mass"}
OPACITY = r"opacit(?:y|ies)|opacification"
NORMAL = {
    r"(?<!otherwise )(?:lungs (?:are |appear )?clear|clear lungs)": OPACITIES | {"emphysema"},
    r"(?:normal|not enlarged|unremarkable).*(?:cardiac|heart)|(?:heart|cardi\w+)[^;]*"
    r"(?:normal|not enlarged|unremarkable)": {"cardiomegaly"},
    r"(?<!remaining )(?<!other )(?:bones|structures|ribs|thorax)[^;]*(?:intact|unremarkable)": {
        "fracture"
    },
    r"(?<!left )(?<!right )costophrenic[^;]*(?:sharp|clear|preserved)|pleura\w*(?: spaces)?"
    r"(?: are| is)? (?:clear|unremarkable)": {"pleural effusion"},
    r"normal chest radiograph|normal frontal|normal examination|unremarkable chest|"
    r"no acute (?!bony|fracture)|no active disease|no radiographic abnormality": set(FINDING_NAMES)
    - {SUPPORT_DEVICES},
}
NEGATION = re.compile(r"\b(?:no|without|neither|not)\b")
HEDGE = re.compile(r"possib|probab|suspect|likely|may|could|suggest|suspicious|not excluded")
BOTH = re.compile(r"\b(?:bilateral(?:ly)?|both|bibas\w+|bilateral)\b")
ZONELESS = re.compile(r"lines? (?:at|and tubes)|pleural line|kerley b lines|septal lines", re.I)


def clauses(text: str) -> list[str]:
    text = re.sub(r"(?m)^\d\. |(?<=\. )\d\. ", "", text)
    text = re.sub(r"\b(?:SUPPORT DEVICES|LINES/TUBES|Lines and tubes|Devices):", "", text)
    return [c.strip() for c in re.split(r"\.(?:\s|$)|;|\n", text) if c.strip()]


def scan(text: str) -> tuple[dict[str, list[str]], set[str], set[str]]:
    """``(label -> clauses that affirm it, labels denied, labels affirmed without a hedge)``."""
    affirmed: dict[str, list[str]] = {}
    denied: set[str] = set()
    certain: set[str] = set()
    for clause in clauses(text):
        low = ZONELESS.sub("", clause)
        match = NEGATION.search(low.lower())
        if match and low.lower()[match.start() :].startswith(("not excluded", "not enlarged")):
            match = None
        start = match.start() if match else len(low)
        for label, term in TERMS.items():
            for hit in re.finditer(rf"\b(?:{term})\b", low, re.IGNORECASE):
                if hit.start() > start:
                    denied.add(label)
                    continue
                affirmed.setdefault(label, []).append(clause)
                if not HEDGE.search(low.lower()):
                    certain.add(label)
        for hit in re.finditer(rf"\b(?:{OPACITY})\b", low, re.IGNORECASE):
            if hit.start() > start:
                denied |= OPACITIES
            else:
                affirmed.setdefault("opacity", []).append(clause)
        for pattern, labels in NORMAL.items():
            if re.search(pattern, clause, re.IGNORECASE):
                denied |= labels
    return affirmed, denied, certain


def truth_sides(study: Study, implied: bool = True) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for f in study.findings:
        names = [f.name]
        if implied and f.name == "pneumonia" and f.attributes.get("pattern") == "lobar":
            names.append("consolidation")
        for name in names:
            two = {"left", "right"} if f.side == "bilateral" else {f.side}
            sides.setdefault(name, set()).update(two - {""})
    return sides


def contradictions(study: Study, text: str) -> list[str]:
    labels = study.labels()
    affirmed, denied, certain = scan(text)
    wrong = [f"denies {name}" for name in denied if labels[name] != 0]
    for name in affirmed:
        if name == "opacity":
            if not any(labels[x] for x in OPACITIES) and "veil" not in text:
                wrong.append("speaks of an opacity")
        elif labels[name] == 0 or (labels[name] == -1 and name in certain):
            wrong.append(f"affirms {name}")
    sides = truth_sides(study)
    for name, said in affirmed.items():
        if name in ("opacity", SUPPORT_DEVICES, "cardiomegaly", "edema", "emphysema"):
            continue
        for clause in said:
            for phrase in re.split(r" and | with |,", clause):
                if not re.search(rf"\b(?:{TERMS[name]})\b", phrase, re.IGNORECASE):
                    continue
                heard = set(re.findall(r"\b(left|right)\b", phrase.lower()))
                if BOTH.search(phrase.lower()):
                    heard = {"left", "right"}
                if labels[name] == 1 and heard - sides.get(name, set()):
                    wrong.append(f"{name} on the {heard} in {clause!r}")
    return wrong


@pytest.fixture(scope="module")
def pairs():
    studies = [sample_study(11, i) for i in range(2000)]
    return [(s, write_report(s, 11, s.index)) for s in studies]


def test_no_report_contradicts_its_study(pairs):
    bad = []
    for study, report in pairs:
        for text in (report.findings, report.impression):
            found = contradictions(study, text)
            if found:
                bad.append((study.index, found, text))
    assert not bad, f"{len(bad)} of {len(pairs)}: {bad[:3]}"


def test_scan_can_fail(pairs):
    """The scan finds a report of another study, swapped sides, and flipped negations."""
    swap = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    other = flipped = sided = lateral = negated = 0
    for (study, report), (_, foreign) in itertools.pairwise(pairs[:501]):
        other += bool(contradictions(study, foreign.findings))
        turned = re.sub(
            r"\b([Ll]eft|[Rr]ight)\b(?! heart| atrium)", lambda m: swap[m[0]], report.findings
        )
        one_side = {"pleural effusion", "pneumothorax", "nodule", "mass", "consolidation"}
        if any(f.name in one_side and f.side in ("left", "right") for f in study.findings):
            lateral += 1
            sided += bool(contradictions(study, turned))
        if re.search(r"\b[Nn]o (?!prior|earlier|lines|support|infect)", report.findings):
            negated += 1
            flipped += bool(contradictions(study, re.sub(r"\b[Nn]o ", "", report.findings)))
    assert other > 350
    assert lateral > 100
    assert sided > 0.8 * lateral
    assert flipped > 0.9 * negated


def test_every_finding_is_reported_with_its_side(pairs):
    for study, report in pairs:
        affirmed, _, _ = scan(report.findings)
        # Without the consolidation that a lobar pneumonia implies: it may go unnamed.
        for name, sides in truth_sides(study, implied=False).items():
            said = " ".join(affirmed.get(name, affirmed.get("opacity", []))).lower()
            assert said, (study.index, name, report.findings)
            if name in (SUPPORT_DEVICES, "edema", "emphysema"):
                continue
            if BOTH.search(said) or "lingula" in said or "diffuse" in said:
                continue
            assert sides <= set(re.findall("left|right", said)), (study.index, name, said)


def test_impression_leads_with_the_gravest(pairs):
    for study, report in pairs:
        ill = {f.name for f in study.findings} - {SUPPORT_DEVICES}
        affirmed, _, _ = scan(report.impression)
        first = clauses(report.impression)[0].lower()
        if not ill:
            assert not set(affirmed) - {SUPPORT_DEVICES}, report.impression
            continue
        assert set(affirmed) & ill, report.impression
        if "pneumothorax" in ill:
            assert "pneumothorax" in first or "mass" in first or "edema" in first, first


def test_variety_and_length(pairs):
    texts = [r.findings for _, r in pairs]
    assert len(set(texts)) >= 0.95 * len(texts)
    words = [len(t.split()) for t in texts]
    assert 40 <= statistics.mean(words) <= 70
    assert max(words) < 150
    assert min(words) >= 4
    impressions = {r.impression for _, r in pairs}
    assert len(impressions) > 0.5 * len(pairs)
    normal = {r.impression for s, r in pairs if s.labels()["no finding"] and not s.findings}
    assert len(normal) >= 8
    assert sum(bool(re.match(r"1\. ", r.impression)) for _, r in pairs) > 100
    assert sum("HEART" in t for t in texts) > 100
    assert sum(bool(HEDGE.search(t)) for t in texts) > 200
    assert sum(bool(NEGATION.search(t.lower())) for t in texts) > 1500
    opening = {re.split(r"[ ,;:]", t)[0] for t in texts}
    assert len(opening) > 60


def test_text_is_clean(pairs):
    for _, report in pairs:
        for text in (report.findings, report.impression, *report.phrases.values()):
            assert not re.search(r"[{}<>\[\]]|  | [.,;]|\.\.|None|\bA [aeiou]|\ba [aeiou]", text), (
                text
            )
            assert not re.search(r"(?i)\b(\w+) \1\b", text), text
            bare = r"There is (?!an? |no |likely an? )[\w ,-]*?(?:nodule|mass|effusion|ed heart)\b"
            found = re.search(bare, text)
            assert not found or " and " in found[0] or " with " in found[0], text
        assert report.findings.endswith(".")
        assert report.impression.endswith(".")
        assert not re.search(r"(?i)previous|unchanged|interval|again|since|stable", report.findings)


def test_phrases_name_the_finding_and_its_side(pairs):
    for study, report in pairs:
        assert sorted(report.phrases) == list(range(len(study.findings)))
        for i, phrase in report.phrases.items():
            finding = study.findings[i]
            assert re.search(TERMS[finding.name], phrase, re.IGNORECASE), (finding, phrase)
            assert len(phrase.split()) <= 14
            if finding.side in ("left", "right"):
                assert finding.side in phrase or "lingul" in phrase, (finding, phrase)
                assert {"left": "right", "right": "left"}[finding.side] not in phrase


def test_same_key_same_words_in_another_process():
    def digest() -> str:
        texts = [repr(write_report(sample_study(5, i), 5, i)) for i in range(40)]
        return hashlib.sha256("".join(texts).encode()).hexdigest()

    code = (
        "import hashlib\n"
        "from data_gen.phantom.chest_xray.sample import sample_study\n"
        "from data_gen.phantom.chest_xray.words.report import write_report\n"
        "t = [repr(write_report(sample_study(5, i), 5, i)) for i in range(40)]\n"
        "print(hashlib.sha256(''.join(t).encode()).hexdigest())\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == digest()


def test_another_index_gives_another_report_of_the_same_study():
    study = next(s for s in (sample_study(2, i) for i in range(20)) if len(s.findings) > 1)
    reports = {write_report(study, 2, i).findings for i in range(30)}
    assert len(reports) >= 29
    for text in reports:
        assert not contradictions(study, text)


def every_finding() -> list[Finding]:
    found = []
    for name in SPECS:
        for i in range(40):
            if name == SUPPORT_DEVICES:
                device = DEVICES[i % len(DEVICES)]
                found.append(make_device(stream(1, i, "devices"), device))
            else:
                position = ("erect", "supine")[i % 2]
                found.append(make_finding(stream(1, i, "findings"), name, position))
    return found


@pytest.mark.parametrize("form", ["np", "full", "note", "hedge"])
def test_grammar_words_every_finding(form):
    from data_gen.phantom.chest_xray.words.values import values_of

    chooser = Chooser("all")
    for finding in every_finding():
        symbol = f"{finding.name}.{form}"
        if symbol not in grammar():
            assert form == "hedge"
            continue
        for _ in range(5):
            assert grammar().expand(symbol, values_of(finding, "AP", chooser), chooser)


def test_every_style_occurs(pairs):
    structured = [t for t in (r.findings for _, r in pairs) if re.search(r"(?i)\bbones?[^:]*:", t)]
    telegraphic = [t for t in (r.findings for _, r in pairs) if ";" in t]
    assert len(structured) / len(pairs) == pytest.approx(STYLES["structured"], abs=0.08)
    assert len(telegraphic) / len(pairs) == pytest.approx(STYLES["telegraphic"], abs=0.05)


def test_grammar_weights_slots_and_options():
    g = Grammar({"s": (("a", 3.0), "b"), "t": ("{x}!", "{?y}yes", "plain"), "o": ("p[ q]",)})
    chooser = Chooser("k")
    drawn = [g.expand("s", {}, chooser) for _ in range(400)]
    assert 260 < drawn.count("a") < 340
    assert {g.expand("t", {"y": ""}, chooser) for _ in range(50)} == {"plain"}
    assert {g.expand("t", {"x": "1", "y": "2"}, chooser) for _ in range(50)} == {
        "1!",
        "yes",
        "plain",
    }
    assert {g.expand("o", {}, chooser) for _ in range(50)} == {"p", "p q"}


def test_grammar_backtracks_out_of_symbols_that_cannot_be_filled():
    g = Grammar({"s": ("<t> on", "off"), "t": ("{x}",)})
    assert {g.expand("s", {}, Chooser(str(i))) for i in range(20)} == {"off"}
    with pytest.raises(ValueError, match="no alternative of <t>"):
        g.expand("t", {}, Chooser("k"))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"s": ("<t>",)}, "refers to <t>"),
        ({"s": ("<t>",), "t": ("x <s>",)}, "can reach itself"),
        ({"s": ("a [b",)}, "cannot be read"),
        ({"s": ()}, "no alternative"),
    ],
)
def test_broken_rules_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        Grammar(rules)


def test_joinery():
    assert tidy("a  8 mm nodule , a ET tube") == "an 8 mm nodule, an ET tube"
    assert tidy("a unilateral mass") == "a unilateral mass"
    assert sentence("lungs clear") == "Lungs clear."
    assert listing(["a"], "or") == "a"
    assert listing(["a", "b"], "or") == "a or b"
    assert listing(["a", "b", "c"], "or") == "a, b, or c"
