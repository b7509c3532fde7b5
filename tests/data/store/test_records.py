"""Records: validation, the Example codec, and the content hash."""

import dataclasses
import hashlib
import math
import subprocess
import sys

import pytest

from medvlp_jax.data.store import example
from medvlp_jax.data.store.layout import from_example, schema, to_example
from medvlp_jax.data.store.record import (
    Box,
    Image,
    Mask,
    Record,
    RecordError,
    Text,
    Turn,
    content_sha256,
    with_content_hash,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPEG = b"\xff\xd8\xff" + bytes(range(256))


def full_record() -> Record:
    return Record(
        id="study 1",
        images=(
            Image(JPEG, "jpeg", "PA", "xray", 640, 480),
            Image(b"\0" * 128 + b"DICM", "dicom", "LATERAL", "xray"),
        ),
        texts=(
            Text("Small left effusion \u2265 2 cm.", "findings", "grammar", ("pleural effusion",)),
            Text("x", "caption"),
        ),
        labels={"pleural effusion": 1, "edema": 0, "mass": -1},
        boxes=(Box(0.1, 0.2, 0.3, 1.0, "pleural effusion", "left effusion", 1),),
        masks=(Mask(PNG, "left lung"),),
        patient_id="p1",
        split="val",
        provenance={"seed": 3, "versions": {"jax": "0.10"}, "findings": [{"side": "left"}]},
    )


def test_round_trip():
    record = full_record().validate()
    assert from_example(to_example(record)) == record
    bare = Record(id="a", images=(Image(PNG, "png"),))
    assert from_example(to_example(bare)) == bare


def test_bytes_do_not_depend_on_dict_order():
    record = full_record()
    turned = dataclasses.replace(
        record,
        labels=dict(reversed(record.labels.items())),
        provenance=dict(reversed(record.provenance.items())),
    )
    assert to_example(turned) == to_example(record)


def test_codec_agrees_with_the_generated_protobuf():
    from tensorflow_datasets.proto import tf_example_pb2 as pb2

    features = {
        "b": ("bytes", [b"", b"\0\xff" * 300]),
        "f": ("float", [0.5, -1e30]),
        "i": ("int", [0, 1, -1, 2**62, -(2**63)]),
        "none/b": ("bytes", []),
        "none/f": ("float", []),
        "none/i": ("int", []),
    }
    message = pb2.Example.FromString(example.encode(features))
    got = {
        k: list(getattr(v, v.WhichOneof("kind")).value) for k, v in message.features.feature.items()
    }
    assert got["b"] == features["b"][1]
    assert got["i"] == features["i"][1]
    assert got["f"] == pytest.approx(features["f"][1])
    assert got["none/b"] == got["none/f"] == got["none/i"] == []
    back = example.decode(message.SerializeToString())
    assert {k: v for k, v in back.items() if k != "f"} == {
        k: v for k, (_, v) in features.items() if k != "f"
    }


@pytest.mark.parametrize(
    "data", [b"\x0a", b"hello world", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 40]
)
def test_foreign_bytes_are_rejected(data):
    with pytest.raises(RecordError):
        from_example(data)


def test_every_truncation_is_rejected():
    data = to_example(full_record())
    for cut in range(0, len(data), 7):
        with pytest.raises(RecordError):
            from_example(data[:cut])


def test_foreign_example_names_the_missing_feature():
    foreign = example.encode({"image": ("bytes", [PNG])})
    with pytest.raises(RecordError, match="no feature 'id'"):
        from_example(foreign)


BAD = {
    "id": ({"id": ""}, "id is empty"),
    "split": ({"split": "train/1"}, "split 'train/1'"),
    "nothing": ({"images": (), "texts": (), "boxes": (), "masks": ()}, "both empty"),
    "no bytes": ({"images": (Image(b"", "png"),) * 2}, r"images\[0\]\.data is empty"),
    "format": ({"images": (Image(PNG, "gif"),) * 2}, r"images\[0\]\.format is 'gif'"),
    "magic": ({"images": (Image(PNG, "jpeg"),) * 2}, "is no jpeg file"),
    "blank text": ({"texts": (Text(" \n", "findings"),)}, r"texts\[0\]\.text is empty"),
    "section": ({"texts": (Text("a", ""),)}, r"texts\[0\]\.section"),
    "affirmed": (
        {"texts": (Text("a", "caption", labels=("edema",)),)},
        r"texts\[0\]\.labels has 'edema', which is no positive label",
    ),
    "label value": ({"labels": {"edema": 2}}, r"labels\['edema'\] is 2"),
    "label bool": ({"labels": {"edema": True}}, r"labels\['edema'\] is True"),
    "label name": ({"labels": {"Edema": 1}}, r"labels\['Edema'\]"),
    "nan box": ({"boxes": (Box(math.nan, 0, 1, 1, "a"),)}, r"boxes\[0\].*not finite"),
    "pixel box": ({"boxes": (Box(0, 0, 200, 1, "a"),)}, r"boxes\[0\].*leaves \[0, 1\]"),
    "huge box": ({"boxes": (Box(0, 0, 1e60, 1, "a"),)}, r"boxes\[0\].*not finite"),
    "flat box": ({"boxes": (Box(0.5, 0, 0.5, 1, "a"),)}, r"boxes\[0\].*no area"),
    "box image": ({"boxes": (Box(0, 0, 1, 1, "a", image=2),)}, r"boxes\[0\]\.image is 2"),
    "mask image": ({"masks": (Mask(PNG, "heart", -1),)}, r"masks\[0\]\.image is -1"),
    "mask bytes": ({"masks": (Mask(JPEG, "heart"),)}, r"masks\[0\]\.data is not a PNG"),
    "provenance": ({"provenance": {"p": object()}}, "provenance is not JSON"),
    "provenance nan": ({"provenance": {"p": math.nan}}, "provenance is not JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_validation_names_record_field_and_mend(case):
    changes, message = BAD[case]
    record = dataclasses.replace(full_record(), **changes)
    with pytest.raises(RecordError, match=message) as caught:
        record.validate()
    text = str(caught.value)
    assert text.startswith(f"record {record.id!r}: ")
    assert "; " in text
    assert "\n" not in text


def test_content_hash_covers_content_and_nothing_else():
    record = full_record()
    base = content_sha256(record)
    same = dataclasses.replace(record, id="b", split="test", provenance={}, patient_id="q")
    assert content_sha256(same) == base
    assert with_content_hash(record).provenance["content_sha256"] == base
    others = [
        dataclasses.replace(record, images=(Image(JPEG + b"!", "jpeg"), record.images[1])),
        dataclasses.replace(record, texts=(record.texts[0],)),
        dataclasses.replace(record, labels={**record.labels, "edema": 1}),
        dataclasses.replace(
            record, texts=(dataclasses.replace(record.texts[0], labels=()), record.texts[1])
        ),
        # the same characters split in another way
        dataclasses.replace(record, texts=(record.texts[0], Text("", "captionx"))),
    ]
    assert len({base, *map(content_sha256, others)}) == 6


def test_schema_names_every_field_of_the_dataclasses():
    spec = schema(turns=True)
    assert set(spec) == {f.name for f in dataclasses.fields(Record)}
    kinds = {"images": Image, "texts": Text, "boxes": Box, "masks": Mask, "turns": Turn}
    for key, cls in kinds.items():
        assert set(spec[key]) == {f.name for f in dataclasses.fields(cls)}
    assert {*spec} - {*schema()} == {"turns"}


TURNS = (
    Turn("user", "What do both films show?", (1, 0)),
    Turn("assistant", "A small left effusion."),
    Turn("user", "", (1,)),
)


def test_a_conversation_comes_back_from_disk():
    record = dataclasses.replace(full_record(), turns=TURNS).validate()
    assert from_example(to_example(record)) == record
    assert content_sha256(record) != content_sha256(full_record())
    said = Record("a", (), turns=TURNS[1:2]).validate()  # of nothing but words
    assert from_example(to_example(said)) == said


def test_a_record_without_a_conversation_has_the_features_it_always_had():
    data = to_example(full_record())
    assert not any(key.startswith("turns") for key in example.decode(data))
    # as written before records could hold conversations
    digest = "efd67d0b5700bd86b498a3f99d62f5e24a941420ccf53bb8df4126d7bb338983"
    assert hashlib.sha256(data).hexdigest() == digest


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (Turn("radiologist", "Hello."), r"turns\[0\]\.role is 'radiologist'; use one of"),
        (Turn("user", " "), r"turns\[0\]\.text is empty"),
        (Turn("user", "This?", (2,)), r"turns\[0\]\.images is 2 but the record has 2 images"),
    ],
)
def test_turns_that_are_wrong(turn, message):
    with pytest.raises(RecordError, match=message):
        dataclasses.replace(full_record(), turns=(turn,)).validate()


def test_records_import_neither_jax_nor_tensorflow_nor_tfds():
    code = (
        "import sys, medvlp_jax.data.store.dataset, medvlp_jax.data.store.shards; "
        "print([m for m in ('jax', 'tensorflow', 'tensorflow_datasets') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
