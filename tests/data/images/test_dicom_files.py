"""DICOM as it is found: without headers, with elements left out, and with claims that are bombs."""

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medvlp_jax.data.images.base import CLIP, ImageError
from medvlp_jax.data.images.codestream import read_codestream
from medvlp_jax.data.images.decoding import decode, sniff
from medvlp_jax.data.images.dicom import decode_dicom, guesses, stored_values, value_quantiles

SIDE = (48, 64)
VALUES = np.random.default_rng(3).integers(0, 4096, SIDE).astype(np.uint16)
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
SHOWN = np.rint(np.clip((VALUES - 2047.5) / 4095 + 0.5, 0, 1) * 255)
_ORDER = {ExplicitVRBigEndian: (False, False), ImplicitVRLittleEndian: (True, True)}


def dataset(values=VALUES, syntax=ExplicitVRLittleEndian, pixels=None, **elements):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = SecondaryCaptureImageStorage
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = "1.2.3"
    d.ImageType = ["ORIGINAL", "PRIMARY"]
    d.Rows, d.Columns = values.shape[:2]
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated = 8 * values.dtype.itemsize
    d.BitsStored = d.BitsAllocated
    d.HighBit, d.PixelRepresentation = d.BitsStored - 1, int(values.dtype.kind == "i")
    big = syntax == ExplicitVRBigEndian
    d.PixelData = (values.byteswap() if big else values).tobytes() if pixels is None else pixels
    d["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for name, value in elements.items():
        if value is None:
            delattr(d, name)
        elif isinstance(value, tuple):  # (VR, value)
            d.add_new(name, *value)
        else:
            setattr(d, name, value)
    return d


def written(d):
    out = io.BytesIO()
    pydicom.dcmwrite(out, d, enforce_file_format=True)
    return out.getvalue()


def bare(d):
    """The data set alone: no preamble, no file meta."""
    out = io.BytesIO()
    implicit, little = _ORDER.get(d.file_meta.TransferSyntaxUID, (False, True))
    with pydicom.filebase.DicomFileLike(out) as stream:
        stream.is_implicit_VR, stream.is_little_endian = implicit, little
        pydicom.filewriter.write_dataset(stream, d)
        return out.getvalue()


def without_syntax(d):
    data = written(d)
    at = data.index(struct.pack("<HH", 2, 0x10))
    length = 8 + struct.unpack("<H", data[at + 6 : at + 8])[0]
    total = struct.unpack("<L", data[140:144])[0] - length
    return data[:140] + struct.pack("<L", total) + data[144:at] + data[at + length :]


def j2k(values, syntax=JPEG2000Lossless, **elements):
    """A JPEG 2000 codestream as DICOM, cut out of OpenCV's JP2 file."""
    data = cv2.imencode(".jp2", values, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    return dataset(
        values, syntax, encapsulate([data[data.index(b"\xff\x4f\xff\x51") :]]), **elements
    )


def rle(values=VALUES, **elements):
    d = dataset(values, **elements)
    d.compress(RLELossless)
    return d


def undefined(d):
    d["PixelData"].is_undefined_length = True
    return d


_NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", _NATIVE, ids=lambda uid: uid.name)
def test_a_bare_data_set_is_read_and_the_guess_said(syntax):
    data = bare(dataset(syntax=syntax, **WINDOW))
    assert b"DICM" not in data
    for body in (data, bytes(128) + data):  # with a preamble that lacks its last word, too
        assert sniff(body) == "dicom"
        np.testing.assert_array_equal(decode(body, "png"), SHOWN)
        assert guesses(body) == (
            "no file meta (Part 10 header)",
            f"no transfer syntax, read as {syntax.name}",
        )


def test_no_preamble_but_file_meta():
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        data = written(dataset(syntax=syntax, **WINDOW))[132:]
        assert data[:2] == b"\x02\0"
        np.testing.assert_array_equal(decode(data, "dicom"), SHOWN)
        assert guesses(data) == ("no preamble (Part 10 header)",)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_file_meta_without_a_transfer_syntax(syntax):
    data = without_syntax(dataset(syntax=syntax, **WINDOW))
    np.testing.assert_array_equal(decode(data, "dicom"), SHOWN)
    assert guesses(data) == (f"no transfer syntax, read as {syntax.name}",)


def test_compressed_pixels_whose_syntax_nobody_says():
    grey = (VALUES >> 4).astype(np.uint8)
    window = {"WindowCenter": 128, "WindowWidth": 256}
    jpeg = cv2.imencode(".jpg", grey)[1].tobytes()
    baseline = dataset(grey, JPEGBaseline8Bit, encapsulate([jpeg]), **window)
    for d, syntax in (
        (baseline, JPEGBaseline8Bit),
        (j2k(grey, **window), JPEG2000),
        (rle(grey, **window), RLELossless),
    ):
        expected = decode(written(d), "dicom")
        assert np.abs(expected.astype(int) - grey).mean() < 12  # JPEG of noise
        for data in (bare(undefined(d)), without_syntax(undefined(d))):
            np.testing.assert_array_equal(decode(data, "dicom"), expected)
            assert guesses(data)[-1].endswith(f"of the compression, read as {syntax.name}")


@pytest.mark.parametrize(
    ("missing", "guess"),
    [
        ({"PhotometricInterpretation": None}, "MONOCHROME2"),
        ({"SamplesPerPixel": None}, "1"),
        ({"PixelRepresentation": None}, "0"),
        ({"BitsStored": None, "HighBit": None}, "16"),
        ({"BitsAllocated": None, "BitsStored": None, "HighBit": None}, "16"),
    ],
)
def test_elements_of_the_pixel_module_that_are_left_out(missing, guess):
    data = written(dataset(**WINDOW, **missing))
    np.testing.assert_array_equal(decode(data, "dicom"), SHOWN)
    assert guesses(data)[0] == f"no {next(iter(missing))}, taken as {guess}"
    assert guesses(written(dataset(**WINDOW))) == ()


def test_colour_without_a_photometric_interpretation():
    red = np.zeros((*SIDE, 3), np.uint8)
    red[..., 0] = 200
    left_out = {"PhotometricInterpretation": None, "SamplesPerPixel": 3}
    data = written(dataset(red, **left_out))
    np.testing.assert_array_equal(decode(data, "dicom"), red)
    assert [g.split(",")[0] for g in guesses(data)] == [
        "no PhotometricInterpretation",
        "no PlanarConfiguration",
    ]


@pytest.mark.parametrize("stored", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_colour_of_more_than_8_bits_keeps_the_highest(stored, syntax):
    values = np.random.default_rng(4).integers(0, 1 << stored, (*SIDE, 3)).astype(np.uint16)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    data = written(dataset(values, syntax, BitsStored=stored, HighBit=stored - 1, **colour))
    np.testing.assert_array_equal(decode(data, "dicom"), values >> stored - 8)


@pytest.mark.parametrize("make", [dataset, rle])
@pytest.mark.parametrize(("stored", "high"), [(12, 15), (12, 13), (15, 15), (10, 11)])
@pytest.mark.parametrize("signed", [False, True])
def test_values_in_the_high_bits_are_moved_down(make, stored, high, signed):
    values = np.random.default_rng(5).integers(0, 1 << stored, SIDE).astype(np.uint16)
    values = values.astype(np.int16) - (1 << stored - 1) if signed else values
    moved = (values << high + 1 - stored).astype(values.dtype)
    data = written(make(moved, BitsStored=stored, HighBit=high))
    np.testing.assert_array_equal(stored_values(data), values)
    assert decode(data, "dicom").std() > 60


_VOI = Dataset()
_VOI.LUTDescriptor, _VOI.LUTData = [2, 60000, 16], struct.pack("<2H", 0, 65535)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "rescale slope 0"),
        ({"RescaleSlope": 0, "RescaleIntercept": 40, **WINDOW}, "rescale slope 0"),
        ({"WindowCenter": -60000, "WindowWidth": 10}, "beside all pixels"),
        ({"WindowCenter": 60000, "WindowWidth": 10}, "beside all pixels"),
        ({"WindowCenter": 60000, "WindowWidth": 10, "PixelPaddingValue": 7}, "beside all pixels"),
        (
            {"WindowCenter": 60000, "WindowWidth": 10, "VOILUTFunction": "SIGMOID"},
            "beside all pixels",
        ),
        (
            {"WindowCenter": -900, "WindowWidth": 9, "PhotometricInterpretation": "MONOCHROME1"},
            "beside all pixels",
        ),
        ({"VOILUTSequence": [_VOI]}, "beside all pixels"),
    ],
)
def test_what_would_show_nothing_is_refused(elements, words):
    with pytest.raises(ImageError, match=words):
        decode(written(dataset(**elements)), "dicom")


