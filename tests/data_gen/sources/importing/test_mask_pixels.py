"""Masks are label images: which of their pixels are the region, and which files are refused."""

import io

import cv2
import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SegmentationStorage

from data_gen.sources.importing.base import ImageFile, Item, Rejects, SourceConfig
from data_gen.sources.importing.load import load_item
from data_gen.sources.importing.mask_pixels import region_of
from data_gen.sources.importing.masks import MaskFile, decode_runs
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode_mask

TRUTH = np.zeros((90, 120), bool)
TRUTH[20:50, 30:80] = True
TRUTH[60:63, 100:103] = True
SOME = TRUTH.astype(np.uint8)


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def pil(picture, **options):
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def jpeg(pixels, quality=75):
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def instances(dtype):
    """Every pixel of the second region is an instance of its own."""
    out = SOME.astype(dtype)
    out[60:63, 100:103] = np.arange(2, 11).reshape(3, 3)
    out[20:50, 50:80] = np.iinfo(dtype).max
    return out


def colour(region, background, dtype=np.uint8):
    out = np.empty((*TRUTH.shape, len(region)), dtype)
    out[:] = background
    out[TRUTH] = region
    return out


def palette(colours, values=SOME, transparency=None):
    picture = PIL.Image.fromarray(values)
    picture = PIL.Image.frombytes("P", picture.size, values.tobytes())
    picture.putpalette(colours)
    return pil(picture, **({} if transparency is None else {"transparency": transparency}))


def dicom(values, frames=0, bits=8, syntax=ExplicitVRLittleEndian, pixels=None, **elements):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    d.Rows, d.Columns = values.shape
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated = d.BitsStored = bits
    d.HighBit, d.PixelRepresentation = bits - 1, int(values.dtype.kind == "i")
    if frames:
        d.NumberOfFrames = frames
    d.PixelData = values.tobytes() * max(frames, 1) if pixels is None else pixels
    d["PixelData"].VR = "OB" if bits <= 8 else "OW"
    for name, value in elements.items():
        setattr(d, name, value)
    if syntax == RLELossless:
        d.compress(RLELossless)
    out = io.BytesIO()
    pydicom.dcmwrite(out, d, enforce_file_format=True)
    return out.getvalue()


def bits_of(values):
    return np.packbits(values.ravel(), bitorder="little").tobytes()


