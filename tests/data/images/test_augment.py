import dataclasses

import cv2
import numpy as np
import pytest
import simplejpeg

from medvlp_jax.data.images import geometry
from medvlp_jax.data.images.augment import (
    ImageConfig,
    PhotometricConfig,
    add_noise,
    change_grays,
    gray_table,
    load_image,
)
from medvlp_jax.data.images.geometry import GeometryConfig

STRONG = GeometryConfig(
    crop_area=(0.4, 0.9), crop_aspect=(0.8, 1.25), rotate=7, translate=0.05, scale=(0.9, 1.1)
)
CROP = GeometryConfig(crop_area=(0.3, 0.9), crop_aspect=(0.7, 1.4))
SIZES = [(300, 200), (200, 300), (256, 256)]


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def gradient(width: int, height: int) -> np.ndarray:
    """Bright to the right and, less, to the bottom: every corner has its own gray."""
    x = np.linspace(20, 180, width)[None, :]
    y = np.linspace(0, 60, height)[:, None]
    return np.rint(x + y).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_plain_resize_modes(width, height):
    picture = gradient(width, height)
    short, long = min(width, height), max(width, height)
    for resize in ("shortest", "pad", "stretch"):
        out, m = load_image(png(picture), "png", ImageConfig(size=64, resize=resize), None)
        assert out.shape == (64, 64, 1)
        assert out.dtype == np.uint8
        corner = m @ np.array([0.0, 0.0, 1.0])
        if resize == "stretch":
            np.testing.assert_allclose(corner[:2], 0, atol=1e-9)
            expected = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
        elif resize == "shortest":
            x0, y0 = (width - short) // 2, (height - short) // 2
            crop = picture[y0 : y0 + short, x0 : x0 + short]
            expected = cv2.resize(crop, (64, 64), interpolation=cv2.INTER_AREA)
        else:
            square = np.zeros((long, long), np.uint8)
            x0, y0 = (long - width) // 2, (long - height) // 2
            square[y0 : y0 + height, x0 : x0 + width] = picture
            expected = cv2.resize(square, (64, 64), interpolation=cv2.INTER_AREA)
        inner = np.abs(out[2:-2, 2:-2, 0].astype(int) - expected[2:-2, 2:-2])
        assert np.quantile(inner, 0.9) <= 2, resize


def test_channels():
    color = np.dstack([np.full((40, 40), v, np.uint8) for v in (10, 20, 200)])  # BGR
    three, _ = load_image(png(color), "png", ImageConfig(size=16, channels=3), None)
    assert three.shape == (16, 16, 3)
    assert three[8, 8].tolist() == [200, 20, 10]
    one, _ = load_image(png(color), "png", ImageConfig(size=16, channels=1), None)
    assert one.shape == (16, 16, 1)
    gray, _ = load_image(png(color[..., 0]), "png", ImageConfig(size=16, channels=3), None)
    assert gray.shape == (16, 16, 3)
    assert gray[8, 8].tolist() == [10, 10, 10]


def test_scaled_jpeg_decode_gives_the_same_picture():
    picture = gradient(1600, 1200)
    data = simplejpeg.encode_jpeg(picture[:, :, None], 95, "GRAY", "Gray")
    small, m = load_image(data, "jpeg", ImageConfig(size=128), None)
    full, m_full = load_image(png(picture), "png", ImageConfig(size=128), None)
    assert np.abs(small.astype(int) - full).max() <= 3
    np.testing.assert_allclose(m, m_full, atol=1e-3)


