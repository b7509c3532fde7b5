"""Columns: what each declares, pads and fills."""

import dataclasses
import json
import pickle

import cv2
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.batch import BatchBuilder
from medvlp_jax.data.columns.base import Visit
from medvlp_jax.data.columns.chat import ChatColumn
from medvlp_jax.data.columns.latents import KeptLatents, write_latents
from medvlp_jax.data.columns.registry import (
    COLUMNS,
    batch_spec,
    make_columns,
    require_columns,
)
from medvlp_jax.data.columns.views import choose_views
from medvlp_jax.data.config import DataConfig, LatentsConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig, PhotometricConfig
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.loaders import HOST
from medvlp_jax.data.pipeline import eval_batches, train_iterator
from medvlp_jax.data.store.record import Box, Image, Mask, Record, RecordError, Text, Turn
from medvlp_jax.data.texts.choice import TextConfig, text_key
from medvlp_jax.data.texts.tokenizer import train_wordpiece
from medvlp_jax.data.unreadable import DataError

SIDE, ROWS, LENGTH = 8, 3, 12
REPORT = "There is mild opacity."
NOISY = PhotometricConfig(brightness=0.2, contrast=(0.5, 1.5))


def png(value: int, where: slice = slice(None)) -> bytes:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[where] = value
    return cv2.imencode(".png", pixels)[1].tobytes()


def record(**changes) -> Record:
    """A frontal film of gray 40 and two lateral ones of 90 and 120."""
    fields = {
        "id": "a",
        "images": (
            Image(png(40), "png", "PA"),
            Image(png(90), "png", "LATERAL"),
            Image(png(120), "png", "LATERAL"),
        ),
        "texts": (Text(REPORT, "findings", labels=("edema",)),),
        "labels": {"edema": 1, "mass": 1, "nodule": -1, "foreign": 1},
        "boxes": (
            Box(0.0, 0.0, 0.5, 0.25, "edema", "mild edema"),
            Box(0.0, 0.0, 0.5, 0.25, "edema", "of another film", 1),
            Box(0.0, 0.0, 0.5, 0.25, "foreign", "of no label"),
        ),
        "masks": (
            Mask(png(255, slice(0, 2)), "edema"),
            Mask(png(1, slice(4, 6)), "edema"),  # 0 and 1, of the same name
            Mask(png(255), "heart", 1),
        ),
        "turns": (
            Turn("system", "Be brief."),
            Turn("user", "What changed?", (0, 2)),
            Turn("assistant", "Mild opacity."),
        ),
        "provenance": {"figure": "PMC1.1/F1"},
    }
    return Record(**(fields | changes))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    corpus = [REPORT, "user: assistant: system: Be brief. What changed? Mild opacity."] * 3
    return train_wordpiece(corpus, tmp_path_factory.mktemp("tokenizer") / "t")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents") / "cached"
    values = np.arange(12, dtype=np.float16).reshape(2, 2, 3)
    write_latents(folder, ["b", "a"], values)
    return DataConfig(
        (SourceConfig("unused"),),
        ROWS,
        ImageConfig(SIDE, views=("PA", "LATERAL", "OBLIQUE")),
        TextConfig(policy="findings", buckets=(LENGTH,), window=0, variant=0.5),
        labels=("edema", "mass", "nodule", "absent"),
        masks=("heart", "edema"),
        max_boxes=2,
        latents=LatentsConfig(str(folder), (2, 3), "float16"),
    )


def filled(names, config, tokenizer, one=None, text=REPORT, rng=None):
    """Row 1 of a batch of three."""
    builder = BatchBuilder(names, config, tokenizer)
    batch = builder.empty(ROWS, LENGTH)
    builder.fill(batch, 1, one or record(), text, rng)
    builder.finish(batch)
    padding = builder.empty(ROWS, LENGTH)
    builder.finish(padding)
    for name, values in batch.items():
        np.testing.assert_array_equal(values[[0, 2]], padding[name][[0, 2]])
    assert batch["valid"].tolist() == [False, True, False]
    return {name: values[1] for name, values in batch.items()}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", [0, ROWS])
