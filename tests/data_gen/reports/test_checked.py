"""Checked reports: the faults that are found, bounded retries, what is kept of rejects."""

import collections
import dataclasses

import pytest

from data_gen.chat.base import Reply
from data_gen.entities.bank import default_bank, entity
from data_gen.entities.extract import default_extractor
from data_gen.entities.phantom import labels_of
from data_gen.entities.sampler import SamplerConfig, plan
from data_gen.entities.style import style_faults
from data_gen.reports.base import WrittenReport
from data_gen.reports.check import CheckConfig, ReportChecker
from data_gen.reports.checked import checked_reports, request_for
from data_gen.reports.grammar import GrammarWriter
from data_gen.reports.on_chat import ChatWriter

ENTITIES = (
    entity("small left pleural effusion", "ABNORMALITY"),
    entity("mild pulmonary edema", "DISEASE"),
    entity("pneumothorax", "NON-DISEASE"),
    entity("rib fracture", "NON-ABNORMALITY"),
    entity("trachea", "ANATOMY"),
)
GOOD = (
    "There is a small left pleural effusion. Mild pulmonary edema is seen. The trachea is normal. "
    "No pneumothorax or rib fracture."
)
IMPRESSION = "Small left pleural effusion."


@pytest.fixture(scope="module")
def checker():
    return ReportChecker(default_extractor())


def report(findings=GOOD, impression=IMPRESSION, **more):
    return WrittenReport("r", findings, impression, "test", **more)


def kinds(checker, *texts):
    return {(f.kind, f.section) for f in checker.check(report(*texts), ENTITIES)}


def test_a_good_report_passes(checker):
    assert checker.check(report(), ENTITIES) == ()


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Mild pulmonary edema is seen. ", "", "missing"),
        ("The trachea is normal. ", "", "missing"),
        (" or rib fracture", "", "missing"),
        ("No pneumothorax", "No pneumothorax. There is a nodule. No", "extra"),
        ("No pneumothorax", "Possible nodule. No pneumothorax", "extra"),
        ("Mild pulmonary edema is seen", "Mild pulmonary edema is not seen", "flipped"),
        ("No pneumothorax or", "There is a pneumothorax. No", "flipped"),
        ("small left", "small right", "side"),
        ("The trachea is normal", "The trachea is normal. No vascular congestion", "contradiction"),
        ("The trachea is normal", "The trachea is normal. There is no edema", "contradiction"),
        ("The trachea is normal", "The trachea is normal. Lungs are clear", "contradiction"),
        ("There is", "FINDINGS: There is", "style"),
        ("There is", "- There is", "style"),
        ("No pneumothorax", "Compared to the prior study no pneumothorax", "style"),
        ("The trachea is normal", "The trachea is normal. The trachea is normal", "style"),
    ],
)
def test_every_fault_is_found(checker, old, new, kind):
    assert old in GOOD
    assert (kind, "findings") in kinds(checker, GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("impression", "kind"),
    [
        ("No acute disease.", "missing"),
        ("Mild pulmonary edema and pneumonia.", "extra"),
        ("Small effusion on the left without edema.", "flipped"),
        ("Small left effusion and pneumothorax.", "flipped"),
        ("", "length"),
    ],
)
def test_an_impression_sums_up_and_adds_nothing(checker, impression, kind):
    assert (kind, "impression") in kinds(checker, GOOD, impression)


def test_the_papers_rule_wants_all_in_the_impression():
    checker = ReportChecker(default_extractor(), CheckConfig(impression="all"))
    assert ("missing", "impression") in {
        (f.kind, f.section) for f in checker.check(report(), ENTITIES)
    }
    assert checker.check(report(impression=GOOD), ENTITIES) == ()


def test_a_side_in_a_name_is_no_side(checker):
    named = (e for e in default_bank() if e.text == "right aortic arch" and e.positive)
    wanted = (next(named),)
    assert wanted[0].side == ""
    said = report("A right aortic arch is identified.", "Right aortic arch.")
    assert not any(f.kind == "side" for f in checker.check(said, wanted))


def test_lengths_and_errors(checker):
    short = ReportChecker(default_extractor(), CheckConfig(words=(100, 200)))
    (fault,) = short.check(report(), ENTITIES)
    assert (fault.kind, fault.section) == ("length", "findings")
    assert "100 to 200 are wanted" in str(fault)
    (fault,) = checker.check(report("", "", error="no answer"), ENTITIES)
    assert fault.kind == "error"


def test_a_thing_that_no_lexicon_knows_is_looked_for_by_its_words():
    strange = entity("crazy paving", "ABNORMALITY")
    checker = ReportChecker(type(default_extractor())(entities=[strange]))
    ok = "There is crazy paving in the right lung, with no effusion seen."
    assert checker.check(report(ok, "Crazy paving."), [strange]) == ()
    (fault, *_) = checker.check(report(ok.replace("There is", "No"), "Crazy paving."), [strange])
    assert fault.kind == "flipped"


