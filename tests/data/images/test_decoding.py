import io
import struct
import zlib

import cv2
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode, probe_size, sniff

RAMP = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (96, 1))  # [96, 128], dark at the left


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def jpeg(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 2:
        return simplejpeg.encode_jpeg(pixels[:, :, None], 95, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, "RGB")


def dicom(pixels: np.ndarray, photometric: str = "MONOCHROME2", **elements) -> bytes:
    """A small DICOM file: [h, w], [frames, h, w] or, for RGB, [h, w, 3]."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["test"])
    d = Dataset()
    d.file_meta = meta
    d.SOPClassUID, d.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    rgb = photometric == "RGB"
    if pixels.ndim == 3 and not rgb:
        d.NumberOfFrames = pixels.shape[0]
    d.Rows, d.Columns = pixels.shape[:2] if rgb else pixels.shape[-2:]
    d.SamplesPerPixel = 3 if rgb else 1
    if rgb:
        d.PlanarConfiguration = 0
    d.PhotometricInterpretation = photometric
    d.BitsAllocated = 8 * pixels.dtype.itemsize
    d.BitsStored = elements.pop("BitsStored", d.BitsAllocated)
    d.HighBit = d.BitsStored - 1
    d.PixelRepresentation = int(pixels.dtype.kind == "i")
    d.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(d, name, value)
    out = io.BytesIO()
    d.save_as(out, enforce_file_format=True)
    return out.getvalue()


# PNG and JPEG


def test_png_8_bit_is_exact():
    np.testing.assert_array_equal(decode(png(RAMP), "png"), RAMP)


def test_png_color_is_rgb_and_alpha_is_dropped():
    red = np.zeros((4, 5, 4), np.uint8)
    red[..., 2], red[..., 3] = 200, 7  # BGRA
    out = decode(png(red), "png")
    assert out.shape == (4, 5, 3)
    assert out[0, 0].tolist() == [200, 0, 0]


def test_png_16_bit_stretches_what_is_used():
    values = np.linspace(1000, 3000, 100 * 100).astype(np.uint16).reshape(100, 100)
    values[0, 0], values[0, 1] = 65535, 0  # two dead pixels must not set the scale
    out = decode(png(values), "png")
    assert out.dtype == np.uint8
    assert out[0, 0] == 255
    assert out[0, 1] == 0
    inside = values[1:].astype(float)
    expected = np.clip((inside - 1002) / (2998 - 1002), 0, 1) * 255
    np.testing.assert_allclose(out[1:], expected, atol=1.0)


def test_png_16_bit_constant_is_black():
    assert decode(png(np.full((8, 8), 4000, np.uint16)), "png").max() == 0


def test_jpeg_gray_and_color():
    out = decode(jpeg(RAMP), "jpeg")
    assert out.shape == RAMP.shape
    assert np.abs(out.astype(int) - RAMP).max() <= 4
    color = np.zeros((32, 32, 3), np.uint8)
    color[..., 0] = 200
    out = decode(jpeg(color), "jpeg")
    assert out.shape == (32, 32, 3)
    assert out[16, 16, 0] > 180
    assert out[16, 16, 2] < 20
    assert decode(jpeg(color), "jpeg", gray=True).shape == (32, 32)


@pytest.mark.parametrize("hint", [None, 10, 48, 49, 96, 500])
def test_jpeg_scaled_decode_never_goes_below_the_hint(hint):
    big = cv2.resize(RAMP, (640, 480))
    out = decode(jpeg(big), "jpeg", hint)
    if hint is None or hint >= 480:
        assert out.shape == (480, 640)
    else:
        assert min(out.shape) >= hint
        # the next smaller eighth would not do
        assert min(out.shape) - 60 < hint
    np.testing.assert_allclose(out.mean(), big.mean(), atol=1)


@pytest.mark.parametrize("declared", ["png", "jpeg", "dicom"])
def test_the_bytes_win_over_the_declared_format(declared):
    np.testing.assert_array_equal(decode(png(RAMP), declared), RAMP)
    assert decode(jpeg(RAMP), declared).shape == RAMP.shape
    assert decode(dicom(RAMP), declared).shape == RAMP.shape


def test_probe_size_reads_headers():
    assert probe_size(png(RAMP)) == (128, 96)
    assert probe_size(jpeg(RAMP)) == (128, 96)
    assert probe_size(dicom(RAMP)) is None
    assert [sniff(x) for x in (png(RAMP), jpeg(RAMP), dicom(RAMP), b"GIF89a")] == [
        "png", "jpeg", "dicom", None,
    ]  # fmt: skip


def _damaged():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    p, j, d = png(noise), jpeg(noise), dicom(noise)
    flipped = bytearray(p)
    flipped[len(p) // 2] ^= 0xFF
    return {
        "empty": (b"", "jpeg", "empty"),
        "text": (b"<html>not found</html>", "png", "no PNG, JPEG or DICOM"),
        "cut jpeg": (j[: len(j) // 2], "jpeg", "JPEG of"),
        "jpeg without end": (j[:-2], "jpeg", "JPEG of"),
        "jpeg header": (j[:12], "jpeg", "JPEG of"),
        "cut png": (p[: len(p) // 2], "png", "PNG of"),
        "flipped png": (bytes(flipped), "png", "PNG of"),
        "png header": (p[:10], "png", "PNG of"),
        "cut dicom": (d[: len(d) // 2], "dicom", "DICOM of"),
        "no dicom": (b"\0" * 200, "dicom", "DICOM of"),
    }


@pytest.mark.parametrize("name", sorted(_damaged()))
def test_damaged_files_give_one_clear_line(name):
    data, fmt, expected = _damaged()[name]
    with pytest.raises(ImageError) as e:
        decode(data, fmt)
    assert expected in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("make", [png, jpeg, dicom])
def test_random_damage_never_raises_anything_else(make):
    rng = np.random.default_rng(0)
    whole = make(rng.integers(0, 256, (24, 24), np.uint8))
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole[: rng.integers(8, 2 * len(whole))])
        for at in rng.integers(0, len(data), rng.integers(0, 4)):
            data[at] = rng.integers(256)
        try:
            pixels = decode(bytes(data), "dicom")
            assert pixels.dtype == np.uint8
            outcomes.add("pixels")
        except ImageError:
            outcomes.add("error")
    assert outcomes == {"pixels", "error"}


def test_extraneous_bytes_before_a_marker_are_forgiven():
    data = jpeg(RAMP)
    out = decode(data[:-2] + b"\x00\x00\x00" + data[-2:], "jpeg")
    np.testing.assert_array_equal(out, decode(data, "jpeg"))


def test_a_header_that_asks_for_too_much_is_refused():
    ihdr = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + ihdr
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(ImageError, match="claims 1048576 x 1048576 pixels"):
        decode(data, "png")


# DICOM


def window(values, center, width):
    """DICOM PS3.3 C.11.2.1.2, written out."""
    v = np.asarray(values, np.float64)
    y = ((v - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.clip(y, 0, 255)


CT = np.arange(0, 4096, 32, dtype=np.uint16).reshape(8, 16)


def test_dicom_window_is_applied():
    out = decode(dicom(CT, BitsStored=12, WindowCenter=2000, WindowWidth=1000), "dicom")
    np.testing.assert_allclose(out, window(CT, 2000, 1000), atol=0.51)
    assert out.min() == 0
    assert out.max() == 255


def test_dicom_takes_the_first_of_several_windows():
    several = decode(dicom(CT, WindowCenter=[2000, 500], WindowWidth=[1000, 50]), "dicom")
    one = decode(dicom(CT, WindowCenter=2000, WindowWidth=1000), "dicom")
    np.testing.assert_array_equal(several, one)


def test_dicom_monochrome1_is_inverted():
    normal = decode(dicom(CT, WindowCenter=2000, WindowWidth=1000), "dicom")
    inverted = decode(dicom(CT, "MONOCHROME1", WindowCenter=2000, WindowWidth=1000), "dicom")
    np.testing.assert_allclose(inverted, 255 - normal.astype(int), atol=1)


def test_dicom_rescale_comes_before_the_window():
    signed = (CT.astype(np.int32) - 1024).astype(np.int16)
    stored = dicom(
        CT.astype(np.int16),
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    np.testing.assert_allclose(decode(stored, "dicom"), window(signed, 40, 400), atol=0.51)


@pytest.mark.parametrize("elements", [{}, {"WindowCenter": 5, "WindowWidth": 0}])
def test_dicom_without_window_stretches_quantiles(elements):
    values = np.linspace(500, 1500, 10_000).astype(np.uint16).reshape(100, 100)
    values[0, 0] = 60000
    out = decode(dicom(values, **elements), "dicom")
    assert out[0, 0] == 255
    np.testing.assert_allclose(out[50, 50], 127, atol=3)
    assert np.unique(out).size > 200


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_dicom_window_functions(function):
    out = decode(
        dicom(CT, WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function), "dicom"
    ).astype(float)
    v = CT.astype(np.float64)
    expected = {
        "LINEAR_EXACT": np.clip((v - 2000) / 1000 + 0.5, 0, 1) * 255,
        "SIGMOID": 255 / (1 + np.exp(-4 * (v - 2000) / 1000)),
    }[function]
    np.testing.assert_allclose(out, expected, atol=0.51)


def test_dicom_voi_table():
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 16])
    item.add_new("LUTData", "US", [257 * (255 - i) for i in range(256)])
    data = dicom(RAMP, VOILUTSequence=[item], WindowCenter=10, WindowWidth=2)
    np.testing.assert_array_equal(decode(data, "dicom"), 255 - RAMP)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_padding_is_black(photometric):
    values = CT.astype(np.int16)
    values[0, :4] = -2000
    out = decode(dicom(values, photometric, PixelPaddingValue=-2000), "dicom")
    assert out[0, :4].max() == 0
    assert np.unique(out[1:]).size > 100  # the quantiles did not see the padding


def test_dicom_several_frames_give_the_middle_one():
    frames = np.stack([np.full((8, 8), v, np.uint8) for v in (10, 20, 30, 40, 50)])
    out = decode(dicom(frames, WindowCenter=128, WindowWidth=256), "dicom")
    assert out.shape == (8, 8)
    assert np.unique(out).tolist() == [30]


def test_dicom_color():
    rgb = np.zeros((6, 7, 3), np.uint8)
    rgb[..., 1] = 90
    np.testing.assert_array_equal(decode(dicom(rgb, "RGB"), "dicom"), rgb)


def test_dicom_rle():
    dataset = pydicom.dcmread(io.BytesIO(dicom(RAMP, WindowCenter=128, WindowWidth=256)))
    dataset.compress(RLELossless)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    np.testing.assert_allclose(decode(out.getvalue(), "dicom"), RAMP, atol=1)


def test_dicom_jpeg():
    dataset = pydicom.dcmread(io.BytesIO(dicom(RAMP, WindowCenter=128, WindowWidth=256)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = encapsulate([jpeg(RAMP)])
    dataset["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    assert np.abs(decode(out.getvalue(), "dicom").astype(int) - RAMP).max() <= 5


def test_real_dicom_files(sample_dir):
    files = sorted((sample_dir / "dicom").glob("*.dcm"))
    assert files
    pictures = {f.name: decode(f.read_bytes(), "dicom") for f in files}
    for name, pixels in pictures.items():
        assert pixels.dtype == np.uint8, name
        assert pixels.max() > 200, name
        assert np.unique(pixels).size > 20, name
    # A MONOCHROME1 radiograph: after inversion the spine is brighter than the lung.
    chest = pictures["RG1_J2KI.dcm"].astype(float)
    height, width = chest.shape
    spine = chest[height // 3 : height // 2, width // 2 - 60 : width // 2 + 60].mean()
    lung = chest[height // 3 : height // 2, width // 4 - 60 : width // 4 + 60].mean()
    assert spine > lung + 20
