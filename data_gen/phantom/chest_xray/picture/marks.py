"""Side markers and burnt-in words, set from a five by seven dot font."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Params = dict[str, Any]

_FONT = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}

# None of these words names a view, a position or a disease.
WORDS = ("CHEST", "ROOM 2", "MOBILE", "4012", "BED 17", "DR 0412")
_WIDTH = 6 * max(map(len, WORDS))


def _bitmap(text: str, width: int) -> np.ndarray:
    """[7, width] dots of a word."""
    out = np.zeros((7, width), np.float32)
    for i, letter in enumerate(text):
        rows = [[float(dot) for dot in row] for row in _FONT[letter].split()]
        out[:, 6 * i : 6 * i + 5] = rows
    return out


_WORD_DOTS = np.stack([_bitmap(word, _WIDTH) for word in WORDS])
_LETTER_DOTS = np.stack([_bitmap("R", 5), _bitmap("L", 5)])


def _place(size: int, start: Array, cell: Array, cells: int) -> Float[Array, "s c"]:
    """Weights [size, cells] that lay dots of width ``cell`` (a fraction) from ``start`` on."""
    pixel = (jnp.arange(size) + 0.5) / size
    at = (pixel[:, None] - start) / cell - (jnp.arange(cells)[None, :] + 0.5)
    soft = jnp.maximum(1.0 / (size * cell), 0.35)
    return jnp.clip((0.5 - jnp.abs(at)) / soft + 0.5, 0.0, 1.0)


def draw(a: Params, size: int) -> tuple[Float[Array, "s s"], Float[Array, "s s"]]:
    """(ink 0 to 1, its grey level 0 to 1) of the marker and of one burnt-in word."""
    frac = (jnp.arange(size) + 0.5) / size
    fx, fy = frac[None, :], frac[:, None]
    left = a["marker_side"] > 0
    cell = a["marker_size"] / 5.0
    x0 = jnp.where(left, 1.0 - a["marker_x"] - a["marker_size"], a["marker_x"])
    y0 = a["marker_y"]
    dots = jnp.where(left, _LETTER_DOTS[1], _LETTER_DOTS[0])
    letter = _place(size, y0, cell, 7) @ dots @ _place(size, x0, cell, 5).T
    letter = jnp.minimum(letter, 1.0)
    cx, cy = x0 + 2.5 * cell, y0 + 3.5 * cell
    box = (jnp.abs(fx - cx) < 3.6 * cell) & (jnp.abs(fy - cy) < 4.6 * cell)
    disc = ((fx - cx) ** 2 + (fy - cy) ** 2) < (5.2 * cell) ** 2
    kind = a["marker"]
    plate = jnp.where(kind == 2, box, jnp.where(kind == 3, disc, False)) * 0.9
    plate = jnp.where(kind > 0, jnp.maximum(plate, letter), 0.0)
    # On a plate the letter is dark, alone it is bright.
    level = jnp.where(kind >= 2, a["marker_level"] * (1.0 - 0.9 * letter), a["marker_level"])
    cell = a["text_size"] / 7.0
    word = jnp.asarray(_WORD_DOTS)[jnp.clip(a["text"], 0, len(WORDS) - 1).astype(int)]
    text = _place(size, a["text_y"], cell, 7) @ word @ _place(size, a["text_x"], cell, _WIDTH).T
    text = jnp.minimum(text, 1.0) * (a["text"] >= 0)
    ink = jnp.maximum(plate, text)
    return ink, jnp.where(text > plate, 0.95, level)