@pytest.mark.parametrize(
    "text",
    [
        "See **here**.",
        "Seen on 12/03/2020.",
        "Mr. Smith is well.",
        "Effusion of [size].",
        "As an AI, I see.",
        "Is there a mass?",
        "The effusion is unchanged.",
    ],
)
def test_style(text):
    assert len(style_faults(text)) == 1
    assert style_faults("A 1.5 cm nodule. T5 is normal. The lungs are clear.") == ()


@pytest.fixture(scope="module")
def requests():
    drawn = plan(default_bank().drawable(), 300, SamplerConfig(seed=5))
    return [request_for(f"s{i}", drawn.entities(i)) for i in range(len(drawn))]


@pytest.mark.parametrize("repeat_all", [False, True])
def test_the_grammar_passes_its_check(requests, repeat_all):
    """No label is lost, none comes from nothing; what is rejected is written again and passes."""
    config = CheckConfig(impression="all" if repeat_all else "summary")
    checker = ReportChecker(default_extractor(), config)
    made = list(checked_reports(GrammarWriter(1, repeat_all), checker, requests, attempts=4))
    assert [m.id for m in made] == [r.id for r in requests]
    assert all(m.report for m in made)
    assert sum(m.attempts == 1 for m in made) >= 290
    counts = collections.Counter()
    for request, one in zip(requests, made, strict=True):
        assert one.labels == labels_of(request.items)
        findings, impression = one.texts
        present = {k for k, v in one.labels.items() if v == 1}
        # A lobar pneumonia is a consolidation too, which its report need not say.
        counts["lost"] += len(present - set(findings.labels) - {"consolidation"})
        assert set(findings.labels) | set(impression.labels) <= present
        counts["impressions"] += bool(impression.labels)
    assert counts["lost"] == 0
    assert counts["impressions"] == len(requests)


class Liar:
    """Writes a wrong report until it has been told ``patience`` times; notes what it is told."""

    name, fingerprint = "liar", "0"

    def __init__(self, patience):
        self.patience, self.seen = patience, []

    def write(self, requests):
        honest = GrammarWriter()
        for request in requests:
            self.seen.append(request)
            (one,) = honest.write([request])
            if request.attempt < self.patience:
                one = dataclasses.replace(one, findings=one.findings + " There is a scoliosis.")
            yield one


def test_rejects_are_kept_with_reasons_and_told(checker, requests):
    some = [r for r in requests if "scoliosis" not in str(r.items)][:4]
    writer = Liar(2)
    made = list(checked_reports(writer, checker, some, attempts=3, window=2))
    assert [m.attempts for m in made] == [3] * 4
    assert all(m.report and len(m.rejects) == 2 for m in made)
    assert made[0].rejects[0]["attempt"] == 0
    assert any("extra: findings: say nothing of" in r for r in made[0].rejects[0]["reasons"])
    assert "scoliosis" in made[0].rejects[0]["findings"]
    told = [r for r in writer.seen if r.attempt == 1]
    assert all(any("scoliosis" in f for f in r.feedback) for r in told)


def test_retries_are_bounded(checker, requests):
    (one,) = checked_reports(Liar(9), checker, requests[:1], attempts=2)
    assert (one.report, one.texts, one.attempts, len(one.rejects)) == (None, (), 2, 2)


class FakeChat:
    name, fingerprint = "fake", "1"

    def __init__(self):
        self.prompts = []

    def answer(self, prompts):
        for prompt in prompts:
            self.prompts.append(prompt)
            good = "#" in prompt.id
            findings = GOOD if good else GOOD.replace("small left", "small right")
            yield Reply(prompt.id, f"FINDINGS: {findings}\nIMPRESSION: {IMPRESSION}")


def test_a_model_is_asked_for_all_and_told_what_was_wrong(checker):
    chat = FakeChat()
    (one,) = checked_reports(ChatWriter(chat), checker, [request_for("a", ENTITIES, "PA")])
    assert (one.id, one.attempts) == ("a", 2)
    first, second = (p.messages[-1]["content"] for p in chat.prompts)
    for item in ENTITIES:
        assert f"- {item.text}" in first
    assert first.index("pulmonary edema") < first.index("Not there") < first.index("pneumothorax")
    assert "Mend this" not in first
    assert "small left pleural effusion is left" in second
    assert [p.id for p in chat.prompts] == ["a", "a#1"]


def test_a_request_in_words_is_enough(checker):
    request = dataclasses.replace(request_for("a", ENTITIES), items=())
    (one,) = checked_reports(GrammarWriter(), checker, [request])
    assert one.report is not None
    assert one.labels["edema"] == 1
    assert one.labels["pneumothorax"] == 0
