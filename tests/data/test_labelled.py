import collections

import cv2
import numpy as np
import pytest

from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.images.geometry import GeometryConfig
from medvlp_jax.data.labelled import LabelIndex, label_index, labelled_iterator
from medvlp_jax.data.loaders import DataError
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Mask, Record
from medvlp_jax.data.store.shards import write_shard

LABELS = ("common", "rare")
COLUMNS = ("image", "labels", "masks")


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def record(i, side=32):
    """A film whose bright square is also its mask; no text."""
    rng = np.random.default_rng(i)
    film = np.full((side, side), 20, np.uint8)
    mask = np.zeros((side, side), np.uint8)
    x, y = rng.integers(6, 14, 2)
    film[y : y + 12, x : x + 12] = 220
    mask[y : y + 12, x : x + 12] = 255
    positive = i % 3 != 0
    return Record(
        id=f"r{i}",
        images=(Image(png(film), "png", "PA", width=side, height=side),),
        labels={"common": int(positive), **({"rare": int(i % 25 == 4)} if i % 2 == 0 else {})},
        masks=(Mask(png(mask), "common"),) if positive else (),
        patient_id=f"p{i // 2}",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("labelled")
    write_shard(path, ShardName("toy", "train", 0, 1), map(record, range(100)), "test")
    return path


@pytest.fixture(scope="module")
def index(folder):
    return label_index(open_dataset(folder), LABELS, ImageConfig(32))


def config(folder, **image):
    return DataConfig(
        (SourceConfig(str(folder)),), 8, ImageConfig(32, **image), labels=LABELS,
        masks=("common",), threads=1,
    )  # fmt: skip


def test_the_index_holds_labels_and_patients_and_is_kept(folder, index):
    assert index.labels[:5].tolist() == [[0, 0], [1, -2], [1, 0], [0, -2], [1, 1]]
    assert index.ids[:3].tolist() == ["r0", "r1", "r2"]
    files = list(folder.glob("labels-train-*.npz"))
    assert len(files) == 1
    files[0].write_bytes(b"cut")
    again = label_index(open_dataset(folder), LABELS, ImageConfig(32))
    np.testing.assert_array_equal(again.labels, index.labels)
    # other labels are another index
    label_index(open_dataset(folder), ("rare",), ImageConfig(32))
    assert len(list(folder.glob("labels-train-*.npz"))) == 2


def test_no_image_of_the_view_is_an_error(folder):
    with pytest.raises(DataError, match="LATERAL"):
        label_index(open_dataset(folder), LABELS, ImageConfig(32, views=("LATERAL",)))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_a_subset_takes_whole_patients_and_keeps_the_rare(index, fraction):
    chosen = index.subset(fraction, 0)
    patients = set(index.patients[chosen])
    rest = np.setdiff1d(np.arange(100), chosen)
    assert not patients & set(index.patients[rest])
    assert (index.labels[chosen, 1] == 1).any()
    assert abs(len(patients) - 50 * fraction) <= 3


def test_subsets_are_nested_seeded_and_differ_by_seed(index):
    small, large, whole = (set(index.subset(f, 3)) for f in (0.1, 0.4, 1.0))
    assert small < large < whole == set(range(100))
    assert small == set(index.subset(0.1, 3))
    assert small != set(index.subset(0.1, 4))


def test_a_stratum_keeps_its_share():
    n = 400
    labels = np.zeros((n, 2), np.int8)
    labels[:200, 0], labels[:40, 1] = 1, 1
    names = np.array([f"p{i}" for i in range(n)])
    index = LabelIndex(np.arange(n), labels, names, names)
    chosen = labels[index.subset(0.1, 0)]
    assert collections.Counter(map(tuple, chosen.tolist())) == {(1, 1): 4, (1, 0): 16, (0, 0): 20}


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_share_of_nothing_is_refused(index, fraction):
    with pytest.raises(ValueError, match="fraction"):
        index.subset(fraction, 0)


def test_masks_follow_the_crop_into_the_batch(folder, index):
    geometry = GeometryConfig(crop_area=(0.5, 0.9), rotate=20.0, translate=0.1, scale=(0.8, 1.2))
    source = open_dataset(folder)
    chosen = index.subset(0.3, 0)
    c = config(folder, geometry=geometry)
    agree = []
    with labelled_iterator(c, 6, [source], [index], [chosen], columns=COLUMNS) as batches:
        for batch in batches:
            assert set(batch["id"]) <= set(index.ids[chosen])
            assert {*batch} == {"image", "labels", "masks", "mask_given", "valid", "id"}
            assert batch["masks"].shape == (8, 32, 32, 1)
            for i in range(8):
                bright = batch["image"][i, ..., 0] > 120
                mask = batch["masks"][i, ..., 0] > 0
                given = batch["mask_given"][i, 0]
                assert given == (batch["labels"][i, 0] == 1)
                assert not mask.any() or given
                if given:
                    agree.append((bright & mask).sum() / max((bright | mask).sum(), 1))
    assert len(agree) > 10
    assert np.mean(agree) > 0.85


def test_the_iterator_goes_on_where_it_was(folder, index):
    source, rows = open_dataset(folder), index.subset(0.5, 0)
    c = config(folder, geometry=GeometryConfig(rotate=10.0))

    def start():
        return labelled_iterator(c, 5, [source], [index], [rows], columns=COLUMNS)

    with start() as whole:
        want = list(whole)
    with start() as first:
        for _ in range(2):
            next(first)
        state = first.get_state()
    with start() as rest:
        rest.set_state(state)
        for batch, other in zip(rest, want[2:], strict=True):
            assert batch["id"].tolist() == other["id"].tolist()
            np.testing.assert_array_equal(batch["image"], other["image"])
    other = labelled_iterator(c, 5, [source], [index], [rows[:-2]], columns=COLUMNS)
    with other, pytest.raises(DataError, match="sources"):
        other.set_state(state)


def test_flips_are_refused_where_a_mask_names_a_side(folder, index):
    c = DataConfig(
        (SourceConfig(str(folder)),), 8, ImageConfig(32, geometry=GeometryConfig(flip=0.5)),
        labels=LABELS, masks=("left lung",),
    )  # fmt: skip
    source = [open_dataset(folder)]
    with pytest.raises(DataError, match="left lung"):
        labelled_iterator(c, 1, source, [index], [index.subset(1.0, 0)], columns=COLUMNS)
    with pytest.raises(DataError, match="left to train"):
        labelled_iterator(config(folder), 1, source, [index], [np.arange(0)], columns=COLUMNS)
    with pytest.raises(DataError, match="column text needs a tokenizer"):
        labelled_iterator(config(folder), 1, source, [index], [np.arange(8)], columns=("text",))
