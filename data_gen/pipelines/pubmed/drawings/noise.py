"""Rough surfaces and soft shapes that photographs and micrographs are made from."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Field = Float32[np.ndarray, "h w"]


def clouds(
    rng: np.random.Generator,
    height: int,
    width: int,
    cells: float = 3,
    octaves: int = 5,
    fall: float = 0.5,
) -> Field:
    """Noise from 0 to 1 whose bumps get finer and weaker, ``cells`` of the largest on a side."""
    total = np.zeros((height, width), np.float32)
    side, weight = cells, 1.0
    for _ in range(octaves):
        rows = max(2, min(height, round(side * height / max(height, width)) + 1))
        columns = max(2, min(width, round(side * width / max(height, width)) + 1))
        grid = rng.random((rows, columns), np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        side, weight = side * 2.1, weight * fall
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Places (y, x) from -1 to 1 along the shorter side, 0 in the middle."""
    half = min(height, width) / 2
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / half
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / half
    return np.broadcast_to(y[:, None], (height, width)), np.broadcast_to(x[None], (height, width))


def blob(rng: np.random.Generator, y: Field, x: Field, rough: float = 0.12) -> Field:
    """Distance from the middle of an uneven ring of radius 1: below 1 inside."""
    angle = np.arctan2(y, x)
    edge = np.ones_like(x)
    for k in range(2, 7):
        edge += np.float32(rough * rng.normal() / np.sqrt(k)) * np.cos(
            k * angle + rng.uniform(0, 6.3)
        )
    return (np.hypot(x, y) / np.clip(edge, 0.3, None)).astype(np.float32)


def soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 where ``distance`` is below 1, 0 above, over a width of ``edge``."""
    return np.clip((1 - distance) / np.float32(edge) + np.float32(0.5), 0, 1)


def blend(under: np.ndarray, over: object, share: np.ndarray) -> np.ndarray:
    """``over`` (a picture or a colour) laid upon ``under``."""
    below = np.asarray(under, np.float32)
    return below + (np.asarray(over, np.float32) - below) * share[..., None].astype(np.float32)


def grain(rng: np.random.Generator, height: int, width: int, strength: float) -> Field:
    """Independent normal noise."""
    return rng.standard_normal((height, width), np.float32) * np.float32(strength)


def picture(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    return np.clip(values, 0, 255).astype(np.uint8)
