"""From studies to the fixed-size struct of arrays that the renderer is compiled for."""

from collections.abc import Sequence

import numpy as np

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.fundus.findings import Study
from data_gen.phantom.fundus.picture import lesions, vessels

Scene = dict[str, np.ndarray]

NOISE_GRIDS = {"broad": 7, "patch": 26, "streak": 44, "fine": 96}
"""Smooth noise maps -> side of the grid of independent values that they are made from."""

_NUMBERS = {"glaucoma": "cup_to_disc", "pathologic myopia": "crescent", "cataract": "haze"}


def pack_study(study: Study) -> Scene:
    """Arrays of one study, without a batch axis."""
    scene: Scene = {
        name: np.asarray(value, np.float32)
        for name, value in {**study.anatomy, **study.acquisition}.items()
    }
    scene["mirror"] = np.asarray(1.0 if study.eye == "right" else -1.0, np.float32)
    scene["age"] = np.asarray(study.age, np.float32)
    nodes = vessels.grow(dict(study.anatomy))
    q = study.acquisition
    away = np.hypot(nodes[:, 0] - q["centre_x"], nodes[:, 1] - q["centre_y"])
    scene["vessel_spots"] = vessels.spots(nodes[away < 1.3 * q["radius"]])
    for name in lesions.SLOTS:
        scene[name] = lesions.spots_of(name, study)
    for name, number in _NUMBERS.items():
        values = [f.attributes[number] for f in study.findings if f.name == name]
        scene[f"{name} amount"] = np.asarray(values[0] if values else 0.0, np.float32)
    rng = keyed(study.anatomy["texture_seed"], 1)
    for name, grid in NOISE_GRIDS.items():
        scene[f"noise_{name}"] = rng.standard_normal((grid, grid), np.float32)
    rng = keyed(study.acquisition["dust"], 2)
    scene["noise_chroma"] = rng.standard_normal((2, 48, 48), np.float32)
    return scene


def pack(studies: Sequence[Study]) -> Scene:
    """Arrays of several studies, stacked on a leading batch axis."""
    scenes = [pack_study(s) for s in studies]
    return {name: np.stack([s[name] for s in scenes]) for name in scenes[0]}
