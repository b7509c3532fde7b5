"""A second modality: jobs, makers, writers and the gate work with whatever PHANTOMS names."""

import dataclasses
import typing

import numpy as np
import pytest
from toy_phantom import ToyPhantom, ToyStudy

from data_gen.chat.base import ChatConfig
from data_gen.chat.registry import CHATS
from data_gen.curation.candidate import Candidate
from data_gen.curation.encoders.base import EncoderConfig
from data_gen.curation.encoders.registry import ENCODERS
from data_gen.curation.gate import Gate, GateConfig
from data_gen.curation.judges.base import JudgeConfig
from data_gen.curation.judges.registry import JUDGES
from data_gen.curation.layout import learn, save
from data_gen.images.base import ImageMakerConfig, ImageRequest, draw
from data_gen.images.registry import MAKERS, make_maker
from data_gen.phantom.job import PhantomConfig, PhantomJob, SplitCounts, generate
from data_gen.phantom.registry import DEFAULT, PHANTOMS, find_phantom, without_default
from data_gen.reports.base import ReportWriterConfig, request_of
from data_gen.reports.on_chat import report_messages
from data_gen.reports.registry import WRITERS, make_writer
from medvlp_jax.core.config import ConfigError, parse, to_plain
from medvlp_jax.data.store.dataset import open_dataset


@pytest.fixture
def toy(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    save(learn(rng.integers(0, 255, (40, 32, 32)).astype(np.uint8)), tmp_path / "layout.npz")
    phantom = ToyPhantom(tmp_path / "layout.npz")
    monkeypatch.setitem(PHANTOMS, phantom.name, phantom)
    return phantom


def test_a_folder_of_another_modality(toy, tmp_path):
    config = PhantomConfig(
        name="squares", size=32, splits=SplitCounts(5, 0, 2), processes=1, modality="square"
    )
    made = generate(config, tmp_path, progress=False)
    assert made.summary["description"].startswith("Procedural pictures of squares")
    source = open_dataset(tmp_path, "train")
    for i in range(5):
        record = source[i]
        assert record.images[0].modality == "drawing"
        assert record.provenance["modality"] == "square"
        assert record.labels == {"dot": i % 2, "nothing": 1 - i % 2}
        assert [b.label for b in record.boxes] == ["dot"] * (i % 2)
        assert {m.label for m in record.masks} == ({"square", "dot"} if i % 2 else {"square"})
        request = request_of(record)
        assert request.study == ToyStudy(0, i)
        writer = make_writer(ReportWriterConfig(modality="square"))
        (report,) = writer.write([request])
        assert report.findings == record.texts[0].text
        assert record.texts[-1].labels == (("dot",) if i % 2 else ("nothing",))


def test_makers_and_writers_ask_the_modality(toy):
    maker = make_maker(ImageMakerConfig(size=32, modality="square"))
    (drawn,) = draw(maker, [ImageRequest("a", "", 3, {"dot": 1})])
    assert drawn.truth.study == ToyStudy(0, 3)
    assert drawn.picture.shape == (32, 32)
    assert maker.fingerprint != make_maker(ImageMakerConfig(size=32)).fingerprint
    first, *_, last = report_messages(request_of(_record(toy)), toy.prompt)
    assert first["content"] == "You look at squares."
    assert last["content"].startswith("Left drawing. Found:\n- a dot")


def _record(toy):
    config = PhantomConfig(name="squares", size=32, modality=toy.name)
    return PhantomJob(config).make([1], "train")[0]


def test_the_gate_asks_the_modality(toy):
    config = parse(GateConfig, {"modality": "square", "encoder": {"kind": "none"}})
    assert config.judge.questions == ("square",)
    assert config.fingerprint != GateConfig(encoder=EncoderConfig("none")).fingerprint
    film = np.full((80, 80), 120, np.uint8)
    film[10:40, 20:70] = 200
    (one,) = Gate(config).review([Candidate("a", film, view="Right")])
    assert not {"layout", "rotated", "inverted"} & set(one.reasons)
    with pytest.raises(ConfigError, match=r"judge\.questions: frontal is none of square"):
        parse(GateConfig, {"modality": "square", "judge": {"questions": ["frontal"]}})


def test_a_modality_without_one_layout_is_not_checked_for_it(toy, monkeypatch, caplog):
    monkeypatch.setattr(toy, "review", dataclasses.replace(toy.review, layout=None))
    monkeypatch.setattr(toy, "name", "free")
    monkeypatch.setitem(PHANTOMS, "free", toy)
    gate = Gate(parse(GateConfig, {"modality": "free", "encoder": {"kind": "none"}}))
    assert "pictures of squares have no one layout" in caplog.text
    film = np.full((80, 80), 120, np.uint8)
    film[10:40, 20:70] = 200
    (one,) = gate.review([Candidate("a", film, view="Left")])
    assert not {"layout", "rotated", "inverted"} & set(one.reasons)
    assert not [name for name in one.scores if name.startswith("layout/")]


@pytest.mark.parametrize(
    "config", [PhantomConfig, ImageMakerConfig, ReportWriterConfig, GateConfig]
)
def test_an_unknown_modality_is_one_line(config):
    with pytest.raises(ConfigError, match=r"modality='chest_xry' .* did you mean 'chest_xray'"):
        parse(config, {"modality": "chest_xry"})


def test_the_default_is_no_part_of_a_fingerprint():
    settings = to_plain(GateConfig())
    assert settings["modality"] == DEFAULT
    assert "modality" not in without_default(settings)
    assert without_default({"a": {"modality": "square"}}) == {"a": {"modality": "square"}}
    assert find_phantom(DEFAULT).name == DEFAULT


@pytest.mark.parametrize(
    ("config", "field", "registry", "none"),
    [
        (ChatConfig, "backend", CHATS, set()),
        (ImageMakerConfig, "backend", MAKERS, set()),
        (ReportWriterConfig, "backend", WRITERS, set()),
        (EncoderConfig, "kind", ENCODERS, {"none"}),
        (JudgeConfig, "kind", JUDGES, {"none"}),
    ],
)
def test_a_word_of_a_config_is_a_line_of_its_registry(config, field, registry, none):
    (kind,) = (f.type for f in dataclasses.fields(config) if f.name == field)
    assert set(typing.get_args(kind)) - none == set(registry)
