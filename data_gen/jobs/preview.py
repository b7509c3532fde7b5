"""One picture of a data folder: a grid of studies with their boxes and what is said of them."""

import colorsys
import os
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from absl import logging
from jaxtyping import UInt8
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from medvlp_jax.core.errors import reason
from medvlp_jax.data.images.base import Pixels
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import RecordSource
from medvlp_jax.data.store.record import Box, Record

_TILE = 256  # pixels of a picture's longer side
_COLUMNS = 6
_MARGIN = 10
_FONT_SIZE = 11
_LINE = 14
_CAPTION_LINES = 4
_WRAP = 40  # characters of the caption's font that fit on a tile
_BACKGROUND = (18, 18, 20)
_TEXT = (225, 225, 225)


def write_preview(
    source: RecordSource | Sequence[Record], path: str | os.PathLike[str], count: int = 24
) -> None:
    """Writes a PNG with ``count`` records that have an image, evenly spaced over ``source``.

    A record that cannot be read or drawn gets a tile that says so, and a line in the log.

    Args:
      source: an opened split, or records.
      path: of the PNG; any extension.
      count: at most so many pictures, six a row.
    """
    tiles = []
    spaced = range(0, len(source), max(1, len(source) // max(1, count)))
    for i in dict.fromkeys((*spaced, *range(len(source)))):
        if len(tiles) == count:
            break
        try:
            record = source[i]
            if record.images:
                tiles.append(tile(record))
        except Exception as error:  # a picture for a look must not end a job of hours
            logging.warning("preview: record %d cannot be shown (%s)", i, reason(error))
            tiles.append(_tile(np.zeros((1, 1), np.uint8), (), [f"record {i}", reason(error)]))
    if not tiles:
        tiles = [np.full((_TILE, _TILE, 3), _BACKGROUND, np.uint8)]
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // _COLUMNS)
    columns = min(_COLUMNS, len(tiles))
    sheet = np.full(
        (rows * (height + _MARGIN) + _MARGIN, columns * (width + _MARGIN) + _MARGIN, 3),
        _BACKGROUND,
        np.uint8,
    )
    for i, picture in enumerate(tiles):
        top = _MARGIN + i // _COLUMNS * (height + _MARGIN)
        left = _MARGIN + i % _COLUMNS * (width + _MARGIN)
        sheet[top : top + height, left : left + width] = picture
    Picture.fromarray(sheet).save(path, format="PNG")


def tile(record: Record) -> UInt8[np.ndarray, "h w 3"]:
    """The first image of ``record`` with its boxes, above id, view and impression."""
    first = record.images[0]
    pixels = decode(first.data, first.format, size_hint=_TILE)
    boxes = [box for box in record.boxes if box.image == 0]
    return _tile(pixels, boxes, _caption(record))


def _tile(pixels: Pixels, boxes: Sequence[Box], caption: Sequence[str]) -> np.ndarray:
    scale = _TILE / max(pixels.shape[:2])
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA if scale < 1 else 1)
    canvas = Picture.new("RGB", (_TILE, _TILE + _CAPTION_LINES * _LINE + 4), _BACKGROUND)
    left, top = (_TILE - shape[0]) // 2, (_TILE - shape[1]) // 2
    canvas.paste(Picture.fromarray(pixels), (left, top))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_FONT_SIZE)
    for box in boxes:
        colour, name = colour_of(box.label), _printable(box.label)
        x0, y0 = left + box.x0 * shape[0], top + box.y0 * shape[1]
        # A box of a pixel or less on the tile is drawn as one.
        x1 = max(left + box.x1 * shape[0] - 1, x0)
        y1 = max(top + box.y1 * shape[1] - 1, y0)
        draw.rectangle((x0, y0, x1, y1), outline=colour)
        # Above the box if there is room, so that the name of a nodule does not hide it.
        above = y0 - _LINE if y0 > _LINE else y0 + 1
        at = (min(x0 + 1, _TILE - draw.textlength(name, font) - 2), above)
        draw.rectangle(draw.textbbox(at, name, font), fill=_BACKGROUND)
        draw.text(at, name, fill=colour, font=font)
    for i, line in enumerate(caption):
        draw.text((2, _TILE + 2 + i * _LINE), _printable(line), fill=_TEXT, font=font)
    return np.asarray(canvas)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _caption(record: Record) -> list[str]:
    texts = {text.section: text.text for text in record.texts}
    said = texts.get("impression") or texts.get("caption") or next(iter(texts.values()), "")
    positive = ", ".join(sorted(name for name, value in record.labels.items() if value == 1))
    view = record.images[0].view
    head = f"{record.id} {view}".strip()
    lines = [head, *textwrap.wrap(" ".join((said or positive).split()), _WRAP)]
    if len(lines) > _CAPTION_LINES:
        lines = lines[:_CAPTION_LINES]
        lines[-1] = lines[-1][: _WRAP - 4] + " ..."
    return lines


def colour_of(label: str) -> tuple[int, int, int]:
    """A bright colour that depends on the label alone."""
    # The golden ratio spreads hues of different names; a sum is stable between processes.
    hue = sum(i * ord(c) for i, c in enumerate(label, 1)) * 0.6180339887 % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