@pytest.mark.parametrize("resize", ["shortest", "pad", "stretch"])
@pytest.mark.parametrize("config", [CROP, STRONG, dataclasses.replace(STRONG, flip=0.5)])
def test_image_and_masks_and_boxes_move_together(resize, config):
    """A bright disc is found again where its mask and its box are said to be."""
    rng = np.random.default_rng(1)
    seen = 0
    for width, height in SIZES * 8:
        center = rng.uniform(0.35, 0.65, 2) * (width, height)
        picture = np.full((height, width), 40, np.uint8)
        disc = np.zeros((height, width), np.uint8)
        cv2.circle(disc, (int(center[0]), int(center[1])), 25, 255, -1)
        picture[disc > 0] = 220
        rows, columns = np.nonzero(disc)
        box = np.array(
            [[columns.min() / width, rows.min() / height,
              (columns.max() + 1) / width, (rows.max() + 1) / height]], np.float32,
        )  # fmt: skip
        image_config = ImageConfig(size=96, resize=resize, geometry=config)
        out, m = load_image(png(picture), "png", image_config, rng)
        mask = geometry.warp_mask(disc, m, 96)
        assert set(np.unique(mask)) <= {0, 1}
        bright = out[:, :, 0] > 130
        # nearest against area or bilinear: they may differ on the rim alone
        rim = cv2.dilate(mask, np.ones((3, 3))) - cv2.erode(mask, np.ones((3, 3)))
        assert not ((bright != (mask > 0)) & (rim == 0)).any()
        moved, kept = geometry.move_boxes(box, m, 0.0)
        if not len(kept):
            assert mask.sum() <= 4
            continue
        rows, columns = np.nonzero(mask)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 96
        assert (moved[0][:2] <= found[:2] + 1.5 / 96).all()
        assert (moved[0][2:] >= found[2:] - 1.5 / 96).all()
        if moved.min() > 0 and moved.max() < 1:  # the border cuts a disc to less than its box
            seen += 1
            slack = 1.5 / 96 if config.rotate == 0 else 4.5 / 96  # hull of a turned box is larger
            assert np.abs(found - moved[0]).max() <= slack
    assert seen >= 10


def test_mask_of_another_resolution_moves_the_same_way():
    disc = np.zeros((400, 600), np.uint8)
    cv2.circle(disc, (300, 180), 90, 255, -1)
    small = cv2.resize(disc, (150, 100), interpolation=cv2.INTER_AREA)
    m = geometry.matrix("shortest", 600, 400, STRONG, np.random.default_rng(0))
    a, b = geometry.warp_mask(disc, m, 64), geometry.warp_mask(small, m, 64)
    union = (a | b).sum()
    assert (a & b).sum() / union > 0.95


def test_boxes_that_leave_are_dropped_and_others_clipped():
    m = np.array([[2.0, 0, -1.0], [0, 1, 0], [0, 0, 1]])  # the right half of the image
    boxes = np.array([[0.0, 0, 0.4, 1], [0.6, 0.2, 0.8, 0.4], [0.4, 0, 0.6, 1], [0.1, 0, 0.6, 1]])
    moved, kept = geometry.move_boxes(boxes.astype(np.float32), m, 0.25)
    assert kept.tolist() == [1, 2]
    np.testing.assert_allclose(moved, [[0.2, 0.2, 0.6, 0.4], [0, 0, 0.2, 1]], atol=1e-6)


def test_no_left_right_flip_unless_asked():
    picture = png(gradient(80, 80))
    strongest = ImageConfig(size=32, geometry=STRONG)
    rng = np.random.default_rng(0)
    for _ in range(100):
        out, m = load_image(picture, "png", strongest, rng)
        assert np.linalg.det(m[:2, :2]) > 0
        assert out[:, 16:].mean() > out[:, :16].mean()
    flipping = dataclasses.replace(strongest, geometry=dataclasses.replace(STRONG, flip=0.5))
    signs = [
        np.sign(np.linalg.det(load_image(picture, "png", flipping, rng)[1][:2, :2]))
        for _ in range(100)
    ]
    assert 30 < signs.count(-1.0) < 70


def test_flip_mirrors_the_pixels():
    config = ImageConfig(size=50, geometry=GeometryConfig(flip=1.0))
    picture = gradient(50, 50)
    out, _ = load_image(png(picture), "png", config, np.random.default_rng(0))
    np.testing.assert_array_equal(out[:, :, 0], picture[:, ::-1])


def test_ranges_are_respected():
    rng = np.random.default_rng(0)
    config = GeometryConfig(crop_area=(0.5, 0.8), crop_aspect=(0.9, 1.1))
    areas, edges = [], []
    for _ in range(500):
        m = geometry.matrix("stretch", 300, 200, config, rng)
        crop = np.linalg.inv(m) @ np.array([[0, 1], [0, 1], [1, 1]])
        areas.append(np.prod(crop[:2, 1] - crop[:2, 0]))
        edges += [crop[:2].min(), crop[:2].max()]
    assert 0.5 - 1e-9 <= min(areas) < 0.53
    assert 0.77 < max(areas) <= 0.8 + 1e-9
    assert min(edges) > -1e-9
    assert max(edges) < 1 + 1e-9
    turned = geometry.matrix("shortest", 100, 100, GeometryConfig(rotate=5), rng)
    assert 0 < abs(np.degrees(np.arctan2(turned[0, 1], turned[0, 0]))) <= 5


