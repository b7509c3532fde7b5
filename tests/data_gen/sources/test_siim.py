"""SIIM-ACR: run lengths down the columns, relative starts, blanks before names and values."""

import numpy as np
import pytest

from data_gen.sources.importing.masks import decode_runs
from data_gen.sources.siim import SOURCE
from medvlp_jax.data.images.base import ImageError

from .layouts import dicom_file, mask_of, ramp, run, write

UID = "1.2.276.0.7230010.3.1.4.8323329.{}.1517875163.537{}"


def relative_runs(mask):
    """The published encoding, written as a loop over pixels."""
    out, position, last = [], 0, 0
    flat = mask.T.ravel()
    while position < flat.size:
        if flat[position]:
            start = position
            while position < flat.size and flat[position]:
                position += 1
            out += [start - last, position - start]
            last = position
        else:
            position += 1
    return " ".join(map(str, out))


def test_runs_equal_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    for shape in ((7, 5), (16, 16), (3, 11)):
        mask = rng.random(shape) < 0.4
        assert (decode_runs([relative_runs(mask)], shape) == mask).all()
    both = [relative_runs(m) for m in (mask, ~mask)]
    assert decode_runs(both, shape).all()
    assert not decode_runs([], shape).any()
    full = decode_runs(["0 6"], (2, 3))
    assert full.all()


def test_columns_come_first():
    mask = decode_runs(["1 2 3 1"], (4, 3))  # pixels 1, 2 and, three after the end, 6
    assert [tuple(p) for p in np.argwhere(mask)] == [(1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize("code", ["1", "5 -2", "0 13", "1 x", "10 1 3 1"])
def test_wrong_runs(code):
    with pytest.raises(ImageError):
        decode_runs([code], (4, 3))


@pytest.fixture
def root(tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[4:10, 20:30] = True
    other = np.zeros((32, 32), bool)
    other[20:22, 0:5] = True
    for i in range(4):
        uid = UID.format(i, i)
        folder = tmp_path / "dicom-images-train" / f"1.2.{i // 2}" / f"1.3.{i}"
        dicom_file(folder / f"{uid}.dcm", ramp(), "MONOCHROME1" if i == 1 else "MONOCHROME2")
    a, b, c, d = (UID.format(i, i) for i in range(4))
    rows = [
        f"{a}, {relative_runs(mask)}",
        f"{b}, -1",
        f"{a}, {relative_runs(other)}",
        f"{c},-1",
        f"{d}, 9999 9",
        f"{b}, -1",
        f"{UID.format(9, 9)}, -1",
    ]
    tmp_path.joinpath("expected.npy").write_bytes((mask | other).tobytes())
    write(tmp_path / "train-rle.csv", "ImageId, EncodedPixels\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("header", ["ImageId, EncodedPixels", "ImageId,EncodedPixels"])
@pytest.mark.parametrize("blank", ["", " "])
def test_negatives_with_and_without_a_blank(root, header, blank):
    """The wrong literal makes every image positive."""
    table = root / "train-rle.csv"
    text = table.read_text().replace("ImageId, EncodedPixels", header)
    table.write_text(text.replace(", -1", ",-1").replace(",-1", f",{blank}-1"))
    records, _, _ = run(SOURCE, root=root, size=(32, 32))
    labels = [r.labels["pneumothorax"] for r in records.values()]
    assert labels == [1, 0, 0, 1]


def test_masks_are_the_union_of_rows(root):
    records, rejects, log = run(SOURCE, root=root, size=(32, 32))
    a, b, c, d = records.values()
    expected = np.frombuffer((root / "expected.npy").read_bytes(), bool).reshape(32, 32)
    assert (mask_of(a) == expected).all()
    assert [m.label for m in a.masks] == ["pneumothorax"]
    assert (b.masks, c.masks, d.masks) == ((), (), ())
    assert rejects == [
        ("train-rle.csv row 6", "unreadable mask"),
        ("train-rle.csv row 8", "missing image"),
    ]
    assert "pixel 10008 of 32 x 32" in log[0].detail
    # two images of one study folder are of one patient
    assert (a.patient_id, b.patient_id, c.patient_id) == ("1.2.0", "1.2.0", "1.2.1")
    assert a.split == b.split


def test_masks_follow_the_size_of_their_image(root):
    records, _, _ = run(SOURCE, root=root, size=(32, 32), max_size=16)
    a = next(iter(records.values()))
    assert mask_of(a).shape == (16, 16)
    expected = np.frombuffer((root / "expected.npy").read_bytes(), bool).reshape(32, 32)
    assert abs(mask_of(a).mean() - expected.mean()) < 0.02
    wrong, rejects, _ = run(SOURCE, root=root, size=(64, 16))
    assert next(iter(wrong.values())).masks == ()
    assert ("train-rle.csv row 2", "mask of another shape") in rejects


def test_lists_that_repeat_images(root):
    """The published lists of one split name images twice, and in two parts."""
    a, b, c, _ = (UID.format(i, i) for i in range(4))
    write(root / "train.csv", f"ImageId,EncodedPixels\n{a}, 1 2\n{a}, 9 2\n{c}, -1\n")
    write(root / "test.csv", f"ImageId,EncodedPixels\n{b}, -1\n{c}, -1\n")
    records, rejects, _ = run(
        SOURCE,
        root=root,
        size=(32, 32),
        split_name="mavl",
        split_lists={"train": "train.csv", "test": "test.csv"},
        check_counts=False,
    )
    assert {k: r.split for k, r in records.items()} == {a: "train", b: "test", c: "test"}
    assert ("train.csv", "listed in two splits") in rejects


def test_what_is_neither_a_mask_nor_none(root):
    a, b, c, d = (UID.format(i, i) for i in range(4))
    rows = f"{a},-1.0\n{b},-01\n{c},0\n{d},1 2 3\n{d},none at all\n{b},1 3\n"
    write(root / "train-rle.csv", "ImageId,EncodedPixels\n" + rows)
    records, rejects, log = run(SOURCE, root=root, size=(32, 32))
    assert {k: r.labels["pneumothorax"] for k, r in records.items()} == {a: 0, b: 1}
    assert rejects == [(f"train-rle.csv row {n}", "bad row") for n in (4, 5, 6)]
    assert any("1 images have a mask and a -1" in note for note in log.notes)