def test_a_column_pads_what_it_declares(name, rows, config, tokenizer):
    (column,) = make_columns([name], config, tokenizer)
    assert column.name == name
    assert column.about
    spec, empty = column.spec(rows, LENGTH), column.empty(rows, LENGTH)
    assert {*empty} == {*spec, *column.host}
    assert not {*spec} & {*column.host}
    for array, s in spec.items():
        assert (empty[array].shape, empty[array].dtype) == (s.shape, s.dtype), array
        assert s.shape[0] == rows
    # shapes need no tokenizer, and those of a filled batch are the same
    assert batch_spec([name], config, rows, LENGTH).keys() == {*spec, "valid"}
    row = filled([name], config, tokenizer)
    for array, s in column.spec(1, LENGTH).items():
        assert (row[array].shape, row[array].dtype) == (s.shape[1:], s.dtype)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_filled_row_is_no_padding(name, config, tokenizer):
    said = record(turns=(Turn("assistant", "Mild.", (0,)),))
    row = filled([name, "image"], config, tokenizer, one=said)
    blank = BatchBuilder([name], config, tokenizer).empty(1, LENGTH)
    for array in make_columns([name], config)[0].spec(1, LENGTH):
        assert (row[array] != blank[array][0]).any(), array


def test_no_array_belongs_to_two_columns(config):
    names = [a for c in make_columns([*COLUMNS], config) for a in (*c.spec(1, 1), *c.host)]
    assert len(names) == len(set(names))
    assert "valid" not in names
    assert {*batch_spec([*COLUMNS], config, 1, 1)} == {*names, "valid"} - {"box_phrase", "texts"}


def test_a_batch_holds_what_was_asked_for(config, tokenizer):
    batch = BatchBuilder(["labels", "labels", "image"], config).empty(ROWS, LENGTH)
    assert {*batch} == {"valid", "image", "labels"}
    with pytest.raises(ConfigError, match=r"column='lables' .*did you mean 'labels'"):
        BatchBuilder(["lables"], config)
    for name in ("text", "words", "text_variant", "chat"):
        with pytest.raises(DataError, match=f"the column {name} needs a tokenizer"):
            BatchBuilder([name], config)


@pytest.mark.parametrize(
    ("name", "lack", "message"),
    [
        ("masks", {"masks": ()}, r"config\.data\.masks"),
        ("views", {"image": ImageConfig(SIDE)}, r"config\.data\.image\.views"),
        ("latents", {"latents": None}, r"config\.data\.latents"),
        ("labels", {"labels": ()}, r"config\.data\.labels is empty"),
        ("statements", {"labels": ()}, r"config\.data\.labels is empty"),
    ],
)
def test_a_config_that_lacks_what_a_task_reads(name, lack, message, config):
    require_columns([name], config)
    with pytest.raises(ConfigError, match=message):
        require_columns([name], dataclasses.replace(config, **lack))


def test_image_and_what_belongs_to_it(config, tokenizer):
    names = ("image", "boxes", "box_phrases", "masks")
    row = filled(names, config, tokenizer)
    assert (row["image"] == 40).all()
    np.testing.assert_allclose(row["boxes"], [[0, 0, 0.5, 0.25], [0, 0, 0, 0]])
    assert row["box_label"].tolist() == [0, -1]
    assert row["box_phrase"].tolist() == ["mild edema", ""]
    assert row["mask_given"].tolist() == [False, True]
    assert not row["masks"][..., 0].any()
    assert np.flatnonzero(row["masks"][..., 1].all(1)).tolist() == [0, 1, 4, 5]
    assert not row["masks"][[2, 3, 6, 7], :, 1].any()


def test_what_the_text_says(config, tokenizer):
    names = ("text", "words", "text_variant", "text_key", "labels", "statements")
    row = filled(names, config, tokenizer)
    ids, mask = tokenizer.pad(REPORT, LENGTH)
    np.testing.assert_array_equal(row["text"], ids)
    np.testing.assert_array_equal(row["text_mask"], mask)
    np.testing.assert_array_equal(row["text_variant"], ids)  # no chance without a generator
    np.testing.assert_array_equal(row["word_ids"], tokenizer.word_ids([REPORT], LENGTH)[0])
    assert row["text_key"] == text_key(REPORT)
    assert row["labels"].tolist() == [1, 1, -1, -2]
    assert row["text_labels"].tolist() == [1, 0, 0, 0]
    none = filled(names, config, tokenizer, text="")
    assert not none["text_mask"].any()
    assert not none["text_labels"].any()
    assert none["text_key"] == 0
    assert none["labels"].tolist() == [1, 1, -1, -2]
    drawn = filled(names, config, tokenizer, rng=np.random.default_rng(2))
    np.testing.assert_array_equal(drawn["text"], ids)
    assert (drawn["text_variant"] != ids).any()