def test_a_film_of_one_value_is_shown():
    data = written(dataset(np.full(SIDE, 5, np.uint16), WindowCenter=2048, WindowWidth=100))
    assert not decode(data, "dicom").any()


# Padding


def _padded(dtype, pad):
    values = (VALUES.astype(np.int32) - (1000 if dtype == np.int16 else 0)).astype(dtype)
    values[:8] = pad
    return values


@pytest.mark.parametrize(
    ("dtype", "pad", "vr", "said", "bits"),
    [
        (np.int16, -2000, "SS", -2000, 16),
        (np.int16, -2000, "US", 63536, 16),
        (np.int16, -2000, "US", 63536, 13),
        (np.int16, -2000, "US", 6192, 13),  # the 13 bits alone
        (np.uint16, 63536, "SS", -2000, 16),
        (np.uint16, 65535, "SS", -1, 16),
        (np.uint16, 4095, "US", 65535, 12),
    ],
)
@pytest.mark.parametrize("limit", [False, True])
def test_padding_in_either_vr_is_black_and_sets_no_contrast(dtype, pad, vr, said, bits, limit):
    values = _padded(dtype, pad)
    elements = {"PixelPaddingValue": (vr, said)}
    if limit:  # a range whose other end is next to it
        values[0] -= 1
        elements["PixelPaddingRangeLimit"] = (vr, said - 1)
    out = decode(written(dataset(values, BitsStored=bits, HighBit=bits - 1, **elements)), "dicom")
    assert (out[:8] == 0).all()
    inside = values[8:].astype(np.float64)
    if pad == 4095:
        inside = inside[inside < pad - limit]
    low, high = np.quantile(inside, CLIP)
    expected = np.rint(np.clip((values[8:].astype(np.float64) - low) / (high - low), 0, 1) * 255)
    kept = values[8:] < pad - limit if pad == 4095 else np.ones_like(values[8:], bool)
    np.testing.assert_allclose(out[8:][kept], expected[kept], atol=1)


