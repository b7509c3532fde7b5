"""From studies to the fixed-size arrays that the renderer of a region is compiled for."""

from collections.abc import Sequence

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture import abdomen, chest, head
from data_gen.phantom.ct.picture.items import BLOB_WIDTH, VECTOR
from data_gen.phantom.ct.picture.shapes import HARMONICS, inside
from data_gen.phantom.ct.sites.arrays import site_arrays

Scene = dict[str, np.ndarray]

_PACKERS = {"abdomen": abdomen.pack, "chest": chest.pack, "head": head.pack}

#: Smooth noise maps -> side of the grid of independent values that they are made from.
NOISE_GRIDS = {
    "bend_x": 9,
    "bend_y": 9,
    "ripple_x": 26,
    "ripple_y": 26,
    "lump": 52,
    "fine": 130,
}

_ACQUISITION = (
    "fov",
    "kernel_cut",
    "edge",
    "noise",
    "streak",
    "hardening",
    "window_low",
    "window_high",
    "circle",
    "padding",
    "black",
    "white",
    "table",
    "table_curve",
    "table_gap",
    "table_hu",
    "holder",
    "sheet",
)

#: Outlines that lesions need, by region.
_SHAPES = {
    "abdomen": ("liver", "left_lobe", "gallbladder"),
    "chest": ("heart", "artery"),
    "head": (),
}
_NOWHERE = np.full(4 + 2 * HARMONICS, 0.0, np.float32)
_NOWHERE[0] = 1e4


def pack_study(study: Study) -> Scene:
    """Arrays of one study, without a batch axis."""
    a, q = study.anatomy, study.acquisition
    rng = np.random.Generator(np.random.Philox(int(a["texture_seed"])))
    scene = _PACKERS[study.region](study, rng)
    at = scene.pop("at")
    for name in _SHAPES[study.region]:
        scene[f"{name}_shape"] = at.get(name, _NOWHERE)
    scene |= site_arrays(study, at)
    for name in _ACQUISITION:
        scene[name] = np.asarray(q[name], np.float32)
    scene["wobble"] = np.asarray(a["wobble"], np.float32)
    scene["frame"] = np.asarray(
        [q["shift_x"], q["shift_y"], np.deg2rad(q["tilt"]), a["scale"], a["scale"] * a["depth"]],
        np.float32,
    )
    for name in [n for n in scene if n.endswith(("_blobs", "_strokes"))]:
        scene[f"{name}_at"] = _windows(scene[name], study)
    skin = scene["skin"]
    reach = np.linspace(40, 160, 241)
    scene["skin_bottom"] = np.asarray(
        max(y for y in reach if inside(skin, 0.0, y) >= 0), np.float32
    )
    scene["noise_key"] = np.asarray(q["noise_seed"], np.uint32)
    rng = np.random.Generator(np.random.Philox(int(a["texture_seed"]) + (1 << 25)))
    for name, grid in NOISE_GRIDS.items():
        scene[f"noise_{name}"] = rng.standard_normal((grid, grid), np.float32)
    return {name: np.asarray(value) for name, value in scene.items()}


def _windows(items: np.ndarray, study: Study) -> np.ndarray:
    """Column, row and side of the window around each item, in parts of the picture."""
    a, q = study.anatomy, study.acquisition
    # Irregularities, softness and halo reach over the outline.
    margin = 4.0 * a["wobble"] + 4.0
    if items.shape[1] == BLOB_WIDTH:
        theta = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None] * np.arange(HARMONICS + 1)
        cosines, sines = items[:, 2 : 3 + HARMONICS], items[:, 3 + HARMONICS : VECTOR]
        radius = (np.cos(theta) @ cosines.T + np.sin(theta) @ sines.T).max(0)
        centre = items[:, :2]
    else:
        centre = (items[:, :2] + items[:, 2:4]) / 2
        radius = np.hypot(*(items[:, 2:4] - items[:, :2]).T) / 2 + items[:, 4:6].max(1)
    x, y = centre[:, 0] * a["scale"], centre[:, 1] * a["scale"] * a["depth"]
    tilt = np.deg2rad(q["tilt"])
    column = (x * np.cos(tilt) - y * np.sin(tilt)) / q["fov"] + q["shift_x"] + 0.5
    row = (x * np.sin(tilt) + y * np.cos(tilt)) / q["fov"] + q["shift_y"] + 0.5
    side = 2.0 * (radius + margin) * a["scale"] * max(1.0, a["depth"]) / q["fov"]
    side = np.minimum(side, 1.0)
    seen = (np.abs(column - 0.5) < 0.5 + side) & (np.abs(row - 0.5) < 0.5 + side)
    return np.stack([column, row, np.where(seen, side, 2.0)], 1).astype(np.float32)


def pack(studies: Sequence[Study]) -> Scene:
    """Arrays of several studies of one region, stacked on a leading batch axis."""
    scenes = [pack_study(s) for s in studies]
    return {name: np.stack([s[name] for s in scenes]) for name in scenes[0]}
