"""From studies to the fixed-size struct of arrays that the renderer is compiled for."""

from collections.abc import Sequence

import numpy as np

from data_gen.phantom.chest_xray.findings import Study
from data_gen.phantom.chest_xray.picture import chains, devices, signs
from data_gen.phantom.chest_xray.picture.frame import field_of_view, image_map

Scene = dict[str, np.ndarray]

NOISE_GRIDS = {"broad": 9, "broad_2": 13, "patch": 36, "fine": 84}
"""Smooth noise maps -> side of the grid of independent values that they are made from."""


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
