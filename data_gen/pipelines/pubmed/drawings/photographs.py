"""What looks like photographs: of patients and specimens, and of anything else."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_gen.pipelines.pubmed.drawings.noise import blend, blob, clouds, grain, grid, picture, soft

Rgb = Float[np.ndarray, "h w 3"]
_SKINS = ((236, 200, 180), (222, 175, 150), (190, 140, 110), (140, 95, 70), (95, 62, 48))
_SHEETS = (
    (40, 90, 150),
    (60, 130, 100),
    (20, 20, 24),
    (235, 235, 235),
    (80, 150, 190),
    (150, 190, 170),
)


def clinical_photograph(
    rng: np.random.Generator, height: int, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Skin with a lesion, a specimen on a sheet, an open wound or the view of an endoscope."""
    kind = rng.choice(["skin", "specimen", "endoscopy", "operation"], p=[0.4, 0.25, 0.2, 0.15])
    maker = {"skin": _skin, "specimen": _specimen, "endoscopy": _endoscopy, "operation": _operation}
    return _shot(rng, maker[str(kind)](rng, height, width))


def photograph(rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """A landscape, a person, apparatus on a table or plain things."""
    kind = rng.choice(["landscape", "person", "apparatus", "things"], p=[0.3, 0.25, 0.25, 0.2])
    maker = {"landscape": _landscape, "person": _person, "apparatus": _apparatus, "things": _things}
    return _shot(rng, maker[str(kind)](rng, height, width))


def _shot(rng: np.random.Generator, scene: Rgb) -> UInt8[np.ndarray, "h w 3"]:
    """Light from a side, colour of the light, grain; now and then without colour."""
    height, width = scene.shape[:2]
    y, x = grid(height, width)
    light = (
        1
        + rng.normal(0, 0.08) * x
        + rng.normal(0, 0.08) * y
        - rng.uniform(0, 0.12) * (x * x + y * y)
    )
    scene = np.asarray(scene, np.float32) * np.asarray(light, np.float32)[..., None]
    scene *= rng.uniform(0.9, 1.08, 3).astype(np.float32)
    scene += grain(rng, height, width, rng.uniform(1, 6))[..., None]
    if rng.random() < 0.12:
        scene = np.repeat(scene @ np.array([0.3, 0.59, 0.11])[:, None], 3, 2)
    return picture(scene)


def _skin_tone(rng: np.random.Generator) -> np.ndarray:
    k = rng.integers(len(_SKINS) - 1)
    share = rng.random()
    return np.array(_SKINS[k]) * share + np.array(_SKINS[k + 1]) * (1 - share)


def _skin(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, x = grid(height, width)
    tone = _skin_tone(rng)
    base = tone * (0.86 + 0.22 * clouds(rng, height, width, 3, 6, 0.55)[..., None])
    fine = clouds(rng, height, width, 60, 2)
    scene = base + (fine[..., None] - 0.5) * rng.uniform(6, 22)
    if rng.random() < 0.45:
        edge = (
            x * np.cos(a := rng.uniform(0, 6.3))
            + y * np.sin(a)
            + 0.15 * np.sin(2 * y + rng.normal())
        )
        sheet = np.array(_SHEETS[rng.integers(len(_SHEETS))])
        scene = blend(scene, sheet, np.clip((edge - rng.uniform(0.4, 0.8)) / 0.03, 0, 1))
    reds = (
        (150, 60, 60),
        (120, 60, 50),
        (70, 40, 35),
        (190, 90, 90),
        (200, 160, 120),
        (60, 30, 60),
    )
    for _ in range(int(rng.choice([1, 2, 6, 25], p=[0.5, 0.2, 0.2, 0.1]))):
        cx, cy = rng.normal(0, 0.4), rng.normal(0, 0.4)
        size = rng.uniform(0.04, 0.16) if rng.random() < 0.4 else rng.uniform(0.15, 0.5)
        distance = blob(rng, (y - cy) / size, (x - cx) / size / rng.uniform(0.7, 1.4), 0.2)
        colour = np.array(reds[rng.integers(len(reds))]) * 0.6 + tone * rng.uniform(0, 0.4)
        rough = clouds(rng, height, width, 20, 3)
        inside = soft(distance, rng.uniform(0.1, 0.8)) * (0.55 + 0.45 * rough)
        scene = blend(scene, colour, inside)
    hairs = picture(scene)
    for _ in range(int(rng.choice([0, 12, 40], p=[0.6, 0.25, 0.15]))):
        at = rng.uniform(0, 1, 2) * (width, height)
        bend = at + rng.normal(0, 0.1, 2) * width
        dark = [int(v) for v in tone * 0.35]
        cv2.line(hairs, tuple(at.astype(int)), tuple(bend.astype(int)), dark, 1, cv2.LINE_AA)
    return hairs.astype(np.float32)


def _specimen(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, x = grid(height, width)
    sheet = np.array(_SHEETS[rng.integers(len(_SHEETS))], np.float32)
    scene = sheet * (0.9 + 0.15 * clouds(rng, height, width, 6)[..., None])
    tones = ((150, 60, 50), (190, 110, 90), (120, 40, 40), (215, 180, 130), (170, 140, 120))
    for _ in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
        cx, cy = rng.normal(0, 0.22, 2)
        distance = blob(
            rng, (y - cy) / rng.uniform(0.35, 0.7), (x - cx) / rng.uniform(0.4, 0.8), 0.16
        )
        scene = blend(scene, sheet * 0.5, soft(distance - 0.04, 0.25) * 0.7)
        rough = clouds(rng, height, width, 5, 6, 0.62)
        tone = np.array(tones[rng.integers(len(tones))])
        other = np.array(tones[rng.integers(len(tones))])
        flesh = blend(np.broadcast_to(tone, scene.shape), other, rough)
        shine = np.clip(rough - 0.72, 0, 1)[..., None] * rng.uniform(100, 500)
        depth = np.sqrt(np.clip(1.2 - distance**2, 0.15, 1.0))[..., None]
        scene = blend(scene, flesh * depth + shine, soft(distance, 0.03))
    shot = picture(scene)
    if rng.random() < 0.5:
        _ruler(rng, shot)
    return shot.astype(np.float32)


def _ruler(rng: np.random.Generator, shot: np.ndarray) -> None:
    height, width = shot.shape[:2]
    high = max(6, height // 14)
    top = int(rng.choice([0, height - high]))
    shot[top : top + high] = (240, 240, 225)
    step = width / rng.integers(20, 60)
    for k in range(int(width / step)):
        at = int(k * step)
        long = high * (0.8 if k % 10 == 0 else 0.55 if k % 5 == 0 else 0.3)
        shot[top : top + max(1, int(long)), at : at + max(1, width // 300)] = (20, 20, 20)


def _endoscopy(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, x = grid(height, width)
    cx, cy = rng.normal(0, 0.3, 2)
    away = blob(rng, y - cy, x - cx, 0.12)
    tone = np.array((225, 120, 95)) * rng.uniform(0.85, 1.1, 3)
    folds = 0.5 + 0.5 * np.sin(away * rng.uniform(8, 16) + 3 * clouds(rng, height, width, 3))
    bright = np.clip(0.15 + 0.8 * away, 0, 1) * (0.75 + 0.25 * folds)
    rough = clouds(rng, height, width, 8, 5, 0.6)
    scene = tone * (bright * (0.8 + 0.3 * rough))[..., None]
    for _ in range(int(rng.integers(0, 9))):
        vx, vy = rng.normal(0, 0.7, 2)
        spot = soft(blob(rng, (y - vy) / 0.05, (x - vx) / rng.uniform(0.03, 0.12), 0.3), 0.3)
        scene = blend(scene, (255, 245, 235), spot * 0.9)
    veins = np.abs(clouds(rng, height, width, 5, 3) - 0.5) < 0.012
    scene = blend(
        scene, (150, 30, 35), cv2.GaussianBlur(veins.astype(np.float32), (0, 0), 0.8) * 0.6
    )
    if rng.random() < 0.7:
        scene = blend(scene, (5, 5, 5), 1 - soft(np.hypot(x, y) / rng.uniform(0.95, 1.15), 0.03))
    return scene


def _operation(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, x = grid(height, width)
    cloth = np.array(((50, 130, 140), (60, 110, 170), (50, 120, 90))[rng.integers(3)], np.float32)
    scene = cloth * (0.6 + 0.6 * clouds(rng, height, width, 4, 4)[..., None])
    hole = blob(rng, y / rng.uniform(0.4, 0.8), x / rng.uniform(0.5, 0.95), 0.15)
    scene = blend(scene, _skin_tone(rng), soft(hole, 0.05))
    rough = clouds(rng, height, width, 7, 6, 0.6)
    wound = blend(
        np.broadcast_to(np.array((120, 20, 20), np.float32), scene.shape), (225, 150, 110), rough
    )
    scene = blend(scene, wound, soft(hole / rng.uniform(0.6, 0.85), 0.1))
    shot = picture(scene)
    for _ in range(int(rng.integers(0, 4))):
        a = rng.uniform(0, 1, 2) * (width, height)
        b = np.array((width, height)) * rng.uniform(0.3, 0.7, 2)
        thick = max(2, int(min(height, width) * rng.uniform(0.015, 0.05)))
        ends = tuple(a.astype(int)), tuple(b.astype(int))
        cv2.line(shot, *ends, (120, 125, 130), thick, cv2.LINE_AA)
        cv2.line(shot, *ends, (220, 225, 230), max(1, thick // 3), cv2.LINE_AA)
    return shot.astype(np.float32)


def _landscape(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, _ = grid(height, width)
    sky = np.array(((120, 170, 225), (190, 205, 220), (230, 180, 140))[rng.integers(3)], np.float32)
    cloudy = np.clip(clouds(rng, height, width, 3, 6) - 0.4, 0, 1) * 1.4
    scene = blend(np.broadcast_to(sky, (height, width, 3)), (250, 250, 250), cloudy)
    tones = ((70, 110, 50), (110, 120, 70), (150, 130, 90), (60, 80, 60), (60, 100, 130))
    for layer in range(int(rng.integers(2, 5))):
        ridge = clouds(rng, 2, width, 4, 6)[0] * 0.5 + layer * 0.3 - 0.35
        rough = clouds(rng, height, width, 18, 5, 0.7)
        tone = np.array(tones[rng.integers(len(tones))])
        ground = tone * (0.6 + 0.7 * rough[..., None])
        scene = blend(scene, ground, np.clip((y - ridge[None]) / 0.02, 0, 1))
    if rng.random() < 0.4:
        shot = picture(scene)
        for _ in range(int(rng.integers(1, 5))):
            x0, y0 = int(rng.uniform(0, 0.8) * width), int(rng.uniform(0.35, 0.6) * height)
            w, h = int(rng.uniform(0.1, 0.3) * width), int(rng.uniform(0.15, 0.4) * height)
            wall = [int(v) for v in rng.integers(90, 230, 3)]
            cv2.rectangle(shot, (x0, y0), (x0 + w, y0 + h), wall, -1)
            for wx in range(x0 + 4, x0 + w - 6, max(8, w // 5)):
                for wy in range(y0 + 4, y0 + h - 8, max(10, h // 4)):
                    cv2.rectangle(shot, (wx, wy), (wx + w // 9, wy + h // 9), (50, 60, 75), -1)
        scene = shot.astype(np.float32)
    return scene


def _person(rng: np.random.Generator, height: int, width: int) -> Rgb:
    y, x = grid(height, width)
    wall = rng.uniform(60, 235, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(30, 240))
    scene = wall * (0.85 + 0.25 * clouds(rng, height, width, 3, 3)[..., None])
    tone, hair = _skin_tone(rng), rng.uniform(15, 120) * np.array((1.0, 0.8, 0.6))
    cx, cy, size = rng.normal(0, 0.15), rng.uniform(-0.3, 0.0), rng.uniform(0.35, 0.6)
    u, v = (x - cx) / size, (y - cy) / size
    shirt = rng.uniform(20, 240, 3) * (0.8 + 0.3 * clouds(rng, height, width, 8)[..., None])
    shoulders = np.hypot(u / 1.9, (v - 2.3) / 1.2)
    scene = blend(scene, hair, soft(np.hypot(u / 0.92, (v + 0.12) / 1.18), 0.05))
    scene = blend(scene, shirt, soft(shoulders, 0.03))
    scene = blend(
        scene, tone * 0.8, soft(np.maximum(np.abs(u) / 0.34, np.abs(v - 1.0) / 0.45), 0.1)
    )
    face = tone * (1.05 - 0.25 * (u + 0.3) ** 2)[..., None]
    scene = blend(scene, face, soft(np.hypot(u / 0.74, v / 1.0), 0.06))
    for side in (-0.28, 0.28):
        scene = blend(
            scene, (245, 245, 245), soft(np.hypot((u - side) / 0.14, (v + 0.1) / 0.07), 0.2)
        )
        scene = blend(scene, (40, 30, 25), soft(np.hypot((u - side) / 0.06, (v + 0.1) / 0.06), 0.3))
        scene = blend(scene, hair, soft(np.hypot((u - side) / 0.2, (v + 0.3) / 0.045), 0.4))
    scene = blend(scene, tone * 0.75, soft(np.hypot(u / 0.1, (v - 0.18) / 0.22), 1.2) * 0.6)
    scene = blend(scene, (165, 75, 75), soft(np.hypot(u / 0.24, (v - 0.5) / 0.07), 0.4))
    return blend(scene, hair, soft(np.hypot(u / 0.85, (v + 0.85) / 0.42), 0.1))


def _apparatus(rng: np.random.Generator, height: int, width: int) -> Rgb:
    floor = rng.uniform(120, 235)
    scene = np.full((height, width, 3), floor) * (
        0.85 + 0.25 * clouds(rng, height, width, 2, 3)[..., None]
    )
    shot = picture(scene)
    shot[int(height * rng.uniform(0.6, 0.8)) :] = rng.integers(50, 190, 3)
    for _ in range(int(rng.integers(4, 14))):
        tone = rng.integers(25, 235) + rng.integers(-30, 30, 3)
        colour = [int(v) for v in np.clip(tone, 0, 255)]
        x0, y0 = int(rng.uniform(0, 0.8) * width), int(rng.uniform(0.1, 0.7) * height)
        w, h = int(rng.uniform(0.05, 0.4) * width) + 2, int(rng.uniform(0.05, 0.4) * height) + 2
        if rng.random() < 0.65:
            cv2.rectangle(shot, (x0, y0), (x0 + w, y0 + h), colour, -1)
            shade = [int(v * 0.6) for v in colour]
            side = np.array(
                [
                    [x0 + w, y0],
                    [x0 + w + w // 5, y0 - h // 8],
                    [x0 + w + w // 5, y0 + h],
                    [x0 + w, y0 + h],
                ]
            )
            cv2.fillPoly(shot, [side], shade, cv2.LINE_AA)
            for _ in range(int(rng.integers(0, 5))):
                at = (x0 + int(rng.uniform(0.1, 0.9) * w), y0 + int(rng.uniform(0.1, 0.9) * h))
                cv2.circle(
                    shot, at, max(1, min(w, h) // 12), [int(v) for v in rng.integers(0, 256, 3)], -1
                )
        else:
            points = rng.uniform(0, 1, (4, 2)) * (width, height)
            t = np.linspace(0, 1, 30)[:, None]
            curve = (1 - t) ** 3 * points[0] + 3 * t * (1 - t) ** 2 * points[1]
            curve = curve + 3 * t**2 * (1 - t) * points[2] + t**3 * points[3]
            cv2.polylines(
                shot, [curve.astype(np.int32)], False, colour, int(rng.integers(1, 5)), cv2.LINE_AA
            )
    return cv2.GaussianBlur(shot.astype(np.float32), (0, 0), rng.uniform(0.4, 1.2))


def _things(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """Round things on a ground: plants, fruit, dishes, animals from afar."""
    y, x = grid(height, width)
    ground = np.array(rng.uniform(40, 220, 3))
    scene = ground * (0.7 + 0.5 * clouds(rng, height, width, rng.uniform(3, 40), 5, 0.6)[..., None])
    for _ in range(int(rng.integers(1, 9))):
        cx, cy, size = rng.normal(0, 0.5), rng.normal(0, 0.5), rng.uniform(0.12, 0.55)
        distance = blob(rng, (y - cy) / size, (x - cx) / size * rng.uniform(0.6, 1.6), 0.1)
        scene = blend(scene, ground * 0.35, soft(distance - 0.1, 0.3) * 0.6)
        tone = rng.uniform(30, 240, 3) * (0.8 + 0.4 * clouds(rng, height, width, 10)[..., None])
        round_ = np.sqrt(
            np.clip(
                1.1 - ((x - cx + 0.3 * size) ** 2 + (y - cy + 0.3 * size) ** 2) / size**2 / 3,
                0.1,
                1,
            )
        )
        scene = blend(scene, tone * round_[..., None], soft(distance, 0.04))
    return scene