def test_who_a_record_is_and_where_it_belongs(config, tokenizer):
    def keys(one, **changes):
        row = filled(("record_keys",), dataclasses.replace(config, **changes), None, one)
        return int(row["record_key"]), int(row["group_key"])

    first = record(provenance={"figure": "PMC1.1/F2", "from": {"study": 7}})
    other = record(id="b", provenance={"figure": "PMC1.1/F2"})
    assert keys(first)[0] not in (0, keys(other)[0])
    assert keys(first)[1] == keys(other)[1] != 0
    assert keys(record())[1] != keys(first)[1]
    assert keys(record(provenance={}))[1] == 0
    nested = {"group_by": "from.study"}
    assert (
        keys(first, **nested)[1] == keys(record(provenance={"from": {"study": "7"}}), **nested)[1]
    )
    assert keys(other, **nested)[1] == 0
    texts = (Text(REPORT, "findings"), Text("Else.", "caption"), Text("More.", "findings"))
    row = filled(("texts",), config, tokenizer, record(texts=(*texts, texts[0])))
    assert json.loads(row["texts"]) == [REPORT, "More."]


def test_a_modality_is_a_label_that_every_text_affirms(config, tokenizer):
    """Where it is among the labels: else two modalities would share what one label says."""
    labels = ("no finding", "ct", "xray", "nodule")
    config = dataclasses.replace(config, labels=labels)
    report = Text(REPORT, "findings")
    normal = record(labels={"no finding": 1}, texts=(report,), boxes=(), masks=())
    image = normal.images[0]
    names = ("text", "labels", "statements")
    for modality, shown, said in (
        ("ct", [1, 1, 0, -2], [1, 1, 0, 0]),
        ("xray", [1, 0, 1, -2], [1, 0, 1, 0]),
        ("", [1, -2, -2, -2], [1, 0, 0, 0]),
        ("thermography", [1, -2, -2, -2], [1, 0, 0, 0]),
    ):
        one = dataclasses.replace(normal, images=(dataclasses.replace(image, modality=modality),))
        (b,) = eval_batches(config, [one], 1, columns=names, tokenizer=tokenizer)
        assert b["labels"][0].tolist() == shown, modality
        assert b["text_labels"][0].tolist() == said, modality
        assert b["modality"].tolist() == [modality]


def test_a_counterfactual_says_of_what(config):
    of = {"of": "a", "label": "nodule", "present": False}
    source = [record(id="a"), record(id="b", provenance={"counterfactual": of})]
    (b,) = eval_batches(config, source, 2, columns=("labels",))
    assert b["counterfactual"][0] == ""
    assert json.loads(b["counterfactual"][1]) == of


def test_views_have_a_slot_each(config, tokenizer):
    row = filled(["views"], config, tokenizer)
    assert row["view_given"].tolist() == [True, True, False]
    assert row["views"].shape == (3, SIDE, SIDE, 1)
    assert [int(view.max()) for view in row["views"]] == [40, 90, 0]
    views = config.image.views
    assert choose_views(record(), views, None) == (0, 1, -1)
    drawn = {choose_views(record(), views, np.random.default_rng(i)) for i in range(20)}
    assert drawn == {(0, 1, -1), (0, 2, -1)}


def test_a_conversation_is_learnt_where_the_assistant_speaks(config, tokenizer):
    row = filled(["image", "chat"], config, tokenizer, one=record())
    turns = record().turns
    heads = [tokenizer.pieces(f"{turn.role}: ") for turn in turns]
    bodies = [[*tokenizer.pieces(turn.text), tokenizer.end_id] for turn in turns]
    pad = tokenizer.pad_id
    # the user's second film is not in the batch, which shows one image
    whole = [*heads[0], *bodies[0], pad, *heads[1], *bodies[1], *heads[2], *bodies[2]]
    place = len(heads[0] + bodies[0])
    assert row["chat"].tolist() == whole[:LENGTH]
    assert row["chat_image"].tolist() == [0 if i == place else -1 for i in range(LENGTH)]
    assert row["chat_mask"].all()  # it was cut

    long = 40
    builder = BatchBuilder(["chat", "views"], config, tokenizer)
    batch = builder.empty(1, long)
    builder.fill(batch, 0, record(), "", None)
    two = [*heads[0], *bodies[0], pad, *heads[1], *bodies[1], *heads[2], *bodies[2]]
    assert batch["chat"][0, : len(two)].tolist() == two
    assert batch["chat_mask"][0].tolist() == [i < len(two) for i in range(long)]
    start = len(two) - len(bodies[2])
    assert batch["chat_loss"][0].tolist() == [start <= i < len(two) for i in range(long)]
    assert batch["chat_image"][0, place] == 0  # slot of the frontal view


