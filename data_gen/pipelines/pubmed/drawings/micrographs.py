"""Fluorescence and electron microscopy."""

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.drawings.noise import blend, blob, clouds, grain, grid, picture, soft

_DYES = ((0, 1, 0), (1, 0, 0), (0.15, 0.3, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1))


def fluorescence(rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Cells, fibres and dots in one to three colours on black, often with a scale bar."""
    scene = np.zeros((height, width, 3), np.float32)
    dyes = rng.permutation(len(_DYES))[: int(rng.choice([1, 2, 3], p=[0.4, 0.35, 0.25]))]
    scale = rng.uniform(0.04, 0.16)
    places = rng.uniform(-1.3, 1.3, (int(min(60, 0.5 / scale**2)) + 3, 2))
    for dye in dyes:
        kind = rng.integers(4)
        light = (_nuclei, _bodies, _fibres, _dots)[kind](rng, height, width, places, scale)
        haze = clouds(rng, height, width, 3, 3) * rng.uniform(0.02, 0.15)
        light = np.clip(light + haze, 0, 1.2) * rng.uniform(0.7, 1.0)
        scene += light[..., None] * np.float32(_DYES[dye])
    scene = scene * 255 + rng.gamma(1.5, rng.uniform(1, 8), (height, width, 1)) * (
        scene.max(2, keepdims=True) + 0.2
    )
    shot = picture(scene)
    if rng.random() < 0.6:
        _scale_bar(rng, shot, (255, 255, 255))
    return shot


def _scale_bar(rng: np.random.Generator, shot: np.ndarray, colour: tuple[int, int, int]) -> None:
    height, width = shot.shape[:2]
    long = int(width * rng.uniform(0.1, 0.25))
    right = int(width * (0.95 if rng.random() < 0.8 else 0.35))
    low = int(height * 0.95)
    shot[low - max(1, height // 80) : low, max(0, right - long) : right] = colour


def _cells(rng, height: int, width: int, places: np.ndarray, size: float):
    """Window (slices) and distance of every cell."""
    half = min(height, width) / 2
    for cx, cy in places:
        reach = int(size * half * 2.2) + 2
        px, py = int(width / 2 + cx * half), int(height / 2 + cy * half)
        y0, y1 = max(0, py - reach), min(height, py + reach)
        x0, x1 = max(0, px - reach), min(width, px + reach)
        if y1 - y0 < 2 or x1 - x0 < 2:
            continue
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        y, x = (y - py) / half / size, (x - px) / half / size
        turn = rng.uniform(0, 3.2)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        yield (slice(y0, y1), slice(x0, x1)), blob(rng, v * rng.uniform(1, 1.6), u, 0.1)


def _nuclei(rng, height: int, width: int, places, scale) -> np.ndarray:
    light = np.zeros((height, width), np.float32)
    rough = 0.7 + 0.3 * clouds(rng, height, width, 2 / scale, 2)
    for where, distance in _cells(rng, height, width, places, scale * 0.6):
        light[where] = np.maximum(light[where], soft(distance, 0.25) * rng.uniform(0.5, 1))
    return light * rough


def _bodies(rng, height: int, width: int, places, scale) -> np.ndarray:
    light = np.zeros((height, width), np.float32)
    ring = rng.random() < 0.5
    for where, distance in _cells(rng, height, width, places, scale):
        body = (
            np.exp(-(((distance - 0.95) / 0.12) ** 2))
            if ring
            else np.exp(-(distance**2)) * (distance > 0.4)
        )
        light[where] += body * rng.uniform(0.3, 0.9)
    return light * (0.5 + 0.5 * clouds(rng, height, width, 40, 2))


def _fibres(rng, height: int, width: int, places, scale) -> np.ndarray:
    sheet = np.zeros((height, width), np.uint8)
    half = min(height, width) / 2
    for cx, cy in places:
        start = np.array((width / 2 + cx * half, height / 2 + cy * half))
        for _ in range(int(rng.integers(1, 5))):
            steps = rng.normal(0, 1, 2) + rng.normal(0, 0.35, (12, 2)).cumsum(0)
            points = start + np.cumsum(steps, 0) * scale * half * 0.3
            cv2.polylines(
                sheet, [points.astype(np.int32)], False, int(rng.integers(90, 256)), 1, cv2.LINE_AA
            )
    return cv2.GaussianBlur(sheet, (0, 0), 0.7).astype(np.float32) / 255 * 1.4


def _dots(rng, height: int, width: int, places, scale) -> np.ndarray:
    sheet = np.zeros((height, width), np.float32)
    count = int(rng.integers(60, 900))
    sheet[rng.integers(0, height, count), rng.integers(0, width, count)] = rng.uniform(
        0.3, 1, count
    )
    return cv2.GaussianBlur(sheet, (0, 0), rng.uniform(0.6, 1.6)) * 7


def electron_micrograph(
    rng: np.random.Generator, height: int, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Sections with membranes, mitochondria and vesicles, or surfaces of a scanning microscope."""
    grey = _scanned(rng, height, width) if rng.random() < 0.35 else _section(rng, height, width)
    grey = grey + grain(rng, height, width, rng.uniform(0.02, 0.06))
    shot = picture(np.repeat(np.clip(grey, 0, 1)[..., None] * 255, 3, 2))
    if rng.random() < 0.5:
        bar = max(4, height // 12)
        if rng.random() < 0.4:
            shot[-bar:] = 15
            said = f"{rng.integers(5, 30)} kV  x{rng.integers(2, 90)},000  1 um"
            cv2.putText(
                shot, said, (4, height - bar // 3),
                cv2.FONT_HERSHEY_SIMPLEX, bar / 40, (235, 235, 235), 1, cv2.LINE_AA,
            )  # fmt: skip
        else:
            _scale_bar(rng, shot, (0, 0, 0) if rng.random() < 0.6 else (255, 255, 255))
    return shot


def _section(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = grid(height, width)
    grain = clouds(rng, height, width, 70, 3, 0.8)
    scene = 0.5 + 0.35 * grain + 0.15 * clouds(rng, height, width, 4, 3)
    for _ in range(int(rng.integers(2, 7))):
        distance = blob(
            rng,
            (y - rng.normal(0, 0.8)) / 0.8,
            (x - rng.normal(0, 0.8)) / rng.uniform(0.5, 1.1),
            0.15,
        )
        scene = scene * (1 - 0.65 * np.exp(-(((distance - 1) / 0.018) ** 2)))
        scene = scene * np.where(distance < 1, rng.uniform(0.8, 1.1), 1)
    size = rng.uniform(0.12, 0.28)
    places = rng.uniform(-1.2, 1.2, (int(rng.integers(2, 12)), 2))
    for where, distance in _cells(rng, height, width, places, size):
        rows, columns = distance.shape
        folds = 0.5 + 0.5 * np.sin(clouds(rng, rows, columns, 4, 2) * 60)
        inner = 0.42 + 0.25 * folds
        share = soft(distance, 0.05)
        scene[where] = scene[where] * (1 - share) + inner * share
        scene[where] *= 1 - 0.7 * np.exp(-(((distance - 1) / 0.06) ** 2))
    for where, distance in _cells(
        rng, height, width, rng.uniform(-1.2, 1.2, (int(rng.integers(0, 60)), 2)), 0.035
    ):
        scene[where] *= 1 - 0.6 * np.exp(-(((distance - 1) / 0.3) ** 2))
    return cv2.GaussianBlur(scene.astype(np.float32), (0, 0), rng.uniform(0.5, 1.0))


def _scanned(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Bright rims on dark: particles, fibres or a rough surface."""
    scene = (0.2 + 0.25 * clouds(rng, height, width, 6, 5, 0.6))[..., None]
    places = rng.uniform(-1.2, 1.2, (int(rng.integers(8, 60)), 2))
    for where, distance in _cells(rng, height, width, places, rng.uniform(0.06, 0.25)):
        body = 0.35 + 0.5 * np.clip(distance, 0, 1) ** 3
        scene[where] = blend(scene[where], body[..., None], soft(distance, 0.06))
    return scene[..., 0]
