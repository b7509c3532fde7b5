"""Ink on a canvas: text, plates, arrows, scale bars, frames."""

import cv2
import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.compose.faces import ink
from data_gen.pipelines.pubmed.compose.layouts import Rect

Canvas = UInt8[np.ndarray, "h w 3"]
Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def text_size(text: str, face: str, pixels: int) -> tuple[int, int]:
    """(width, height) of a text's ink."""
    height, width = ink(text, face, pixels).shape
    return width, height


def put_text(
    canvas: Canvas,
    text: str,
    at: tuple[float, float],
    face: str,
    pixels: int,
    colour: Colour | None,
    turned: bool = False,
) -> Rect:
    """Writes a text with its ink's top left at ``at``, moved to lie within the canvas.

    Args:
      colour: None takes black or white, whichever stands out more.
      turned: reads upwards.

    Returns:
      The box of its ink.
    """
    cover = ink(text, face, pixels)
    if turned:
        cover = np.rot90(cover)
    h, w = min(cover.shape[0], canvas.shape[0]), min(cover.shape[1], canvas.shape[1])
    x = int(np.clip(round(at[0]), 0, canvas.shape[1] - w))
    y = int(np.clip(round(at[1]), 0, canvas.shape[0] - h))
    area = canvas[y : y + h, x : x + w]
    if colour is None:
        colour = BLACK if area.mean() > 127 else WHITE
    alpha = cover[:h, :w, None].astype(np.float32) / 255
    area[:] = (area * (1 - alpha) + np.array(colour, np.float32) * alpha + 0.5).astype(np.uint8)
    return Rect(x, y, x + w, y + h)


def plate(canvas: Canvas, rect: Rect, colour: Colour) -> None:
    """A filled rectangle."""
    x0, y0, x1, y1 = (round(v) for v in rect)
    canvas[max(y0, 0) : y1, max(x0, 0) : x1] = colour


def frame(canvas: Canvas, rect: Rect, colour: Colour, width: int) -> None:
    """A line along the inside of a rectangle."""
    x0, y0, x1, y1 = (round(v) for v in rect)
    for part in (
        canvas[y0 : y0 + width, x0:x1],
        canvas[y1 - width : y1, x0:x1],
        canvas[y0:y1, x0 : x0 + width],
        canvas[y0:y1, x1 - width : x1],
    ):
        part[:] = colour


def arrow(canvas: Canvas, rng: np.random.Generator, rect: Rect) -> None:
    """An arrow, or an arrow head, somewhere in a rectangle."""
    size = 0.06 * min(rect.width, rect.height) * rng.uniform(0.8, 2.0) + 5
    x, y = rng.uniform(rect.x0 + size, rect.x1), rng.uniform(rect.y0 + size, rect.y1)
    angle = rng.uniform(0, 2 * np.pi)
    tip = (round(x), round(y))
    tail = (round(x + size * np.cos(angle)), round(y + size * np.sin(angle)))
    colours = (WHITE, BLACK, (255, 255, 0), (255, 0, 0), (0, 255, 255))
    colour = colours[rng.integers(len(colours))]
    _clipped(
        canvas,
        rect,
        lambda part, x0, y0: cv2.arrowedLine(
            part,
            (tail[0] - x0, tail[1] - y0),
            (tip[0] - x0, tip[1] - y0),
            colour,
            int(rng.integers(1, 4)),
            cv2.LINE_AA,
            tipLength=0.5,
        ),
    )


def scale_bar(canvas: Canvas, rng: np.random.Generator, rect: Rect, face: str, pixels: int) -> None:
    """A bar in a lower corner, half of the time with its length."""
    length = rect.width * rng.uniform(0.1, 0.3)
    thick = max(round(rng.uniform(1, 5)), 1)
    edge = 0.04 * min(rect.width, rect.height) + 3
    right = rng.random() < 0.75
    x = rect.x1 - edge - length if right else rect.x0 + edge
    y = rect.y1 - edge - thick
    dark = canvas[round(y) : round(y) + 2, round(x) : round(x + length)].mean() < 128
    colour = WHITE if dark else BLACK
    plate(canvas, Rect(x, y, x + length, y + thick), colour)
    if rng.random() < 0.5:
        text = str(rng.choice(["50 µm", "100 µm", "10 mm", "5 cm", "200 nm", "1 mm"]))
        width, height = text_size(text, face, pixels)
        if width < 0.6 * rect.width and height < 0.2 * rect.height:
            put_text(
                canvas, text, (x + length / 2 - width / 2, y - height - 3), face, pixels, colour
            )


def _clipped(canvas: Canvas, rect: Rect, paint) -> None:
    """Paints on a copy of a rectangle, so that nothing leaves it."""
    x0, y0, x1, y1 = (round(v) for v in rect)
    part = np.ascontiguousarray(canvas[y0:y1, x0:x1])
    if part.size:
        paint(part, x0, y0)
        canvas[y0:y1, x0:x1] = part
