"""What the lexicon finds: negation, hedge, side, headings; and the phantom's reports as a whole."""

import collections

import pytest

from data_gen.entities.entity import Entity
from data_gen.entities.extract import LexiconExtractor, default_extractor
from data_gen.phantom.chest_xray.findings import FINDING_NAMES, SUPPORT_DEVICES
from data_gen.phantom.chest_xray.sample import sample_study
from data_gen.phantom.chest_xray.words.report import write_report

LATERAL = set(FINDING_NAMES) - {SUPPORT_DEVICES}


def said(text):
    """``+concept``, ``-concept`` or ``?concept`` (hedged), with ``/side``; places left out."""
    out = []
    for m in default_extractor().extract(text):
        if not m.is_anatomy:
            mark = "-" if m.negative else "?" if m.hedged else "+"
            out.append(mark + m.canonical + (f"/{m.side}" if m.side else ""))
    return out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "There is a small left pleural effusion and no pneumothorax.",
            ["+pleural effusion/left", "-pneumothorax"],
        ),
        (
            "No effusion, consolidation, or pneumothorax.",
            ["-pleural effusion", "-consolidation", "-pneumothorax"],
        ),
        ("No evidence of a mass.", ["-mass"]),
        ("Lungs free of consolidation; cardiomegaly.", ["-consolidation", "+cardiomegaly"]),
        ("No effusion, but there is edema.", ["-pleural effusion", "+edema"]),
        ("No pneumothorax is seen and a small nodule is present.", ["-pneumothorax", "+nodule"]),
        ("No effusion. Edema.", ["-pleural effusion", "+edema"]),
        ("Pneumothorax is not seen.", ["-pneumothorax"]),
        ("Pneumothorax and effusion are not seen.", ["-pneumothorax", "-pleural effusion"]),
        (
            "There is a left effusion and pneumothorax is not seen.",
            ["+pleural effusion/left", "-pneumothorax"],
        ),
        ("Neither edema nor effusion is seen.", ["-edema", "-pleural effusion"]),
        ("Pneumothorax: none.", ["-pneumothorax"]),
        ("No change in the left effusion.", ["+pleural effusion/left"]),
        ("Not only a nodule but a mass.", ["+nodule", "+mass"]),
        ("Pneumonia cannot be excluded.", ["?pneumonia"]),
        ("Faint opacity may represent pneumonia.", ["+opacity", "?pneumonia"]),
        ("Possible small nodule. Edema.", ["?nodule", "+edema"]),
        ("The heart is mildly enlarged.", ["+cardiomegaly"]),
        ("The heart is not enlarged.", ["-cardiomegaly"]),
        ("The lungs are clear. The heart size is normal.", ["-opacity", "-cardiomegaly"]),
        ("The remaining ribs are intact.", []),
        ("Large mass. No other acute cardiopulmonary abnormality.", ["+mass"]),
        ("LINES AND TUBES: none seen.", []),
        (
            "Consolidation in the left lower lobe and right effusion.",
            ["+consolidation/left", "+pleural effusion/right"],
        ),
        ("Fracture of the left 5th rib.", ["+rib fracture/left"]),
        ("Left fifth rib fracture.", ["+rib fracture/left"]),
        ("Bilateral effusions.", ["+pleural effusion/bilateral"]),
        ("Pulmonary oedema and opacities.", ["+edema", "+opacity"]),
        ("A 1.5 cm nodule. No 2.5 cm mass.", ["+nodule", "-mass"]),
        ("Effusion without pneumothorax with cardiomegaly is absent", None),
        ("", []),
    ],
)
def test_statements(text, expected):
    if expected is None:  # nonsense is read somehow, without an error
        assert said(text)
    else:
        assert said(text) == expected


def test_mentions_say_where_they_stand():
    text = "Lungs:  Moderate  left\npleural effusion."
    (mention,) = default_extractor().extract(text)
    assert mention.text == "moderate left pleural effusion"
    assert text[mention.start : mention.end] == "pleural effusion"
    assert mention.label == "pleural effusion"


def test_words_of_a_bank_are_learned():
    bank = [Entity("crazy paving", "NON-ABNORMALITY", "crazy paving")]
    extractor = LexiconExtractor(entities=bank)
    (mention,) = extractor.extract("There is crazy-paving.")
    assert (mention.canonical, mention.type) == ("crazy paving", "ABNORMALITY")


def test_reports_of_the_phantom_are_read_as_they_were_meant():
    """400 reports: every finding is found, none is denied, and no label comes from nothing."""
    extractor = default_extractor()
    seen = collections.Counter()
    for index in range(400):
        study = sample_study(1, index)
        labels = study.labels()
        found = extractor.extract(write_report(study, 1, index).findings)
        stated = {m.label for m in found if m.positive and m.label}
        for finding in study.findings:
            seen["all"] += 1
            seen["found"] += finding.name in stated
            if finding.side in ("left", "right") and finding.name in LATERAL:
                sides = {m.side for m in found if m.positive and m.label == finding.name} - {""}
                seen["lateral"] += 1
                seen["side found"] += finding.side in sides
                seen["side wrong"] += bool(sides) and finding.side not in sides
        for mention in found:
            there = {f.side for f in study.findings if f.name == mention.label}
            wrong = mention.negative and labels.get(mention.label) == 1
            seen["flipped"] += bool(wrong and (not mention.side or mention.side in there))
        seen["extra"] += len([s for s in stated if labels[s] != 1])
    assert seen["found"] == seen["all"] > 600
    assert seen["flipped"] == seen["extra"] == seen["side wrong"] == 0
    assert seen["side found"] >= 0.8 * seen["lateral"]
