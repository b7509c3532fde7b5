"""From studies to the fixed-size struct of arrays that the renderer is compiled for."""

import math
from collections.abc import Sequence

import numpy as np

from data_gen.phantom import chains, devices, signs
from data_gen.phantom.findings import Study

Scene = dict[str, np.ndarray]

NOISE_GRIDS = {"broad": 9, "broad_2": 13, "patch": 36, "fine": 84}
"""Smooth noise maps -> side of the grid of independent values that they are made from."""


def field_of_view(study: Study) -> tuple[float, float, float]:
    """(width, height, centre height) of the picture in adult millimetres of the patient.

    The frame follows the patient's build, never the findings.
    """
    a, q = study.anatomy, study.acquisition
    side = max(2 * a["thorax"] / q["fill"], (a["height"] + 72) / 0.97)
    return side * q["aspect"], side, 0.5 * (a["height"] + 34)


def image_map(study: Study) -> np.ndarray:
    """Affine map [2, 3] from patient adult millimetres (x, y, 1) to image fractions."""
    width, height, centre = field_of_view(study)
    q = study.acquisition
    angle = math.radians(q["tilt"])
    rotate = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    linear = np.diag([1 / width, 1 / height]) @ rotate
    offset = np.array([0.5 + q["shift_x"], 0.5 + q["shift_y"]]) - linear @ np.array([0.0, centre])
    return np.concatenate([linear, offset[:, None]], axis=1).astype(np.float32)


def pack_study(study: Study) -> Scene:
    """Arrays of one study, without a batch axis."""
    scene: Scene = signs.sign_arrays(study)
    for name, value in {**study.anatomy, **study.acquisition}.items():
        scene[name] = np.asarray(value, np.float32)
    scene["rotation"] = np.asarray(study.rotation, np.float32)
    scene["grown"] = np.asarray(min(study.age / 17.0, 1.0), np.float32)
    scene["erect"] = np.asarray(study.position == "erect", np.float32)
    scene["view_ap"] = np.asarray(study.view == "AP", np.float32)
    scene["frame"] = np.asarray(field_of_view(study), np.float32)
    scene["to_image"] = image_map(study)
    scene.update(devices.device_arrays(study))
    rng = np.random.Generator(np.random.Philox(int(study.anatomy["texture_seed"])))
    for name, grid in NOISE_GRIDS.items():
        scene[f"noise_{name}"] = rng.standard_normal((grid, grid), np.float32)
    scene["noise_tree"] = rng.standard_normal((2, chains.TREE_CHANCES), np.float32)
    return scene


def pack(studies: Sequence[Study]) -> Scene:
    """Arrays of several studies, stacked on a leading batch axis."""
    scenes = [pack_study(s) for s in studies]
    return {name: np.stack([s[name] for s in scenes]) for name in scenes[0]}


def used_slots(batch: Scene) -> Scene:
    """Per kind in :data:`signs.LOOPED`, the most slots that a study of the batch uses (int32)."""
    counts = {kind: batch[f"{kind}_on"].sum(1).max() for kind in signs.LOOPED}
    return {kind: np.asarray(count, np.int32) for kind, count in counts.items()}
