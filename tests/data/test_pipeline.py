import collections
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest
import simplejpeg

from medvlp_jax.core import config as core_config
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.device import prefetch_to_device
from medvlp_jax.data.held_out import LeftOut, write_held_out
from medvlp_jax.data.images.augment import ImageConfig, PhotometricConfig
from medvlp_jax.data.images.geometry import GeometryConfig
from medvlp_jax.data.labelled import label_indices
from medvlp_jax.data.loaders import DataError
from medvlp_jax.data.pipeline import eval_batches, find_tokenizer, train_iterator
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts.choice import TextConfig, text_key
from medvlp_jax.data.texts.tokenizer import Tokenizer, train_wordpiece

LABELS = ("cardiomegaly", "edema", "nodule")
#: What batches hold unless a test asks for something else.
PLAIN = ("image", "text", "text_key", "labels", "statements")
SEVERITIES = ("mild", "moderate", "severe")


def make_record(i: int, split: str = "train", **changes) -> Record:
    """Study ``i``: a bright square on a dark film, a report of 1 to 6 sentences, some labels."""
    rng = np.random.default_rng(i)
    width, height = 48 + 8 * (i % 3), 40
    pixels = rng.integers(0, 60, (height, width)).astype(np.uint8)
    x, y = 12 + i % 8, 10 + i % 5
    pixels[y : y + 14, x : x + 14] = 230
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + 14, x : x + 14] = 255
    if i % 2:
        data, fmt = cv2.imencode(".png", pixels)[1].tobytes(), "png"
    else:
        data, fmt = simplejpeg.encode_jpeg(pixels[:, :, None], 95, "GRAY", "Gray"), "jpeg"
    body = [f"There is {SEVERITIES[(i + k) % 3]} opacity number {i}." for k in range(1 + i % 6)]
    box = Box(x / width, y / height, (x + 14) / width, (y + 14) / height, "nodule", f"phrase {i}")
    fields = {
        "id": f"{split}-{i}",
        "images": (Image(data, fmt, view="PA" if i % 4 else "AP", width=width, height=height),),
        "texts": (Text(" ".join(body), "findings"), Text("Opacity.", "impression")),
        "labels": {"cardiomegaly": i % 2, "edema": -1} if i % 5 else {},
        "boxes": (box,),
        "masks": (Mask(cv2.imencode(".png", mask)[1].tobytes(), "nodule"),),
        "patient_id": f"patient {i}",
        "split": split,
    }
    return Record(**{**fields, **changes})


