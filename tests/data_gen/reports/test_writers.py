"""Reports from findings: the writers, the reading of answers, the folder of texts."""

import collections
import dataclasses
import json

import pytest

from data_gen.chat.base import ChatConfig, Reply
from data_gen.phantom.chest_xray.words.report import write_report
from data_gen.phantom.job import PhantomConfig, PhantomJob
from data_gen.phantom.registry import PHANTOMS
from data_gen.reports.base import ReportRequest, ReportWriterConfig, request_of
from data_gen.reports.grammar import GrammarWriter
from data_gen.reports.on_chat import ChatWriter, read_report, report_messages
from data_gen.reports.registry import make_writer
from data_gen.reports.sampling import SampleTextsConfig, sample_texts
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.record import Image, Record

PROMPT = PHANTOMS["chest_xray"].prompt
REQUEST = ReportRequest("r", ("moderate left pleural effusion", "rib fracture"), "PA")


@pytest.fixture(scope="module")
def records():
    return PhantomJob(PhantomConfig(size=32, masks=False)).make(range(4), "train")


class FakeChat:
    """Answers with the findings that it was asked about; ``troubles``: id -> error."""

    name = "fake"
    fingerprint = "1"

    def __init__(self, troubles=(), stop_after=None):
        self.troubles = dict(troubles)
        self.stop_after = stop_after
        self.asked = []

    def answer(self, prompts):
        for prompt in prompts:
            if self.stop_after is not None and len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(prompt)
            text = prompt.messages[-1]["content"]
            error = self.troubles.get(prompt.id, "")
            yield Reply(prompt.id, "" if error else f"FINDINGS: {text}", error)


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: A left pleural effusion.\nIMPRESSION: Rib fracture.",
        "**Findings:** A left\npleural  effusion.\n\n**Impression**: Rib fracture.",
        "Report\n\n## Findings:\nA left pleural effusion.\n# CONCLUSION:\nRib fracture.",
    ],
)
def test_sections_are_found(text):
    report = read_report(REQUEST, text, "s")
    assert report.findings == "A left pleural effusion."
    assert report.impression == "Rib fracture."
    assert report.warnings == ()
    assert [t.section for t in report.texts()] == ["findings", "impression"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("A left pleural effusion and a rib fracture.", "no headings"),
        ("FINDINGS: Left pleural effusion.", "not mentioned: rib fracture"),
        ("FINDINGS: Effusion, pleural. Fracture. Yes. Yes. Yes.", "repeats itself"),
    ],
)
def test_doubts_are_noted(text, warning):
    assert read_report(REQUEST, text, "s").warnings == (warning,)


def test_an_empty_answer_is_an_error():
    assert read_report(REQUEST, " ", "s").error == "an empty answer"


def test_the_conversation_names_every_finding():
    messages = report_messages(REQUEST, PROMPT)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert all(e in messages[-1]["content"] for e in REQUEST.entities)
    assert "no abnormality" in report_messages(ReportRequest("n"), PROMPT, False)[-1]["content"]


def test_the_grammar_writes_what_the_record_holds(records):
    """From a record alone, the study is found again and its report is the record's own."""
    reports = list(GrammarWriter(seed=0).write(map(request_of, records)))
    for record, report in zip(records, reports, strict=True):
        own = {t.section: t.text for t in record.texts}
        assert (report.findings, report.impression) == (own["findings"], own["impression"])
    study = request_of(records[0]).study
    other = next(GrammarWriter(seed=1).write([request_of(records[0])]))
    assert other.findings == write_report(study, 1, study.index).findings


def test_the_grammar_writes_of_words_where_there_is_no_study():
    report = next(GrammarWriter().write([REQUEST]))
    assert "pleural effusion" in report.findings
    assert "rib fracture" in report.impression
    normal = next(GrammarWriter().write([ReportRequest("n")]))
    assert "lungs are clear" in normal.findings


def test_entities_of_a_record_without_a_phantom():
    record = Record("a", (Image(b"", "png", "AP"),), labels={"edema": 1, "mass": 0, "nodule": -1})
    assert request_of(record) == ReportRequest("a", ("edema",), "AP")
    with pytest.raises(UserError, match="'a' has no labels"):
        request_of(dataclasses.replace(record, labels={}))


def test_errors_and_texts_of_a_model():
    writer = ChatWriter(FakeChat({"b": "too long"}))
    some = [dataclasses.replace(REQUEST, id=name) for name in "abc"]
    reports = {r.id: r for r in writer.write(some)}
    assert reports["b"].error == "too long"
    assert "rib fracture" in reports["c"].findings
    assert reports["a"].source == "llm:fake"