def test_same_generator_same_pixels_and_options_do_not_shift_each_other():
    data = png(gradient(120, 90))
    photometric = PhotometricConfig(
        brightness=0.2, contrast=(0.7, 1.3), gamma=(0.7, 1.4), blur=0.5, noise=0.5
    )
    config = ImageConfig(size=48, geometry=STRONG, photometric=photometric)
    a, b, c = (load_image(data, "png", config, np.random.default_rng(s))[0] for s in (7, 7, 8))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    # Switching noise off leaves the crop of the same visit where it was.
    quiet = dataclasses.replace(config, photometric=PhotometricConfig())
    m = [load_image(data, "png", k, np.random.default_rng(7))[1] for k in (config, quiet)]
    np.testing.assert_array_equal(m[0], m[1])


def test_evaluation_changes_nothing_but_the_size():
    config = ImageConfig(
        size=90, geometry=STRONG, photometric=PhotometricConfig(brightness=0.5, noise=1.0)
    )
    picture = gradient(90, 90)
    out, m = load_image(png(picture), "png", config, None)
    np.testing.assert_array_equal(out[:, :, 0], picture)
    np.testing.assert_allclose(m, np.eye(3), atol=1e-12)


def test_gray_table():
    np.testing.assert_array_equal(gray_table(0, 1, 1), np.arange(256))
    assert gray_table(0.1, 1, 1)[100] == 126  # 100 + 25.5
    assert gray_table(0, 0.5, 1)[0] == 64
    assert gray_table(0, 1, 2)[128] == 64


def test_noise_has_the_asked_spread_in_all_channels_alike():
    flat = np.full((200, 200, 3), 128, np.uint8)
    out = add_noise(flat, 10.0, np.random.default_rng(0)).astype(float)
    assert abs(out.mean() - 128) < 0.3
    assert abs(out.std() - 10) < 0.3
    assert np.ptp(out, axis=2).max() == 0
    assert abs(np.corrcoef(out[:-1, :, 0].ravel(), out[1:, :, 0].ravel())[0, 1]) < 0.02


def test_blur_and_noise_come_with_their_probability():
    spike = np.zeros((21, 21), np.uint8)
    spike[10, 10] = 255
    rng = np.random.default_rng(0)
    config = PhotometricConfig(blur=0.3, blur_sigma=(1, 1), noise=0.0)
    blurred = [change_grays(spike, config, rng)[10, 10] < 255 for _ in range(300)]
    assert 60 < sum(blurred) < 120
    config = PhotometricConfig(noise=0.3, noise_std=(0.05, 0.05))
    noisy = [(change_grays(spike, config, rng)[:5] != 0).any() for _ in range(300)]
    assert 60 < sum(noisy) < 120


@pytest.mark.parametrize(
    "bad",
    [
        {"crop_area": (0.0, 1.0)},
        {"crop_area": (0.9, 0.5)},
        {"crop_aspect": (0.0, 1.0)},
        {"rotate": 90.0},
        {"flip": 2.0},
        {"translate": 1.0},
    ],
)
def test_impossible_geometry_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        GeometryConfig(**bad)


def test_impossible_photometry_and_image_are_refused():
    with pytest.raises(ValueError, match="gamma"):
        PhotometricConfig(gamma=(0.0, 1.0))
    with pytest.raises(ValueError, match="channels"):
        ImageConfig(channels=2)


def test_tiny_images_and_extreme_shapes_survive():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 400), (400, 1), (3, 2)):
        data = png(np.full(shape, 99, np.uint8))
        for resize in ("shortest", "pad", "stretch"):
            for config in (CROP, STRONG):
                image_config = ImageConfig(size=24, resize=resize, geometry=config)
                assert load_image(data, "png", image_config, rng)[0].shape == (24, 24, 1)