def test_images_of_a_conversation_stand_at_their_slots(config, tokenizer):
    column = ChatColumn(config, tokenizer)
    batch = column.empty(1, LENGTH)
    one = record(turns=(Turn("user", "", (2, 1, 0)),))
    column.fill(batch, 0, Visit(one, views=(0, 2, -1)))  # the second lateral film was drawn
    assert batch["chat_image"][0, :3].tolist() == [1, 0, -1]
    text = column.empty(1, LENGTH)
    column.fill(text, 0, Visit(one))  # no image in the batch
    assert (text["chat_image"] == -1).all()


def test_latents_are_found_by_id(config, tokenizer):
    row = filled(["latents"], config, tokenizer)
    np.testing.assert_array_equal(row["latents"], np.arange(6, 12).reshape(2, 3))
    assert row["latents"].dtype == np.float16
    with pytest.raises(RecordError, match="record 'c' has no latents in"):
        filled(["latents"], config, tokenizer, one=record(id="c"))
    kept = KeptLatents(config.latents)
    kept.open()
    again = pickle.loads(pickle.dumps(kept))  # as a worker process gets it
    np.testing.assert_array_equal(again["b"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"shape": (3, 2)}, r"float16 \(2, 3\), and config\.data\.latents says float16 \(3, 2\)"),
        ({"dtype": "float32"}, "says float32"),
        ({"folder": "nowhere"}, "nowhere holds no latents"),
    ],
)
def test_latents_that_are_not_as_declared(said, message, config):
    wrong = dataclasses.replace(config, latents=dataclasses.replace(config.latents, **said))
    with pytest.raises(DataError, match=message):
        BatchBuilder(["latents"], wrong)


def test_latents_need_one_id_each(tmp_path):
    with pytest.raises(DataError, match="2 arrays for 2 ids, of which 1 differ"):
        write_latents(tmp_path, ["a", "a"], np.zeros((2, 3), np.float32))


def test_a_row_that_fails_is_padding_again(config, tokenizer):
    broken = record(masks=(Mask(png(255), "edema"), Mask(b"\x89PNG\r\n\x1a\n broken", "heart")))
    names = [n for n in COLUMNS if n != "box_phrases"]
    builder = BatchBuilder(names, config, tokenizer)
    batch = builder.empty(ROWS, LENGTH)
    with pytest.raises(ImageError, match="PNG"):
        builder.fill(batch, 1, broken, REPORT, None)
    for name, values in builder.empty(ROWS, LENGTH).items():
        np.testing.assert_array_equal(batch[name], values)


@pytest.mark.parametrize("names", [("image", "masks"), ("masks", "image", "text_variant", "views")])
def test_what_is_drawn_does_not_depend_on_the_other_columns(names, config, tokenizer):
    """The image of a visit is the same whatever else the batch holds, and however it is named."""
    wide = dataclasses.replace(
        config, image=dataclasses.replace(config.image, photometric=NOISY, views=("LATERAL",))
    )
    alone = filled(["image"], wide, tokenizer, rng=np.random.default_rng(5))
    more = filled(names, wide, tokenizer, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(more["image"], alone["image"])


def test_evaluation_and_training_take_names(config, tokenizer):
    source = [record(id=i) for i in "abcd"]
    (b, c) = eval_batches(config, source, ROWS, columns=("labels", "image"))
    assert {*b} == {"image", "labels", "valid", *HOST}
    assert b["view"].tolist() == ["PA"] * 3
    assert c["valid"].tolist() == [True, False, False]
    with train_iterator(
        config, 1, columns=("text", "labels"), tokenizer=tokenizer, sources=[source]
    ) as it:
        assert {*next(it)} == {"text", "text_mask", "labels", "valid", "id"}


def test_records_without_an_image_serve_columns_that_show_none(config, tokenizer):
    source = [record(images=(), boxes=(), masks=(), turns=record().turns[2:])]
    (b,) = eval_batches(config, source, 1, columns=("text", "chat"), tokenizer=tokenizer)
    assert b["valid"].tolist() == [True]
    assert b["chat_loss"].any()
    (b,) = eval_batches(config, source, 1, columns=("image",))
    assert b["valid"].tolist() == [False]