@pytest.fixture
def entities(tmp_path):
    path = tmp_path / "entities.jsonl"
    lines = [{"id": f"e{i}", "entities": ["pneumothorax"], "view": "AP"} for i in range(5)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def lines_of(folder, name="texts.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def chat_config(**inputs):
    chat = ChatConfig(model="m")
    return SampleTextsConfig(**inputs, writer=ReportWriterConfig(backend="chat", chat=chat))


def test_a_folder_of_texts_goes_on_where_it_was_stopped(entities, tmp_path):
    config, out = chat_config(entities=str(entities)), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="2 of 5 texts are finished"):
        sample_texts(config, ChatWriter(FakeChat(stop_after=2)), out, progress=False)
    # As a kill in the middle of a line leaves it.
    with (out / "texts.jsonl").open("a") as stream:
        stream.write('{"id": "e2", "fin')
    chat = FakeChat({"e3": "no luck"})
    result = sample_texts(config, ChatWriter(chat), out, progress=False)
    assert [p.id for p in chat.asked] == ["e2", "e3", "e4"]
    assert (result.made, result.found, result.failed) == (2, 2, 1)
    assert [(f["id"], f["error"]) for f in lines_of(out, "failed.jsonl")] == [("e3", "no luck")]
    again = sample_texts(config, ChatWriter(FakeChat()), out, progress=False)
    assert (again.made, again.found, again.failed) == (1, 4, 0)
    assert collections.Counter(line["id"] for line in lines_of(out)) == dict.fromkeys(
        ("e0", "e1", "e2", "e3", "e4"), 1
    )
    assert lines_of(out)[0]["findings"].startswith("AP chest X-ray")
    assert (out / "failed.jsonl").read_text() == ""


def test_another_writer_may_not_go_on(entities, tmp_path):
    config = chat_config(entities=str(entities))
    sample_texts(config, ChatWriter(FakeChat()), tmp_path / "out", progress=False)
    with pytest.raises(UserError, match="holds texts of llm:fake with other settings"):
        sample_texts(config, ChatWriter(FakeChat(), "Be brief"), tmp_path / "out", progress=False)


def test_plain_prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("One?\n\nTwo?\n")
    config = chat_config(prompts=str(path))
    sample_texts(config, ChatWriter(FakeChat()), tmp_path / "out", progress=False)
    assert lines_of(tmp_path / "out") == [
        {"id": "000001", "text": "FINDINGS: One?", "source": "llm:fake"},
        {"id": "000003", "text": "FINDINGS: Two?", "source": "llm:fake"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds nothing to write about"),
        ("{", "line 1 cannot be used .JSONDecodeError"),
        ("\n" + "[" * 50_000, "line 2 cannot be used .RecursionError"),
        ("[1]", "a JSON object with 'entities' is needed"),
        ('{"entities": ["a", 3]}', "must be a list of phrases"),
        ('{"id": ["a"], "entities": []}', "'id' must be a text"),
        ('{"id": "\\ud800", "entities": []}', "surrogates not allowed"),
        ('{"view": 3, "entities": []}', "'view' must be a text"),
        ('{"id": 1}', "a JSON object with 'entities' is needed"),
        ('{"entities": "mass"}', "must be a list of phrases"),
        ('{"id": 1, "entities": []}\n{"id": "1", "entities": []}', "'1' occurs twice"),
    ],
)
def test_bad_input(tmp_path, content, message):
    path = tmp_path / "entities.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        sample_texts(chat_config(entities=str(path)), ChatWriter(FakeChat()), tmp_path / "out")


def test_a_separator_in_a_prompt_ends_no_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffOne\u2028two?\r\nThree?".encode())
    config = chat_config(prompts=str(path))
    assert sample_texts(config, ChatWriter(FakeChat()), tmp_path / "out").made == 2
    path.write_bytes("f\xfcr".encode("latin-1"))
    with pytest.raises(UserError, match=r"UnicodeDecodeError.*give a text file in UTF-8"):
        sample_texts(config, ChatWriter(FakeChat()), tmp_path / "out")


@pytest.mark.parametrize("damage", [b"", b"null", b"[" * 50_000, b"\xff", b'{"writer": 3'])
@pytest.mark.parametrize("name", ["settings.json", "texts.jsonl"])
def test_a_damaged_folder_is_named(tmp_path, name, damage):
    path = tmp_path / "prompts.txt"
    path.write_text("One?\nTwo?")
    config, out = chat_config(prompts=str(path)), tmp_path / "out"
    sample_texts(config, ChatWriter(FakeChat()), out)
    if name == "texts.jsonl":
        whole = (out / name).read_bytes().split(b"\n")
        (out / name).write_bytes(b"\n".join([damage, *whole[1:]]))
        if not damage:  # a blank line is none: that text is made again
            assert sample_texts(config, ChatWriter(FakeChat()), out).made == 1
            return
    else:
        (out / name).write_bytes(damage)
    with pytest.raises(UserError, match=f"{name}.* cannot be read .*(delete|choose)"):
        sample_texts(config, ChatWriter(FakeChat()), out)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleTextsConfig(), "one of the three"),
        (lambda: SampleTextsConfig(prompts="a", records="b"), "one of the three"),
        (lambda: SampleTextsConfig(prompts="a"), "need a language model"),
        (lambda: ReportWriterConfig(backend="chat"), "needs the group chat"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_writer_of_a_config():
    assert make_writer(ReportWriterConfig()).name == "grammar"
    chat = ChatConfig(backend="openai", model="m", url="http://127.0.0.1:9/v1")
    writer = make_writer(ReportWriterConfig(backend="chat", chat=chat))
    assert writer.name == "llm:openai:m"
    faster = dataclasses.replace(
        chat, concurrency=99, url="http://elsewhere/v1", max_bytes=99, patience=9.0
    )
    same = make_writer(ReportWriterConfig(backend="chat", chat=faster))
    assert same.fingerprint == writer.fingerprint
    warmer = make_writer(
        ReportWriterConfig(backend="chat", chat=dataclasses.replace(chat, temperature=1.0))
    )
    assert warmer.fingerprint != writer.fingerprint