def test_a_padding_value_that_no_pixel_has_changes_nothing():
    plain = decode(written(dataset()), "dicom")
    for vr, said in (("US", 5000), ("SS", -5)):
        data = written(dataset(PixelPaddingValue=(vr, said)))
        np.testing.assert_array_equal(decode(data, "dicom"), plain)


# Values


def test_quantiles_by_counting_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 999, 1000, 5000):
        values = np.unique(rng.normal(size=40))[::-1] if size % 2 else np.arange(40, dtype=np.int16)
        counts = np.bincount(rng.integers(0, 40, size), minlength=40)
        expected = np.quantile(np.repeat(values, counts), CLIP)
        assert value_quantiles(values, counts) == tuple(expected)
    assert value_quantiles(np.arange(3), np.zeros(3, int)) == (0.0, 0.0)


@pytest.mark.parametrize("first", [-1000, 64536])
@pytest.mark.parametrize("kind", ["ModalityLUTSequence", "VOILUTSequence"])
def test_look_up_tables_of_signed_pixels(first, kind):
    """Entry 0 belongs to -1000, also where it was written as unsigned; ends go on outside."""
    values = VALUES.astype(np.int16) - np.int16(2048)
    item = Dataset()
    table = np.arange(3000, dtype=np.uint16) // 12
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [3000, first, 8])
    item.add_new("LUTData", "OW", table.tobytes())
    window = {"WindowCenter": 128, "WindowWidth": 256} if kind == "ModalityLUTSequence" else {}
    d = dataset(values, **window)
    setattr(d, kind, [item])
    expected = table[np.clip(values.astype(int) + 1000, 0, 2999)]
    np.testing.assert_array_equal(decode(written(d), "dicom"), expected)


def test_stored_values_have_no_window():
    data = written(dataset(**WINDOW, RescaleSlope=2, RescaleIntercept=-7))
    np.testing.assert_array_equal(stored_values(data), VALUES)


# Bombs


def jpeg_claiming(width, height, marker=b"\xff\xc0"):
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))[1].tobytes())
    at = data.find(b"\xff\xc0")
    data[at : at + 2] = marker
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def j2k_claiming(width, height):
    data = bytearray(cv2.imencode(".jp2", np.zeros((64, 64), np.uint8))[1].tobytes())
    data = data[data.index(b"\xff\x4f\xff\x51") :]
    data[8:16] = struct.pack(">LL", width, height)
    return bytes(data)


def claiming(frame, syntax, side=16):
    return written(dataset(np.zeros((side, side), np.uint8), syntax, encapsulate([frame])))


def deflated(size, side):
    d = dataset(np.zeros((1, 1), np.uint16), DeflatedExplicitVRLittleEndian, bytes(4))
    d.Rows = d.Columns = side
    data = written(d)
    start = len(data) - _deflated_length(data)
    plain = zlib.decompress(data[start:], -15)
    plain = plain[: plain.rindex(b"\xe0\x7f\x10\0") + 8] + struct.pack("<L", size)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = [data[:start], packer.compress(plain)]
    out += [packer.compress(bytes(1 << 24)) for _ in range(size >> 24)]
    return b"".join([*out, packer.flush()])


