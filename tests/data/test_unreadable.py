"""Damaged records and damaged indices: left out or made again, and said; never a traceback."""

import dataclasses

import cv2
import numpy as np
import pytest

from medvlp_jax.core.files import npz
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.labelled import label_index
from medvlp_jax.data.pipeline import all_texts, find_tokenizer, train_iterator
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.kept_arrays import read_arrays, write_arrays
from medvlp_jax.data.store.manifest import ShardError, ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import text_index
from medvlp_jax.data.unreadable import DataError
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.run.grid.outcome import FILE, Outcome, OutcomeError

COUNT = 60


def make_record(i):
    """Study ``i``: noise, two texts of different lengths, a label for every second one."""
    pixels = np.random.default_rng(i).integers(0, 256, (40, 48), np.uint8)
    texts = (Text(" ".join(["There is opacity."] * (1 + i % 4)), "findings"),
             Text("Opacity.", "impression"))  # fmt: skip
    image = Image(cv2.imencode(".png", pixels)[1].tobytes(), "png", "PA", width=48, height=40)
    return Record(f"train-{i}", (image,), texts, {"nodule": i % 2}, patient_id=f"p{i // 2}")


def config_of(folder):
    return DataConfig((SourceConfig(str(folder)),), batch_size=4, image=ImageConfig(24))


def run(config, tokenizer, steps):
    with train_iterator(config, steps, columns=("image", "text"), tokenizer=tokenizer) as batches:
        return list(batches)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        records = (make_record(k) for k in range(20 * i, 20 * i + 20))
        write_shard(tmp_path, ShardName("toy", "train", i, 3), records, "job")
    return tmp_path


@pytest.fixture
def tokenizer(folder):
    return find_tokenizer(config_of(folder))


def turn_a_bit(folder, record=25):
    """In the bytes of one record of the middle shard."""
    source = open_dataset(folder)
    body = source.example(record)
    path = sorted(folder.glob("toy-train*"))[1]
    data = bytearray(path.read_bytes())
    at = data.find(body[len(body) // 2 :][:24])
    assert at > 0
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError):
        open_dataset(folder)[record]


def index_of(folder, tokenizer, **more):
    return text_index(open_dataset(folder), tokenizer, TextConfig(), ImageConfig(32), **more)


def labels_of(folder, **more):
    return label_index(open_dataset(folder), ("nodule",), ImageConfig(32), **more)


def test_a_damaged_record_is_left_out_of_every_pass_and_named(folder, tokenizer, caplog):
    whole, labels = index_of(folder, tokenizer).records, labels_of(folder).records
    for kept in folder.glob("*.npz"):
        kept.unlink()
    turn_a_bit(folder)
    with caplog.at_level("WARNING"):
        index, found = index_of(folder, tokenizer), labels_of(folder)
    assert index.records.tolist() == [i for i in whole if i != 25]
    assert found.records.tolist() == [i for i in labels if i != 25]
    assert index.summary["unreadable"] == [25]
    assert caplog.text.count("record 25 cannot be read (toy-train.array_record-00001-of-00003") == 2
    assert len(list(all_texts([open_dataset(folder)]))) > COUNT  # two each
    with pytest.raises(DataError, match="1 of 60 visited records cannot be read"):
        index_of(folder, tokenizer, cache_dir=str(folder / "strict"), max_bad_fraction=0.0)
    assert len(run(config_of(folder), tokenizer, 20)) == 20  # and trained over


def test_an_index_without_a_record_that_was_mended_is_made_again(folder, tokenizer):
    path = sorted(folder.glob("toy-train*"))[1]
    good = path.read_bytes()
    turn_a_bit(folder)
    assert 25 not in index_of(folder, tokenizer).records
    assert 25 not in labels_of(folder).records
    assert 25 not in index_of(folder, tokenizer).records  # the kept one
    path.write_bytes(good)
    assert 25 in index_of(folder, tokenizer).records
    assert 25 in labels_of(folder).records


def test_too_many_damaged_records_stop_at_the_start(tokenizer):
    class Broken:
        def __len__(self):
            return COUNT

        def __getitem__(self, index):
            if index % 2:
                raise ShardError(f"shard is corrupt at record {index}")
            return make_record(index)

    source = Broken()
    with pytest.raises(DataError, match=r"30 of 60 .*max_bad_fraction=0.01.*record 1"):
        text_index(source, tokenizer, TextConfig(), ImageConfig(32))
    with pytest.raises(DataError, match="30 of 60"):
        label_index(source, ("nodule",), ImageConfig(32))
    assert len(text_index(source, tokenizer, TextConfig(), ImageConfig(32),
                          max_bad_fraction=0.5).records) == 30  # fmt: skip


def damages(data, rng, count):
    """Emptied, cut, exchanged for a page, and ``count`` times one turned bit."""
    yield b""
    yield data[:100]
    yield b"<html>not found</html>"
    yield data[:-30] + bytes(30)
    for _ in range(count):
        at = int(rng.integers(0, len(data)))
        yield data[:at] + bytes([data[at] ^ (1 << int(rng.integers(0, 8)))]) + data[at + 1 :]


def check_damages(path, read, count, caplog):
    good = path.read_bytes()
    expected, again = read(), 0
    for data in damages(good, np.random.default_rng(0), count):
        path.write_bytes(data)
        caplog.clear()
        found = read()
        for field in dataclasses.fields(expected):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))
        again += "is damaged" in caplog.text
        path.write_bytes(good)
    assert again >= 4
    return again