class Memory:
    """Records in a list, as the pipeline's Source; counts what is read."""

    def __init__(self, records):
        self.records = list(records)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder of 30 training studies in three shards and 11 validation studies in one."""
    directory = tmp_path_factory.mktemp("data")
    for k in range(3):
        records = (make_record(i) for i in range(10 * k, 10 * k + 10))
        write_shard(directory, ShardName("toy", "train", k, 3), records, "job")
    write_shard(
        directory, ShardName("toy", "val", 0, 1), (make_record(i, "val") for i in range(11)), "job"
    )
    return directory


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return find_tokenizer(config_of(folder))


def config_of(folder, **changes) -> DataConfig:
    fields = {
        "sources": (SourceConfig(str(folder)),),
        "batch_size": 4,
        "image": ImageConfig(
            size=24,
            geometry=GeometryConfig(crop_area=(0.6, 1.0), rotate=5),
            photometric=PhotometricConfig(brightness=0.1, noise=0.5),
        ),
        "text": TextConfig(policy="sentence", buckets=(8, 12, 16), window=3),
        "labels": LABELS,
    }
    return DataConfig(**{**fields, **changes})


def run(config, tokenizer, steps, start=None, **kwargs):
    """All batches of a run, from the state ``start`` if given."""
    kwargs = {"columns": PLAIN, "tokenizer": tokenizer} | kwargs
    with train_iterator(config, steps, **kwargs) as it:
        if start is not None:
            it.set_state(start)
        return [{k: np.array(v) for k, v in b.items()} for b in it]


def assert_equal(a: list[dict], b: list[dict]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for k in x:
            assert x[k].dtype == y[k].dtype
            np.testing.assert_array_equal(x[k], y[k], err_msg=k)


# What a batch is


def test_batch_contents(folder, tokenizer):
    batches = run(config_of(folder), tokenizer, 10)
    assert len(batches) == 10
    records = {f"train-{i}": make_record(i) for i in range(30)}
    for b in batches:
        t = b["text"].shape[1]
        assert t in (8, 12, 16)
        shapes = {k: (v.shape, v.dtype.str[1:]) for k, v in b.items() if k != "id"}
        assert shapes == {
            "image": ((4, 24, 24, 1), "u1"), "text": ((4, t), "i4"), "text_mask": ((4, t), "b1"),
            "text_key": ((4,), "u4"), "labels": ((4, 3), "i1"), "valid": ((4,), "b1"),
            "text_labels": ((4, 3), "u1"),
        }  # fmt: skip
        assert b["valid"].all()
        for row, name in enumerate(b["id"]):
            record = records[str(name)]
            expected = [record.labels.get(label, -2) for label in LABELS]
            assert b["labels"][row].tolist() == expected
            assert b["text_labels"][row].tolist() == [int(x == 1) for x in expected]
            text = tokenizer.decode(b["text"][row][b["text_mask"][row]])
            assert text.rstrip(".") in record.texts[0].text.lower() + " opacity"
            assert b["text_mask"][row].sum() == tokenizer.lengths([text])[0]
            assert b["text_key"][row] == text_key(text)
        assert b["image"].max() > 150


def test_text_labels_are_those_of_the_text_that_was_read(tokenizer):
    texts = (
        Text("Nodule.", "caption", labels=("nodule",)),
        Text("Large heart.", "caption", labels=("cardiomegaly", "not asked for")),
        Text("Both of it.", "caption"),
    )
    labels = {"nodule": 1, "cardiomegaly": 1, "edema": 0, "not asked for": 1}
    memory = Memory([make_record(0, texts=texts, labels=labels)])
    config = config_of("unused", batch_size=1, text=TextConfig(policy="caption", buckets=(16,)))
    seen = {
        tokenizer.decode(b["text"][0][b["text_mask"][0]]).strip(". "): b["text_labels"][0].tolist()
        for b in run(config, tokenizer, 40, sources=[memory])
    }
    assert seen == {"nodule": [0, 0, 1], "large heart": [1, 0, 0], "both of it": [1, 0, 1]}


def test_every_record_once_per_epoch(folder, tokenizer):
    config = config_of(folder, batch_size=5, text=TextConfig(buckets=(32,), window=2))
    batches = run(config, tokenizer, 18)
    for epoch in range(3):
        ids = [str(i) for b in batches[6 * epoch : 6 * epoch + 6] for i in b["id"]]
        assert sorted(ids) == sorted(f"train-{i}" for i in range(30))
    first, second = batches[0]["image"], batches[6]["image"]
    assert (first != second).any()


def test_augmentation_is_new_each_epoch_and_absent_without_ranges(folder, tokenizer):
    def pictures(config):
        out = collections.defaultdict(list)
        for b in run(config, tokenizer, 15):
            for name, image in zip(b["id"], b["image"], strict=True):
                out[str(name)].append(image)
        return out

    config = config_of(folder, text=TextConfig(buckets=(32,), window=0))
    assert all((a != b).any() for a, b in pictures(config).values())
    plain = dataclasses.replace(config, image=ImageConfig(size=24))
    assert all((a == b).all() for a, b in pictures(plain).values())


# Determinism, resume, processes


def test_same_batches_for_any_worker_count(folder, tokenizer, tmp_path):
    """Bitwise, unreadable records and resumption in the middle included."""
    records = (broken(i) if i == 7 else make_record(i) for i in range(30))
    write_shard(tmp_path, ShardName("toy", "train", 0, 1), records, "job")
    config = config_of(tmp_path, masks=("nodule",), max_bad_fraction=0.5)
    columns = (*PLAIN, "boxes", "masks")
    whole = run(config, tokenizer, 9, columns=columns)
    one = dataclasses.replace(config, workers=1, threads=1, prefetch=3)
    with train_iterator(one, 9, columns=columns, tokenizer=tokenizer) as it:
        batches, states = [], []
        for b in it:
            batches.append(b)
            states.append(it.get_state())
        assert set(it.unreadable.seen) == {"train-7"}
    assert_equal(batches, whole)
    two = dataclasses.replace(config, workers=2, threads=2)
    assert_equal(run(two, tokenizer, 9, states[3], columns=columns), whole[4:])


@pytest.mark.multiprocess
def test_workers_need_no_parsed_flags_and_leave_nothing_behind(folder, tmp_path, repo_root):
    script = tmp_path / "notebook.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from absl import flags\n"
        "from medvlp_jax.data.config import DataConfig, SourceConfig\n"
        "from medvlp_jax.data.pipeline import train_iterator\n"
        "if __name__ == '__main__':\n"
        "    assert not flags.FLAGS.is_parsed()\n"
        "    config = DataConfig((SourceConfig(sys.argv[1]),), batch_size=4, workers=1)\n"
        "    it = train_iterator(config, 1000, columns=('image', 'text'))\n"
        "    assert next(it)['image'].shape == (4, 224, 224, 1)\n"
        "    it.close()\n"
        "    assert not multiprocessing.active_children()\n"
        "    assert not {'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, script, folder],
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr


def test_resume_is_bitwise_and_free_of_threads_and_processes(folder, tokenizer):
    config = config_of(folder)
    whole = run(config, tokenizer, 12)
    with train_iterator(config, 12, columns=PLAIN, tokenizer=tokenizer) as it:
        for _ in range(5):
            next(it)
        state = json.loads(json.dumps(it.get_state()))  # as a checkpoint keeps it
        next(it)
        it.set_state(state)  # the same iterator can go back
        assert_equal([next(it)], whole[5:6])
    assert_equal(run(config, tokenizer, 12, state), whole[5:])
    other = dataclasses.replace(config, threads=1, prefetch=3)
    assert_equal(run(other, tokenizer, 12, state), whole[5:])
    halves = [run(config, tokenizer, 12, state, process_index=p, process_count=2) for p in range(2)]
    joined = [{k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*halves, strict=True)]
    assert_equal(joined, whole[5:])
    assert_equal(run(config, tokenizer, 20, state)[:7], whole[5:])  # a longer run


@pytest.mark.parametrize("processes", [2, 4])
def test_one_process_is_the_concatenation_of_many(folder, tokenizer, processes):
    config = config_of(folder)
    whole = run(config, tokenizer, 6)
    parts = [
        run(config, tokenizer, 6, process_index=p, process_count=processes)
        for p in range(processes)
    ]
    joined = [{k: np.concatenate([p[i][k] for p in parts]) for k in whole[i]} for i in range(6)]
    assert_equal(joined, whole)


def test_batch_that_does_not_divide_is_refused(folder, tokenizer):
    with pytest.raises(DataError, match="does not divide among 3"):
        train_iterator(config_of(folder), 3, 0, 3, columns=PLAIN, tokenizer=tokenizer)


def test_state_of_another_order_is_refused(folder, tokenizer):
    with train_iterator(config_of(folder), 5, columns=PLAIN, tokenizer=tokenizer) as it:
        state = it.get_state()
    with (
        train_iterator(config_of(folder, seed=1), 5, columns=PLAIN, tokenizer=tokenizer) as other,
        pytest.raises(DataError, match="seed=0, this run has seed=1"),
    ):
        other.set_state(state)


def test_moved_folder_resumes(folder, tokenizer, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    with train_iterator(config_of(folder), 6, columns=PLAIN, tokenizer=tokenizer) as it:
        next(it)
        state = it.get_state()
    assert_equal(
        run(config_of(tmp_path / "moved"), tokenizer, 6, state),
        run(config_of(folder), tokenizer, 6)[1:],
    )


def test_mixing(folder, tokenizer):
    sources = (
        SourceConfig(str(folder), "train", 3.0),
        SourceConfig(str(folder), "val", 1.0),
    )
    ids = [str(i) for b in run(config_of(folder, sources=sources), tokenizer, 30) for i in b["id"]]
    assert sum(i.startswith("train") for i in ids) == 90
    counted = collections.Counter(i for i in ids if i.startswith("val"))
    assert set(counted.values()) <= {2, 3}  # 30 visits of 11 records


def test_views(folder, tokenizer):
    config = config_of(folder, image=ImageConfig(size=24, views=("AP",)))
    ids = {int(i.split("-")[1]) for b in run(config, tokenizer, 12) for i in b["id"]}
    assert ids == set(range(0, 30, 4))


def test_several_images_are_drawn_in_training_and_preferred_in_evaluation(tokenizer):
    def picture(gray, view):
        return Image(
            cv2.imencode(".png", np.full((30, 30), gray, np.uint8))[1].tobytes(), "png", view
        )

    two = Memory(
        make_record(i, images=(picture(200, "LATERAL"), picture(50, "PA")), boxes=(), masks=())
        for i in range(8)
    )
    config = config_of("unused", image=ImageConfig(size=8, views=("PA", "LATERAL")))
    grays = [
        g for b in run(config, tokenizer, 20, sources=[two]) for g in b["image"].max((1, 2, 3))
    ]
    assert set(grays) == {50, 200}
    assert 25 < grays.count(50) < 55
    assert all(
        (b["image"] == 50).all()
        for b in eval_batches(config, two, 4, columns=PLAIN, tokenizer=tokenizer)
    )


# Texts


def test_text_lengths_are_cached(folder, tokenizer, tmp_path, monkeypatch):
    config = config_of(folder, cache_dir=str(tmp_path / "cache"))
    first = run(config, tokenizer, 3)
    files = list((tmp_path / "cache").glob("text-train-*.npz"))
    assert len(files) == 1
    assert not list((tmp_path / "cache").glob(".*"))

    def no_scan(*args):
        raise AssertionError("the cache was not used")

    with monkeypatch.context() as m:
        m.setattr("medvlp_jax.data.texts.text_index.scan", no_scan)
        assert_equal(run(config, tokenizer, 3), first)
        with pytest.raises(AssertionError):  # other options need another count
            run(dataclasses.replace(config, text=TextConfig(min_words=9)), tokenizer, 1)
    files[0].write_bytes(files[0].read_bytes()[:100])
    assert_equal(run(config, tokenizer, 3), first)  # a damaged cache is made again


def test_records_without_text(tokenizer):
    records = [make_record(i, texts=() if i % 2 else make_record(i).texts) for i in range(12)]
    config = config_of("unused")
    ids = {str(i) for b in run(config, tokenizer, 6, sources=[Memory(records)]) for i in b["id"]}
    assert ids == {f"train-{i}" for i in range(0, 12, 2)}
    keep = dataclasses.replace(config, text=dataclasses.replace(config.text, missing="empty"))
    batches = run(keep, tokenizer, 6, sources=[Memory(records)])
    assert {str(i) for b in batches for i in b["id"]} == {f"train-{i}" for i in range(12)}
    for b in batches:
        odd = np.array([int(i.split("-")[1]) % 2 == 1 for i in b["id"]])
        assert not b["text_mask"][odd].any()
        assert b["text_mask"][~odd].any(axis=1).all()
        assert (b["text_key"][odd] == 0).all()
    with pytest.raises(ValueError, match="no record of"):
        train_iterator(
            config, 1, columns=PLAIN, tokenizer=tokenizer, sources=[Memory(records[1::2])]
        )


def test_default_tokenizer_is_trained_once_beside_the_data(folder, tokenizer):
    assert (folder / "tokenizer" / "tokenizer.json").exists()
    again = find_tokenizer(config_of(folder))
    assert again.hash == tokenizer.hash
    assert again.unknown_fraction(["There is mild opacity number 3."]) == 0


def test_a_mixture_of_folders_has_a_tokenizer_of_its_own(folder, tokenizer, tmp_path):
    """That of the first folder would cut the words of the second into letters."""
    text = "Bronchovascular crowding retrocardially."
    records = [make_record(i, texts=(Text(text, "report"),)) for i in range(4)]
    write_shard(tmp_path / "more", ShardName("more", "train", 0, 1), records)
    config = config_of(folder)
    both = (*config.sources, SourceConfig(str(tmp_path / "more"), "train"))
    mixed = find_tokenizer(dataclasses.replace(config, sources=both))
    assert len(mixed.encode(text)[0]) < len(tokenizer.encode(text)[0]) / 2
    assert find_tokenizer(dataclasses.replace(config, sources=both[::-1])).hash == mixed.hash
    assert find_tokenizer(config).hash == tokenizer.hash


def test_a_batch_larger_than_the_data_is_said(tokenizer, caplog):
    few = [Memory([make_record(i) for i in range(3)])]
    train_iterator(config_of("unused"), 1, columns=PLAIN, tokenizer=tokenizer, sources=few)
    assert "have 3 usable records, fewer than data.batch_size=4" in caplog.text
    caplog.clear()
    enough = [Memory([make_record(i) for i in range(4)])]
    train_iterator(config_of("unused"), 1, columns=PLAIN, tokenizer=tokenizer, sources=enough)
    assert "usable records" not in caplog.text


def test_a_folder_that_cannot_be_written_asks_for_a_cache_dir(folder, tokenizer, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    config = config_of(folder, cache_dir=str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"set data\.cache_dir"):
        find_tokenizer(config)
    with caplog.at_level("WARNING"):
        run(config, tokenizer, 1)  # lengths are counted anew at each start instead
    assert "set data.cache_dir" in caplog.text


def test_a_tokenizer_that_does_not_know_the_corpus_is_refused(tokenizer):
    foreign = [make_record(i, texts=(Text("心脏 大小 正常", "findings"),)) for i in range(4)]
    with pytest.raises(ValueError, match="unknown"):
        train_iterator(
            config_of("unused"), 1, columns=PLAIN, tokenizer=tokenizer, sources=[Memory(foreign)]
        )


# Flips


def test_flip_is_refused_where_texts_name_a_side(tokenizer):
    image = ImageConfig(size=24, geometry=GeometryConfig(flip=0.5))
    config = config_of("unused", image=image)
    plain = Memory(make_record(i) for i in range(4))
    sided = Memory(make_record(i, texts=(Text("Left opacity.", "findings"),)) for i in range(4))
    labelled = Memory(make_record(i, labels={"left effusion": 1}) for i in range(4))
    run(config, tokenizer, 1, sources=[plain])
    for source in (sided, labelled):
        with pytest.raises(DataError, match="would make 4 records wrong"):
            run(config, tokenizer, 1, sources=[source])
    allowed = dataclasses.replace(config, image=dataclasses.replace(image, allow_flip=True))
    run(allowed, tokenizer, 1, sources=[sided])


# Boxes and masks


def test_boxes_and_masks_follow_the_image(tokenizer):
    config = config_of(
        "unused", max_boxes=3, masks=("heart", "nodule"),
        image=ImageConfig(size=48, geometry=GeometryConfig(crop_area=(0.7, 1.0), rotate=5)),
    )  # fmt: skip
    source = Memory(make_record(i) for i in range(12))
    compared = 0
    for b in run(config, tokenizer, 9, sources=[source], columns=("image", "boxes", "masks")):
        assert b["boxes"].shape == (4, 3, 4)
        assert b["masks"].shape == (4, 48, 48, 2)
        assert b["mask_given"].tolist() == [[False, True]] * 4
        assert not b["masks"][..., 0].any()
        for row in range(4):
            mask = b["masks"][row, :, :, 1]
            bright = b["image"][row, :, :, 0] > 150
            assert (mask & bright).sum() / (mask | bright).sum() > 0.75
            assert set(b["box_label"][row, 1:]) == {-1}
            if b["box_label"][row, 0] < 0:
                continue
            assert b["box_label"][row, 0] == LABELS.index("nodule")
            ys, xs = np.nonzero(mask)
            found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / 48
            if b["boxes"][row, 0].min() > 0 and b["boxes"][row, 0].max() < 1:
                assert np.abs(found - b["boxes"][row, 0]).max() < 5 / 48
                compared += 1
    assert compared > 10


def test_more_boxes_than_places_keep_the_largest(tokenizer):
    boxes = tuple(Box(0.4, 0.4, 0.45 + 0.1 * k, 0.6, "nodule", f"p{k}") for k in range(4))
    source = Memory([make_record(1, boxes=boxes)])
    config = config_of("unused", max_boxes=2, image=ImageConfig(size=24, resize="stretch"))
    (b,) = eval_batches(config, source, 1, columns=("boxes", "box_phrases"))
    assert b["box_phrase"].tolist() == [["p2", "p3"]]
    np.testing.assert_allclose(b["boxes"][0, 1], [0.4, 0.4, 0.75, 0.6], atol=1e-6)


# Unreadable records


def broken(i: int) -> Record:
    return make_record(i, images=(Image(make_record(i).images[0].data[:60], "png"),))


def test_unreadable_records_are_replaced_counted_and_named(folder, tokenizer, caplog, tmp_path):
    records = [broken(i) if i in (3, 17) else make_record(i) for i in range(30)]
    write_shard(tmp_path, ShardName("toy", "train", 0, 2), records[:15], "job")
    write_shard(tmp_path, ShardName("toy", "train", 1, 2), records[15:], "job")
    config = config_of(tmp_path, text=TextConfig(buckets=(32,), window=2), max_bad_fraction=0.2)
    with (
        caplog.at_level("WARNING"),
        train_iterator(config, 15, columns=PLAIN, tokenizer=tokenizer) as it,
    ):
        batches = list(it)
    assert it.unreadable.failures == 4  # two records, two epochs
    assert it.unreadable.visits == 60
    assert set(it.unreadable.seen) == {"train-3", "train-17"}
    named = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    assert len(named) == 2  # once each
    assert any("train-17" in m and "toy-train.array_record-00001-of-00002" in m for m in named)
    ids = [str(i) for b in batches for i in b["id"]]
    assert len(ids) == 60
    assert not {"train-3", "train-17"} & set(ids)
    assert all(b["valid"].all() for b in batches)
    assert not any(k.startswith("_") for b in batches for k in b)


def test_too_many_unreadable_records_stop_the_run(tokenizer):
    source = Memory(broken(i) if i % 3 == 0 else make_record(i) for i in range(30))
    with pytest.raises(DataError, match=r"1[1-4] of \d+ visited records .*max_bad_fraction=0.01"):
        run(config_of("unused"), tokenizer, 60, sources=[source])
    strict = config_of("unused", max_bad_fraction=0.0)
    with pytest.raises(DataError, match="1 of"):
        run(dataclasses.replace(strict, batch_size=1), tokenizer, 60, sources=[source])
    nothing = Memory(broken(i) for i in range(5))
    with pytest.raises(DataError, match="64 records in a row"):
        run(config_of("unused"), tokenizer, 2, sources=[nothing])


def test_zero_byte_image_and_broken_mask_are_unreadable(tokenizer):
    empty = make_record(0, images=(Image(b"", "jpeg"),))
    mask = make_record(1, masks=(Mask(b"\x89PNG\r\n\x1a\n broken", "nodule"),))
    source = Memory([empty, mask, *(make_record(i) for i in range(2, 8))])
    config = config_of("unused", masks=("nodule",))
    columns = (*PLAIN, "masks")
    with train_iterator(config, 4, columns=columns, tokenizer=tokenizer, sources=[source]) as it:
        list(it)
    assert set(it.unreadable.seen) == {"train-0", "train-1"}
    assert "empty (0 bytes)" in it.unreadable.seen["train-0"]


# Evaluation


def test_evaluation_is_ordered_padded_and_plain(folder, tokenizer):
    config = config_of(folder)
    val = SourceConfig(str(folder), "val")
    columns = (*PLAIN, "boxes", "box_phrases")
    batches = list(eval_batches(config, val, 4, columns=columns, tokenizer=tokenizer))
    assert len(batches) == 3
    assert [str(i) for b in batches for i in b["id"]] == [f"val-{i}" for i in range(11)] + [""]
    assert np.concatenate([b["valid"] for b in batches]).tolist() == [True] * 11 + [False]
    assert {b["text"].shape for b in batches} == {(4, 16)}
    last = {k: v[3] for k, v in batches[-1].items()}
    assert not last["image"].any()
    assert not last["text_mask"].any()
    assert (last["labels"] == -2).all()
    assert (last["box_label"] == -1).all()
    assert last["text_str"] == ""
    record = make_record(5, "val")
    row = {k: v[1] for k, v in batches[1].items()}
    assert row["text_str"] == record.texts[0].text.split(". ")[0].rstrip(".") + "."
    assert row["box_phrase"][0] == "phrase 5"
    assert row["view"] == "PA"
    assert row["patient_id"] == "patient 5"
    assert row["box_label"][0] == LABELS.index("nodule")


def test_evaluation_over_processes(folder, tokenizer):
    config = config_of(folder)
    val = SourceConfig(str(folder), "val")
    whole = list(eval_batches(config, val, 6, columns=PLAIN, tokenizer=tokenizer))
    parts = [
        list(eval_batches(config, val, 6, p, 3, columns=PLAIN, tokenizer=tokenizer))
        for p in range(3)
    ]
    assert [len(p) for p in parts] == [len(whole)] * 3
    for i, b in enumerate(whole):
        for k in b:
            np.testing.assert_array_equal(np.concatenate([p[i][k] for p in parts]), b[k])


def test_evaluation_marks_what_it_cannot_read_and_keeps_textless_records(tokenizer, caplog):
    lateral = dataclasses.replace(make_record(3).images[0], view="LATERAL")
    records = [
        make_record(0),
        broken(1),
        make_record(2, texts=()),
        make_record(3, images=(lateral,)),
    ]
    config = config_of("unused", image=ImageConfig(size=24, views=("PA", "AP", "")))
    with caplog.at_level("WARNING"):
        (b,) = eval_batches(config, Memory(records), 4, columns=PLAIN, tokenizer=tokenizer)
    assert b["valid"].tolist() == [True, False, True, False]
    assert b["id"].tolist() == ["train-0", "train-1", "train-2", "train-3"]
    assert b["text_mask"].any(axis=1).tolist() == [True, False, False, False]
    assert "left out 2 of 4 records: 1 unreadable" in caplog.text
    config = dataclasses.replace(config, max_bad_fraction=0.0)
    with pytest.raises(DataError, match="1 of 4"):
        list(eval_batches(config, Memory(records), 4, columns=PLAIN, tokenizer=tokenizer))


# Config


def test_config_is_parsed_from_a_mapping(folder):
    tree = {
        "sources": [{"path": str(folder), "weight": 2}],
        "batch_size": 8,
        "image": {"size": 32, "resize": "pad", "geometry": {"crop_area": [0.5, 1]}},
        "text": {"policy": "random", "mix": {"report": 1, "sentence": 2.5}},
        "labels": ["edema"],
    }
    parsed = core_config.parse(DataConfig, tree)
    assert parsed.sources[0] == SourceConfig(str(folder), "train", 2.0)
    assert parsed.image.geometry.crop_area == (0.5, 1.0)
    with pytest.raises(core_config.ConfigError, match=r"config\.image\.sise"):
        core_config.parse(DataConfig, {**tree, "image": {"sise": 3}})
    with pytest.raises(core_config.ConfigError, match="crop_area"):
        core_config.parse(DataConfig, {**tree, "image": {"geometry": {"crop_area": [2.0, 3.0]}}})


@pytest.mark.parametrize(
    "bad",
    [{"sources": ()}, {"batch_size": 0}, {"max_bad_fraction": 2.0}, {"masks": ("a", "a")},
     {"labels": ("a", "a")}, {"workers": -1},
     {"sources": (SourceConfig("a", weight=1.0), SourceConfig("b"))}],
)  # fmt: skip
def test_impossible_configs_are_refused(bad):
    possible = core_config.to_plain(config_of("unused"))
    assert core_config.parse(DataConfig, possible) == config_of("unused")
    with pytest.raises(core_config.ConfigError):
        core_config.parse(DataConfig, possible | core_config.to_plain(bad))


# Devices


@pytest.mark.multidevice
def test_prefetch_to_device(folder, tokenizer, devices):
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), devices)
    config = config_of(folder)
    expected = run(config, tokenizer, 7)
    with (
        train_iterator(config, 7, columns=PLAIN, tokenizer=tokenizer) as it,
        prefetch_to_device(it, mesh, depth=2) as feed,
    ):
        for step, (batch, host, state) in enumerate(feed):
            assert set(host) == {"id"}
            assert state["next_step"] == step + 1  # of this batch, not of the prefetched ones
            assert batch.keys() | host.keys() == expected[step].keys()
            for k, v in batch.items():
                assert isinstance(v, jax.Array)
                assert len(v.sharding.device_set) == 8
                assert v.addressable_shards[0].data.shape[0] == 1
                np.testing.assert_array_equal(np.asarray(v), expected[step][k])
        assert step == 6
        with pytest.raises(StopIteration):
            next(feed)


@pytest.mark.multidevice
def test_state_of_the_consumed_batch_resumes_exactly(folder, tokenizer, devices):
    mesh = make_mesh(MeshConfig(), devices[:1])
    config = config_of(folder)
    expected = run(config, tokenizer, 8)
    with (
        train_iterator(config, 8, columns=PLAIN, tokenizer=tokenizer) as it,
        prefetch_to_device(it, mesh, depth=3) as feed,
    ):
        for _ in range(3):
            fed = next(feed)
    assert_equal(run(config, tokenizer, 8, start=fed.state), expected[3:])


@pytest.mark.multidevice
def test_feed_raises_the_iterators_error_and_ends_its_thread(tokenizer, devices):
    import threading

    mesh = make_mesh(MeshConfig(), devices[:1])
    source = Memory(broken(i) if i % 3 == 0 else make_record(i) for i in range(30))
    config = config_of("unused", max_bad_fraction=0.0)
    with train_iterator(config, 50, columns=PLAIN, tokenizer=tokenizer, sources=[source]) as it:
        feed = prefetch_to_device(it, mesh)
        with pytest.raises(DataError, match="cannot be read"):
            list(feed)
        feed.close()
        with pytest.raises(DataError):
            next(feed)
    assert not [t for t in threading.enumerate() if t.name == "medvlp-device-feed"]
    with (
        train_iterator(config_of("unused"), 50, columns=PLAIN, tokenizer=tokenizer,
                       sources=[Memory(make_record(i) for i in range(8))]) as it,
    ):  # fmt: skip
        feed = prefetch_to_device(it, mesh)
        next(feed)
        feed.close()  # with batches still waiting
        with pytest.raises(ValueError, match="closed"):
            next(feed)


def test_closed_iterator_says_so(folder, tokenizer):
    it = train_iterator(config_of(folder), 5, columns=PLAIN, tokenizer=tokenizer)
    next(it)
    it.close()
    assert it.get_state()["next_step"] == 1
    with pytest.raises(ValueError, match="closed"):
        next(it)


def test_any_tokenizer_folder_can_be_named(folder, tmp_path):
    train_wordpiece(["There is mild opacity number 3. Heart normal."] * 3, tmp_path / "other")
    config = config_of(folder, text=TextConfig(tokenizer=str(tmp_path / "other")))
    assert find_tokenizer(config).name == str(tmp_path / "other")


def test_words_and_second_versions_on_request(folder, tokenizer):
    plain = run(config_of(folder), tokenizer, 3)
    text = TextConfig(policy="sentence", buckets=(8, 12, 16), window=3, variant=0.3)
    columns = (*PLAIN, "words", "text_variant")
    more = run(config_of(folder, text=text), tokenizer, 3, columns=columns)
    extra = {"word_ids", "text_variant", "text_variant_mask"}
    assert more[0].keys() - plain[0].keys() == extra
    assert_equal([{k: v for k, v in b.items() if k not in extra} for b in more], plain)
    differ = 0
    for batch in more:
        assert batch["word_ids"].dtype == np.int32
        assert batch["word_ids"].shape == batch["text_variant"].shape == batch["text"].shape
        assert (batch["word_ids"][:, 0] == 0).all()
        assert (batch["word_ids"][~batch["text_mask"]] == -1).all()
        differ += int((batch["text_variant"] != batch["text"]).any(1).sum())
    assert differ > 6
    one = next(iter(eval_batches(config_of(folder, text=text), SourceConfig(str(folder), "val"), 4,
                                 columns=columns, tokenizer=tokenizer)))  # fmt: skip
    np.testing.assert_array_equal(one["text_variant"], one["text"])  # no chance in evaluation


def test_records_that_are_held_out_are_never_seen(tmp_path):
    write_shard(
        tmp_path, ShardName("films", "train", 0, 1), [make_record(i) for i in range(24)], "t"
    )
    source = open_dataset(tmp_path, "train")
    out = [LeftOut(i, f"train-{i}", "same file") for i in (3, 4, 11)]
    write_held_out(tmp_path / "list.json", [(source, out)])
    config = DataConfig(
        (SourceConfig(str(tmp_path)),), 7, ImageConfig(size=16, channels=1), TextConfig(window=0),
        held_out=str(tmp_path / "list.json"),
    )  # fmt: skip
    with train_iterator(config, 6, columns=("image",)) as batches:
        seen = [id for batch in batches for id in batch["id"]]
        state = batches.get_state()
    assert sorted(set(seen)) == sorted(f"train-{i}" for i in range(24) if i not in (3, 4, 11))
    assert seen[:21] == list(dict.fromkeys(seen))  # each once an epoch
    (index,) = label_indices(config, ("edema",))
    assert index.ids.tolist() == [f"train-{i}" for i in range(24) if i not in (3, 4, 11)]
    write_held_out(tmp_path / "list.json", [(source, out[:2])])
    with (
        train_iterator(config, 6, columns=("image",)) as other,
        pytest.raises(DataError, match="data order was made with sources"),
    ):
        other.set_state(state)
    write_held_out(tmp_path / "list.json", [(source, [LeftOut(i, "", "") for i in range(24)])])
    with pytest.raises(DataError, match="leaves nothing of"):
        train_iterator(config, 6, columns=("image",))
