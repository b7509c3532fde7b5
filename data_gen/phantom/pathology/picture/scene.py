"""From studies to the fixed-size structs of arrays that the renderer is compiled for."""

from collections.abc import Sequence

import numpy as np

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.pathology.findings import Study
from data_gen.phantom.pathology.picture import cells, glands, smear
from data_gen.phantom.pathology.picture.disease import diseased

Scene = dict[str, np.ndarray]

NOISE_GRIDS = {
    "broad": 8,
    "broad_2": 8,
    "middle": 18,
    "middle_2": 18,
    "patch": 50,
    "patch_2": 50,
    "fine": 135,
    "grain": 240,
}
"""Smooth noise maps -> side of the grid of independent values that they are made from."""


def pack_study(study: Study) -> Scene:
    """Arrays of one study, without a batch axis."""
    scene: Scene = {
        name: np.asarray(value, np.float32)
        for name, value in {**study.anatomy, **study.acquisition}.items()
    }
    rng = keyed(study.anatomy["texture_seed"], 3)
    for name, grid in NOISE_GRIDS.items():
        scene[f"noise_{name}"] = rng.standard_normal((grid, grid), np.float32)
    if study.specimen == "blood":
        return scene | smear.pack(study)
    scene["node"] = np.asarray(study.specimen == "lymph node", np.float32)
    ill = diseased(study)
    scene["cells"] = cells.table(ill.cells, study.anatomy["side"])
    scene["glands"], scene["growth"] = glands.padded(ill.healthy), glands.padded(ill.tumour)
    scene["regions"] = ill.regions.astype(np.float32)
    scene["mitoses"] = ill.mitoses.astype(np.float32)
    return scene


def pack(studies: Sequence[Study]) -> Scene:
    """Arrays of several studies of tissue, or several of blood, stacked on a leading axis."""
    scenes = [pack_study(s) for s in studies]
    return {name: np.stack([s[name] for s in scenes]) for name in scenes[0]}