KINDS = {
    "0 and 1": png(SOME),
    "0 and 255": png(SOME * 255),
    "one bit": pil(PIL.Image.fromarray(TRUTH)),
    "classes": png(np.where(TRUTH, np.arange(120) // 40 + 1, 0).astype(np.uint8)),
    "16 bits, 0 and 1": png(SOME.astype(np.uint16)),
    "16 bits, 0 and 65535": png(SOME.astype(np.uint16) * 65535),
    "classes, 255 not judged": png(np.where(TRUTH, 1 + np.arange(120) // 40 % 2 * 254, 0)),
    "instances, 8 bits": png(instances(np.uint8)),
    "instances, 16 bits": png(instances(np.uint16)),
    "grey in three channels": png(colour((1, 1, 1), 0)),
    "red on black": png(colour((0, 0, 200), 0)),
    "two colours": png(
        np.where(np.arange(120)[None, :, None] < 50, colour((9, 0, 0), 0), colour((0, 3, 0), 0))
    ),
    "16 bits of colour": png(colour((0, 0, 1), 0, np.uint16)),
    "alpha of a white picture": png(colour((255, 255, 255, 255), (255, 255, 255, 0))),
    "alpha of a black picture, half opaque": png(colour((0, 0, 0, 128), 0)),
    "opaque alpha": png(colour((255, 255, 255, 255), (0, 0, 0, 255))),
    "red over transparent white": png(colour((0, 0, 255, 255), (255, 255, 255, 0))),
    "grey and alpha": pil(
        PIL.Image.merge("LA", [PIL.Image.new("L", (120, 90), 77), PIL.Image.fromarray(SOME * 255)])
    ),
    "palette": palette([0, 0, 0, 128, 0, 0]),
    "palette with a transparent entry": palette([0, 0, 0, 128, 0, 0], transparency=0),
    "DICOM": dicom(SOME),
    "DICOM, signed": dicom(SOME.astype(np.int16) * 1000, bits=16),
    "DICOM, RLE": dicom(SOME, syntax=RLELossless),
    "DICOM segmentation of one bit": dicom(SOME, bits=1, pixels=bits_of(SOME)),
    "DICOM with a window": dicom(SOME, WindowCenter=128, WindowWidth=255),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_region_of_every_kind(kind):
    np.testing.assert_array_equal(region_of(KINDS[kind]), TRUTH)


_LARGE = np.zeros((96, 120), np.uint8)
_LARGE[16:64, 30:83] = 255


@pytest.mark.parametrize("quality", [40, 75])
@pytest.mark.parametrize("again", [False, True], ids=["", "saved again as PNG"])
def test_black_and_white_as_jpeg_has_no_ringing(quality, again):
    for pixels in (_LARGE, np.stack([_LARGE] * 3, 2)):
        data = jpeg(pixels, quality)
        kept = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert ((kept > 0) != (pixels > 0)).any()
        np.testing.assert_array_equal(region_of(png(kept) if again else data), _LARGE > 0)


def test_blurred_edges_are_cut_in_the_middle():
    soft = cv2.GaussianBlur(SOME * 255, (0, 0), 1.0)
    found = region_of(png(soft))
    np.testing.assert_array_equal(found, soft > 127)
    assert (found[18:52, 28:82] != TRUTH[18:52, 28:82]).sum() <= 4  # the corners


def test_an_empty_mask_is_empty_and_a_full_one_full():
    for data in (png(SOME * 0), jpeg(SOME * 0), dicom(SOME * 0)):
        assert not region_of(data).any()
    for value in (1, 255):
        assert region_of(png(np.full((9, 9), value, np.uint8))).all()


_FILM = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (90, 120), np.uint8), (5, 5), 0)
_PROBABLE = cv2.GaussianBlur(SOME * np.float32(1), (0, 0), 9)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (png(_FILM), "grey levels"),
        (jpeg(_FILM), "JPEG does not keep labels"),
        (png(_FILM.astype(np.uint16) * 257), "levels like a film"),
        (png(np.stack([_FILM, _FILM, _FILM // 2], 2)), "levels like a film"),
        (png((_PROBABLE * 255).astype(np.uint8)), "grey levels"),
        (jpeg(SOME), "JPEG does not keep labels"),
        (jpeg(SOME * 100 + np.roll(SOME, 40, 1) * 100), "JPEG does not keep labels"),
        (png(colour((0, 0, 255), (255, 255, 255))), "no pixel of the mask is background"),
        (png(SOME + np.uint8(1)), "no pixel of the mask is background"),
        (png(colour((1, 2, 3, 0), (3, 2, 1, 0))), "transparent"),
        (palette([255, 255, 255, 128, 0, 0]), "palette"),
        (palette([255, 0, 0, 0, 0, 0]), "palette"),
        (dicom(SOME, frames=3), "several frames"),
        (dicom(SOME.astype(np.int16) * -1, bits=16), "below 0"),
        (b"\x93NUMPY" + bytes(60), "a mask is a PNG, JPEG or DICOM"),
        (b"BM" + bytes(60), "a mask is a PNG, JPEG or DICOM"),
        (b"", "a mask is a PNG"),
        (png(SOME)[:60], "PNG"),
    ],
)
def test_what_is_no_label_image_is_refused_with_the_mend(data, said):
    with pytest.raises(ImageError, match=said) as e:
        region_of(data)
    assert "\n" not in str(e.value)


def test_a_stored_mask_of_any_values_reaches_training():
    for values in (SOME, SOME * 255, SOME.astype(np.uint16), instances(np.uint16)):
        np.testing.assert_array_equal(decode_mask(png(values)), SOME * 255)


@pytest.mark.parametrize(
    "code", ["9" * 30 + " 1", f"{2**62} {2**62} {2**62} {2**62}", "1 2 3", "a b", "1.5 2", "1 -1"]
)
def test_run_lengths_that_lead_nowhere(code):
    with pytest.raises(ImageError, match="run lengths"):
        decode_runs([code], (8, 8))
    with pytest.raises(ImageError, match="limit"):
        decode_runs(["1 2"], (1 << 20, 1 << 20))


def _imported(tmp_path, mask, size=(120, 90), max_size=0):
    (tmp_path / "a.png").write_bytes(png(np.full((size[1], size[0]), 90, np.uint8)))
    (tmp_path / "m.png").write_bytes(mask)
    item = Item(
        "a",
        "t.csv row 2",
        (ImageFile(tmp_path / "a.png"),),
        "train",
        masks=(MaskFile(tmp_path / "m.png", "lesion"),),
    )
    rejects = Rejects()
    record = load_item(item, SourceConfig(root=str(tmp_path), max_size=max_size), rejects)
    return record.masks, [(r.kind, r.detail) for r in rejects]


def test_a_mask_of_another_size_follows_its_image_by_nearest_neighbour(tmp_path):
    (mask,), rejects = _imported(tmp_path, png(SOME), (240, 180))
    np.testing.assert_array_equal(decode_mask(mask.data) > 0, TRUTH.repeat(2, 0).repeat(2, 1))
    assert rejects == []
    masks, ((kind, detail),) = _imported(tmp_path, png(SOME), (120, 120))
    assert (masks, kind) == ((), "mask of another shape")
    assert "120 x 90 for 120 x 120" in detail


def test_a_region_that_vanishes_when_the_image_shrinks_is_named(tmp_path):
    dot = np.zeros((90, 120), np.uint8)
    dot[1, 1] = 1
    (mask,), rejects = _imported(tmp_path, png(dot))
    assert (decode_mask(mask.data) > 0).sum() == 1
    masks, rejects = _imported(tmp_path, png(dot), max_size=12)
    assert masks == ()
    assert rejects == [("empty mask", f"{tmp_path}/m.png at 12 x 9")]
