"""Gels and blots."""

import cv2
import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.style import BLACK, sample_style


def gel(rng: np.random.Generator, canvas: Canvas) -> None:
    """Strips of a western blot with names of proteins, or lanes of an agarose gel."""
    style = sample_style(rng)
    height = canvas.small(style)
    lanes = int(rng.integers(2, 13))
    agarose = bool(rng.random() < 0.35)
    left = canvas.width * (0.1 if agarose else rng.uniform(0.17, 0.26))
    right = canvas.width * (0.97 if agarose or rng.random() < 0.5 else 0.82)
    top = height * 2.4
    names = words.pick(rng, (*words.GROUPS, *"+-123456"), lanes)
    signs = rng.random() < 0.3
    each = (right - left) / lanes
    for k, name in enumerate(names):
        text = ("+" if k % 2 else "-") if signs else name[:6]
        at = (left + (k + 0.5) * each, top - 1.1 * height)
        if canvas.width_of(text, height, style.font) > 0.95 * each:
            canvas.turned(at, text[:5], 0.8 * height, style.font, 60)
        else:
            canvas.text(at, text, height, style.font, anchor="mm")
    if agarose:
        box = (left, top, right, canvas.height * 0.97)
        _paste(canvas, box, _agarose(rng, box, lanes))
        for k, size in enumerate(("1000", "750", "500", "250", "100")):
            y = top + (box[3] - top) * (0.2 + 0.15 * k)
            canvas.text(
                (left - 0.3 * height, y), size, min(height, 0.4 * left), style.font, anchor="rm"
            )
        return
    strips = int(rng.integers(1, 7))
    gap = canvas.height * 0.02
    high = min((canvas.height * 0.97 - top) / strips - gap, canvas.height * 0.2)
    high = high if strips > 1 else (canvas.height - top) * rng.uniform(0.3, 0.9)
    framed = rng.random() < 0.6
    proteins = words.pick(rng, words.GENES, strips)
    for s, name in enumerate(proteins):
        y = top + s * (high + gap)
        box = (left, y, right, y + high)
        _paste(canvas, box, _blot(rng, box, lanes))
        if framed:
            canvas.rectangle(box, None, BLACK, canvas.thin(style))
        small = height * min(1.0, (left - 0.6 * height) / canvas.width_of(name, height, style.font))
        canvas.text((left - 0.4 * height, y + high / 2), name, small, style.font, anchor="rm")
        if right < canvas.width * 0.9:
            at = (right + 0.3 * height, y + high / 2)
            canvas.text(at, f"{rng.integers(12, 250)} kDa", 0.85 * height, style.font, anchor="lm")


def _paste(canvas: Canvas, box: tuple[float, float, float, float], grey: np.ndarray) -> None:
    canvas.paste(np.repeat(grey[..., None], 3, 2), box[0], box[1])


def _size(box: tuple[float, float, float, float]) -> tuple[int, int]:
    return max(4, round(box[3] - box[1])), max(4, round(box[2] - box[0]))


def _band(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float, bend: float):
    """A soft bar whose ends curl up or down."""
    u = (x - cx) / rx
    v = (y - cy - bend * u**2 * ry) / ry
    return np.exp(-(np.abs(u) ** 4) - v**2)


def _blot(rng: np.random.Generator, box, lanes: int) -> np.ndarray:
    rows, columns = _size(box)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    ground = rng.uniform(200, 245) + rng.uniform(-15, 15) * (y / rows - 0.5)
    dark = np.zeros((rows, columns), np.float32)
    middle = rows * rng.uniform(0.35, 0.65)
    for k in range(lanes):
        for extra in range(1 + int(rng.random() < 0.3)):
            force = rng.choice([0.1, 0.6, 0.95, 1.3], p=[0.15, 0.25, 0.3, 0.3])
            at = (k + 0.5) * columns / lanes + rng.normal(0, 0.5)
            low = middle + rng.normal(0, 0.02 * rows) + extra * 0.25 * rows
            high = min(rows * rng.uniform(0.08, 0.22), columns / lanes * 0.3) + 1
            half = columns / lanes * rng.uniform(0.32, 0.46)
            dark += force * _band(x, y, at, low, half, high, rng.normal(0, 0.3))
    picture = ground * (1 - np.clip(dark, 0, 1) * rng.uniform(0.75, 1.0))
    picture += cv2.GaussianBlur(rng.normal(0, 6, picture.shape).astype(np.float32), (0, 0), 0.8)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _agarose(rng: np.random.Generator, box, lanes: int) -> np.ndarray:
    rows, columns = _size(box)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    light = 0.08 + 0.1 * rng.random() + 0.06 * y / rows
    half = columns / lanes * 0.38
    ladder = np.array([0.2, 0.3, 0.38, 0.47, 0.55, 0.63, 0.7, 0.8])
    shared = rng.uniform(0.25, 0.8, 2)
    for k in range(lanes):
        marks = ladder if k == 0 else shared[: 1 + int(rng.random() < 0.4)]
        for mark in marks:
            force = rng.uniform(0.4, 1.0) if k == 0 or rng.random() < 0.85 else 0.05
            at = (k + 0.5) * columns / lanes
            light = light + force * _band(x, y, at, mark * rows, half, 0.012 * rows + 1, 0.0)
    grey = np.clip(light + rng.normal(0, 0.02, light.shape), 0, 1) * 255
    return (255 - grey if rng.random() < 0.15 else grey).astype(np.uint8)
