"""Files of figures: bounds, formats, crops."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.figures.pixels import (
    MAX_PIXELS,
    FigureError,
    crop,
    decode_figure,
    read_figure,
)


def encoded(image, kind):
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "JPEG"])
def test_formats(kind):
    image = PIL.Image.new("RGB", (40, 30), (200, 10, 10))
    pixels = decode_figure(encoded(image, kind), "f")
    assert pixels.shape == (30, 40, 3)
    assert abs(int(pixels[0, 0, 0]) - 200) < 4


def test_what_is_transparent_becomes_white():
    image = PIL.Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    assert decode_figure(encoded(image, "PNG"), "f").min() == 255


def test_sixteen_bits_keep_their_contrast():
    image = PIL.Image.fromarray((np.arange(40 * 30, dtype=np.uint16) * 3).reshape(30, 40))
    pixels = decode_figure(encoded(image, "PNG"), "f")
    assert pixels.min() == 0
    assert pixels.max() == 255


def huge_png(side):
    """A PNG whose header claims far more than it holds."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64))


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_huge_figure_is_refused_by_its_header(side):
    assert side * side > MAX_PIXELS
    with pytest.raises(FigureError, match=r"g7\.png.*pixels") as error:
        decode_figure(huge_png(side), "g7.png")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html>404</html>", huge_png(100)[:50]])
def test_broken_files_are_named(tmp_path, data):
    (tmp_path / "fig.jpg").write_bytes(data)
    with pytest.raises(FigureError, match=r"fig\.jpg"):
        read_figure(tmp_path / "fig.jpg")
    with pytest.raises(FigureError, match=r"none\.jpg"):
        read_figure(tmp_path / "none.jpg")


def test_a_crop_has_the_pixels_of_its_box_and_at_least_one():
    image = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    assert np.array_equal(crop(image, Region(0.25, 0.5, 0.5, 1.0)), image[50:100, 50:100])
    assert crop(image, (1.0, 1.0, 1.0, 1.0)).shape == (1, 1, 3)
    assert crop(image, (0.0, 0.0, 0.1, 0.1), margin=0.5).shape == (20, 30, 3)
