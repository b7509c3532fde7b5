"""Reports say what is there, on the right side, and deny only what is not and can be judged."""

import json
import re

import pytest

from data_gen.phantom.ct.findings import FINDING_NAMES, LABEL_NAMES, NO_FINDING, judged
from data_gen.phantom.ct.sample import sample_study
from data_gen.phantom.ct.words import normals
from data_gen.phantom.ct.words.report import write_report
from medvlp_jax.eval.zeroshot.promptbank import FOLDER, load_bank

#: Finding -> words of which an affirming sentence has at least one.
WORDS = {
    "liver lesion": r"liver|hepatic",
    "gallstone": r"gallstone|stone|cholelithiasis",
    "kidney stone": r"calculus|stone|nephrolithiasis",
    "renal cyst": r"cyst",
    "renal mass": r"mass",
    "hydronephrosis": r"hydronephrosis|collecting system",
    "ascites": r"ascites|fluid",
    "aortic aneurysm": r"aneurysm|AAA",
    "lung nodule": r"nodule",
    "airspace opacity": r"consolidation|airspace|opacification",
    "ground-glass opacity": r"ground-glass",
    "emphysema": r"emphysema",
    "pleural effusion": r"effusion|pleural fluid",
    "pneumothorax": r"pneumothorax",
    "pericardial effusion": r"pericardial|surrounds the heart",
    "pulmonary embolism": r"embolism|filling defect|thrombus",
    "intraparenchymal hemorrhage": r"hematoma|hemorrhage|Acute blood",
    "subdural hematoma": r"subdural|SDH",
    "epidural hematoma": r"epidural|EDH",
    "subarachnoid hemorrhage": r"subarachnoid",
    "infarct": r"infarct|hypodensity",
    "hydrocephalus": r"hydrocephalus|ventric",
    "midline shift": r"midline",
}
SMALL = {"mild", "minor", "slight", "small"}
LARGE = {"severe", "marked", "extensive", "large", "massive", "sizeable"}


@pytest.fixture(scope="module")
def written():
    return [(s, write_report(s, 1, s.index)) for s in (sample_study(1, i) for i in range(700))]


def _affirming(report):
    parts = re.split(r"(?<=[.:])\s", report.findings)
    return " ".join(p for p in parts if not re.match(r"(?:\d\. )?(No|There is no)\b", p))


def test_all_findings_are_in_both_sections_and_phrases(written):
    assert set(WORDS) == set(FINDING_NAMES)
    for study, report in written:
        assert set(report.phrases) == set(range(len(study.findings)))
        for i, finding in enumerate(study.findings):
            for text in (_affirming(report), report.impression, report.phrases[i]):
                assert re.search(WORDS[finding.name], text, re.IGNORECASE), (finding, text)


def test_sides_and_severity_of_phrases(written):
    for study, report in written:
        for i, finding in enumerate(study.findings):
            words = set(re.findall(r"[a-z]+", report.phrases[i].lower()))
            sides = words & {"left", "right", "leftward", "rightward"}
            if finding.side in ("left", "right"):
                other = {"left": "right", "right": "left"}[finding.side]
                assert not {s for s in sides if s.startswith(other)}, report.phrases[i]
            elif finding.place not in ("right lobe", "left lobe"):
                assert not sides, report.phrases[i]
            assert not (finding.severity != "mild" and words & SMALL), report.phrases[i]
            assert not (finding.severity != "severe" and words & LARGE), report.phrases[i]


def test_what_is_denied_is_absent_and_can_be_judged(written):
    denied = 0
    for study, report in written:
        present = {f.name for f in study.findings}
        for text in re.findall(r"(?:No|no|No evidence of) ([^.]*)\.", report.findings):
            for name, words in normals.DENIALS.items():
                if any(re.search(rf"\b{w}\b", text) for w in words):
                    assert name not in present, (present, text)
                    assert name in judged(study), (name, text)
                    denied += 1
    assert denied > 500


def test_modality_region_phase_and_window_are_named(written):
    windows = 0
    for study, report in written:
        opening = report.findings.split(". ")[0].lower()
        assert "ct" in opening
        assert re.search(
            {"head": "head|brain", "chest": "chest|thorax"}.get(study.region, "abdomen"), opening
        )
        plain = bool(re.search("non-contrast|unenhanced|plain", opening))
        assert plain == (study.phase == "non-contrast"), opening
        windows += f"{study.window} window" in opening
    assert 250 < windows < 600


def test_texts_are_clean_and_varied(written):
    for _, report in written:
        for text in (report.findings, report.impression, *report.phrases.values()):
            assert text == text.strip()
            assert not re.search(r"[{}<>\[\]]|None|  |\.\.| ,| a [aeio]", text), text
            assert not re.search(r"\b(\w+) \1\b", text), text
        assert re.match(r"[A-Z0-9]", report.findings)
    assert len({r.findings for _, r in written}) > 0.97 * len(written)
    ill = [r for s, r in written if s.findings]
    assert len({p for r in ill for p in r.phrases.values()}) > 400
    normal = {r.impression for s, r in written if not s.findings}
    assert len(normal) >= 6


def test_a_report_is_a_function_of_its_seeds(written):
    study, report = written[3]
    assert write_report(study, 1, study.index) == report
    assert write_report(study, 2, study.index) != report


def test_the_prompt_bank_has_every_label_and_names_the_modality():
    bank = load_bank("ct")
    assert set(LABEL_NAMES) <= set(bank.classes)
    assert set(bank.classes) == set(json.loads((FOLDER / "ct.json").read_text())["classes"])
    for name, prompts in bank.classes.items():
        assert len(prompts.positive) == len(prompts.negative) >= 3
        for prompt in (*prompts.positive, *prompts.negative):
            assert "CT" in prompt or "Computed tomography" in prompt, (name, prompt)
    assert bank.classes[NO_FINDING].positive[0] == "Normal CT slice."
