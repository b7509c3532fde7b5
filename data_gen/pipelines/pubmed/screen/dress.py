"""What journals and scanners put on pictures, and what files do to them.

None of it says what a picture is, so all classes get it alike: a classifier that looks for arrows,
letters or the marks of JPEG learns nothing from them.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

Pixels = UInt8[np.ndarray, "h w 3"]
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def montage(rng: np.random.Generator, pictures: list[Pixels], height: int, width: int) -> Pixels:
    """Several pictures of one class side by side: panels that nobody took apart."""
    across = len(pictures) if width > height or len(pictures) == 2 else 2
    down = -(-len(pictures) // across)
    gap = int(rng.integers(0, 6))
    sheet = np.full((height, width, 3), 255 if rng.random() < 0.6 else 0, np.uint8)
    for i, picture in enumerate(pictures):
        y0, y1 = height * (i // across) // down, height * (i // across + 1) // down - gap
        x0, x1 = width * (i % across) // across, width * (i % across + 1) // across - gap
        sheet[y0:y1, x0:x1] = fitted(picture, y1 - y0, x1 - x0)
    return sheet


def fitted(picture: Pixels, height: int, width: int) -> Pixels:
    """A picture at another size, stretched."""
    smaller = height * width < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=how)


def window(rng: np.random.Generator, picture: Pixels, aspect: float, least: float) -> Pixels:
    """A part of a picture of a given width over height, ``least`` to all of what fits."""
    height, width = picture.shape[:2]
    most = min(width / aspect, height)
    high = most * rng.uniform(least, 1.0)
    wide = high * aspect
    top, left = rng.uniform(0, height - high), rng.uniform(0, width - wide)
    return picture[int(top) : int(top + high) + 1, int(left) : int(left + wide) + 1]


def exposed(rng: np.random.Generator, picture: Pixels) -> Pixels:
    """Another exposure of a gray picture: window, gamma, a black or white ground, now and then
    inverted or toned."""
    values = picture.astype(np.float32) / 255
    low, high = rng.uniform(-0.15, 0.15), rng.uniform(0.75, 1.2)
    values = np.clip((values - low) / (high - low), 0, 1) ** rng.uniform(0.6, 1.6)
    if rng.random() < 0.08:
        values = 1 - values
    if rng.random() < 0.06:
        values = values * rng.uniform(0.7, 1.0, 3)
    return (values * 255).astype(np.uint8)


def marked(rng: np.random.Generator, picture: Pixels, share: float = 0.5) -> Pixels:
    """Letters of panels, arrows, scale bars, lines of text, a frame; each in a share of cases."""
    picture = np.ascontiguousarray(picture)
    height, width = picture.shape[:2]
    side = min(height, width)
    if rng.random() < share:
        _letter(rng, picture, side)
    for _ in range(int(rng.integers(1, 5)) if rng.random() < 0.4 * share else 0):
        a = rng.uniform(0.1, 0.9, 2) * (width, height)
        b = a + rng.normal(0, 0.1, 2) * side
        ends = tuple(int(v) for v in a), tuple(int(v) for v in b)
        cv2.arrowedLine(picture, *ends, _ink(rng), max(1, side // 90), cv2.LINE_AA, tipLength=0.35)
    if rng.random() < 0.25 * share:
        long, low = int(width * rng.uniform(0.1, 0.3)), int(height * rng.uniform(0.9, 0.96))
        left = int(rng.choice([0.05 * width, 0.95 * width - long]))
        cv2.rectangle(picture, (left, low), (left + long, low + max(1, side // 60)), _ink(rng), -1)
    if rng.random() < 0.25 * share:
        for i in range(int(rng.integers(1, 5))):
            text = "".join(chr(v) for v in rng.integers(48, 91, rng.integers(3, 14)))
            at = (int(rng.choice([3, width * 0.6])), int(height * (0.08 + 0.06 * i)))
            cv2.putText(picture, text, at, _FONTS[0], side / 520, _ink(rng), 1, cv2.LINE_AA)
    if rng.random() < 0.15 * share:
        edge = int(rng.integers(1, 3 + side // 30))
        colour = [int(v) for v in rng.choice([0, 255], 1)] * 3
        cv2.rectangle(picture, (0, 0), (width - 1, height - 1), colour, edge)
    return picture


def _ink(rng: np.random.Generator) -> list[int]:
    colours = ([255, 255, 255], [0, 0, 0], [255, 255, 0], [255, 0, 0])
    return list(colours[rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])])


def _letter(rng: np.random.Generator, picture: Pixels, side: int) -> None:
    height, width = picture.shape[:2]
    size = side * rng.uniform(0.06, 0.16)
    letter = chr(int(rng.integers(65, 75)) + int(rng.integers(2)) * 32)
    letter = f"({letter})" if rng.random() < 0.2 else letter
    font = _FONTS[rng.integers(len(_FONTS))]
    scale = size / 22
    x = int(rng.choice([0.03 * width, 0.97 * width - size * len(letter)]))
    y = int(rng.choice([0.05 * height + size, 0.95 * height]))
    ink = _ink(rng)
    if rng.random() < 0.25:
        box = (max(x - 3, 0), max(int(y - size - 2), 0))
        cv2.rectangle(
            picture, box, (int(x + size * len(letter)), y + 4), [255 - v for v in ink], -1
        )
    cv2.putText(picture, letter, (x, y), font, scale, ink, max(1, round(scale * 2)), cv2.LINE_AA)


def worn(rng: np.random.Generator, picture: Pixels) -> Pixels:
    """What files have gone through: smaller and back, blur, grain."""
    height, width = picture.shape[:2]
    if rng.random() < 0.3:
        share = rng.uniform(0.3, 0.8)
        small = fitted(picture, max(24, int(height * share)), max(24, int(width * share)))
        picture = fitted(small, height, width)
    if rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.2:
        grain = rng.normal(0, rng.uniform(1, 9), (height, width, 1))
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    return picture