def check_kept_indices(folder, tokenizer, caplog, count):
    with caplog.at_level("WARNING"):
        index_of(folder, tokenizer), labels_of(folder)
        (texts,), (labels,) = folder.glob("text-*.npz"), folder.glob("labels-*.npz")
        return [
            check_damages(texts, lambda: index_of(folder, tokenizer), count, caplog),
            check_damages(labels, lambda: labels_of(folder), count, caplog),
        ]


def test_a_damaged_index_is_counted_again(folder, tokenizer, caplog):
    check_kept_indices(folder, tokenizer, caplog, 12)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_two_hundred_turned_bits_of_the_kept_indices(folder, tokenizer, caplog):
    said = check_kept_indices(folder, tokenizer, caplog, 200)
    print(f"made again: {said} of 204 each; the others changed no value")


def test_an_index_in_place_of_which_something_odd_stands(folder, tokenizer, tmp_path):
    expected = index_of(folder, tokenizer)
    (path,) = folder.glob("text-*.npz")
    path.unlink()
    path.symlink_to("/dev/zero")
    np.testing.assert_array_equal(index_of(folder, tokenizer).lengths, expected.lengths)
    assert not path.is_symlink()  # and was replaced
    write_arrays(tmp_path / "other.npz", {"a": np.arange(3)}, "")
    assert read_arrays(tmp_path / "other.npz", "again")["a"].tolist() == [0, 1, 2]
    assert read_arrays(tmp_path / "none.npz", "again") is None


def test_a_damaged_outcome_of_a_trial_names_its_file(tmp_path):
    result = EvalResult({"auc": 0.5}, {}, {"ids": np.arange(900), "scores": np.ones((900, 2))})
    path = Outcome.of({"steps": 1}, {"test": result}).save(tmp_path)
    good = path.read_bytes()
    expected, said = npz.read(path), []
    for data in damages(good, np.random.default_rng(1), 60):
        path.write_bytes(data)
        try:
            found = Outcome.load(tmp_path)
        except OutcomeError as error:
            said.append(str(error))
        else:
            np.testing.assert_array_equal(found.arrays["test"]["scores"], expected["test/scores"])
            assert found.metrics == {"test": {"auc": 0.5}}
    assert len(said) > 30
    assert all(line.startswith(f"{tmp_path / FILE} cannot be read") for line in said)


def test_batches_are_the_same_after_an_index_was_made_again(folder, tokenizer):
    first = run(config_of(folder), tokenizer, 4)
    for path in folder.glob("text-*.npz"):
        path.write_bytes(path.read_bytes()[:-9])
    for before, after in zip(first, run(config_of(folder), tokenizer, 4), strict=True):
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)
