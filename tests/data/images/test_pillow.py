"""Resizing as Pillow does, with the sizes and crops of torchvision and open_clip."""

import io

import numpy as np
import PIL.Image
import pytest

from medvlp_jax.data.images.augment import ImageConfig, load_image


def _png(pixels):
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def _picture(width, height, channels=3):
    rng = np.random.default_rng([width, height])
    shape = (height, width, 3) if channels == 3 else (height, width)
    return rng.integers(0, 256, shape, np.uint8)


@pytest.mark.torch
@pytest.mark.parametrize(("width", "height"), [(75, 40), (40, 75), (32, 32), (20, 33), (33, 21)])
@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_shortest_side_then_the_middle(width, height, name):
    """Against torchvision itself, where it is there; with its rounding of halves to even."""
    transforms = pytest.importorskip("torchvision.transforms")
    pixels = _picture(width, height)
    mode = transforms.InterpolationMode(name)
    both = transforms.Compose([transforms.Resize(32, mode), transforms.CenterCrop(32)])
    expected = np.asarray(both(PIL.Image.fromarray(pixels)))
    config = ImageConfig(size=32, channels=3, filter=name)
    found, _ = load_image(_png(pixels), "png", config, None)
    np.testing.assert_array_equal(found, expected)


def test_the_matrix_follows_the_pixels():
    """A bright square lands where the matrix says, for every way to a square."""
    pixels = np.zeros((60, 96), np.uint8)
    pixels[20:40, 40:56] = 255
    for resize in ("shortest", "pad", "stretch"):
        config = ImageConfig(size=48, channels=1, resize=resize, filter="bicubic")
        found, m = load_image(_png(pixels), "png", config, None)
        rows, columns = np.nonzero(found[..., 0] > 127)
        for axis, (first, last) in enumerate(((40 / 96, 56 / 96), (20 / 60, 40 / 60))):
            seen = (columns, rows)[axis]
            low, high = (m[axis, axis] * v + m[axis, 2] for v in (first, last))
            assert seen.min() / 48 == pytest.approx(low, abs=0.6 / 48)
            assert (seen.max() + 1) / 48 == pytest.approx(high, abs=0.6 / 48)


def test_gray_files_and_training():
    gray = _picture(50, 40, channels=1)
    config = ImageConfig(size=32, channels=3, filter="bicubic")
    found, _ = load_image(_png(gray), "png", config, None)
    assert found.shape == (32, 32, 3)
    assert (found == found[..., :1]).all()
    # Training draws its crops, whatever the filter of evaluation is.
    drawn = [
        load_image(_png(gray), "png", ImageConfig(size=32, filter=f), np.random.default_rng(0))[0]
        for f in ("fast", "bicubic")
    ]
    np.testing.assert_array_equal(*drawn)