def _deflated_length(data):
    return len(data) - 144 - struct.unpack("<L", data[140:144])[0]


BOMBS = {
    "deflated, more than it claims": lambda: deflated(128 << 20, 64),
    "deflated, as much as it claims": lambda: deflated(128 << 20, 16384),
    "JPEG inside": lambda: claiming(jpeg_claiming(20000, 20000), JPEGBaseline8Bit),
    "lossless JPEG inside": lambda: claiming(
        jpeg_claiming(20000, 20000, b"\xff\xc3"), "1.2.840.10008.1.2.4.70"
    ),
    "JPEG-LS inside": lambda: claiming(
        jpeg_claiming(20000, 20000, b"\xff\xf7"), "1.2.840.10008.1.2.4.80"
    ),
    "JPEG 2000 inside": lambda: claiming(j2k_claiming(20000, 20000), JPEG2000Lossless),
    "JPEG 2000 behind a decoy": lambda: claiming(
        j2k_claiming(16, 16)[:60] + j2k_claiming(100000, 100000), JPEG2000Lossless
    ),
    "JPEG as large as it claims": lambda: claiming(
        jpeg_claiming(20000, 20000), JPEGBaseline8Bit, 1
    ).replace(struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 1), struct.pack(
        "<HH2sHH", 0x28, 0x10, b"US", 2, 60000)),
    "native": lambda: written(dataset(np.zeros((4, 4), np.uint8), Rows=60000, Columns=60000)),
    "frames": lambda: written(dataset(np.zeros((4, 4), np.uint8), NumberOfFrames=2**31 - 1)),
    "frames of JPEG": lambda: written(
        dataset(np.zeros((16, 16), np.uint8), JPEGBaseline8Bit,
                encapsulate([jpeg_claiming(16, 16)]), NumberOfFrames=2**31 - 1)),
    "samples": lambda: written(dataset(np.zeros((4, 4), np.uint8), SamplesPerPixel=60000)),
    "RLE that claims": lambda: written(
        dataset(np.zeros((4, 4), np.uint8), RLELossless, encapsulate([bytes(100)]),
                Rows=65535, Columns=65535)),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_claims_are_refused_in_one_line(name):
    with pytest.raises(ImageError) as e:
        decode(BOMBS[name](), "dicom")
    assert "\n" not in str(e.value)
    assert "cannot be decoded" in str(e.value)


def test_claims_take_no_memory(tmp_path):
    """All bombs, and a large picture, in a process that may take 400 MB more than at its start."""
    for i, make in enumerate(BOMBS.values()):
        (tmp_path / f"{i}.dcm").write_bytes(make())
    large = dataset(np.arange(1 << 24, dtype=np.uint32).astype(np.uint16).reshape(4096, 4096))
    (tmp_path / "large.dcm").write_bytes(written(large))
    script = (
        "import pathlib, resource, sys\n"
        "from medvlp_jax.data.images.base import ImageError\n"
        "from medvlp_jax.data.images.decoding import decode\n"
        "import medvlp_jax.data.images.dicom, gdcm\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "limit = pages + (400 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('[0-9]*.dcm')):\n"
        "    try:\n"
        "        decode(path.read_bytes(), 'dicom')\n"
        "        assert False, path\n"
        "    except ImageError as e:\n"
        "        assert 'emory' not in str(e), (path, str(e))\n"
        "shown = decode(pathlib.Path(sys.argv[1], 'large.dcm').read_bytes(), 'dicom')\n"
        "assert shown.shape == (4096, 4096)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_codestreams_say_their_size():
    colour = np.zeros((70, 90, 3), np.uint8)
    for suffix in (".jpg", ".jp2"):
        found = read_codestream(cv2.imencode(suffix, colour)[1].tobytes())
        assert (found.width, found.height, found.components) == (90, 70, 3)
    assert read_codestream(bytes(200)) is None
    assert read_codestream(b"\xff\xd8\xff\xd9") is None


def test_a_compressed_image_of_another_shape_is_refused_not_sheared():
    jpeg = cv2.imencode(".jpg", np.zeros((32, 8), np.uint8))[1].tobytes()
    with pytest.raises(ImageError, match="inside is 8 x 32 x 1, the header says 16 x 16 x 1"):
        decode(claiming(jpeg, JPEGBaseline8Bit), "dicom")


def test_decode_dicom_agrees_with_the_door():
    data = written(dataset(**WINDOW))
    np.testing.assert_array_equal(decode_dicom(data), decode(data, "dicom"))
