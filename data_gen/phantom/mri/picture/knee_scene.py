"""From a study of the knee to the arrays that the renderer is compiled for."""

from typing import Any

import numpy as np

from data_gen.phantom.fields import blob_row, no_blob, noise_grid
from data_gen.phantom.mri.knee_site import ACL, EFFUSION, MENISCUS
from data_gen.phantom.mri.picture import signal
from data_gen.phantom.mri.picture.scanner import MATRIX
from data_gen.phantom.regional import Study

NOISE = {
    "mid": (24, 22.0, 1.0),
    "mid_2": (24, 22.0, 1.0),
    "fine": (96, 3.6, 1.0),
    "web": (96, 6.0, 1.0),
    "streak": (96, 3.2, 9.0),
}
"""Noise maps -> side of the grid, length in millimetres of what they show, and its height to that.
"""

_WORDS = ("side", "compartment", "texture_seed")


def knee_scene(study: Study) -> dict[str, Any]:
    """Arrays of one study, without a batch axis."""
    rng = np.random.Generator(np.random.Philox(int(study.anatomy["texture_seed"])))
    scene: dict[str, Any] = {k: v for k, v in study.anatomy.items() if k not in _WORDS}
    scene |= {k: v for k, v in study.acquisition.items() if k != "field_of_view"}
    scene["grey"] = signal.levels(study.technique)
    scene["pitch"] = study.acquisition["field_of_view"] / MATRIX
    for name, (side, length, stretch) in NOISE.items():
        cells = study.acquisition["field_of_view"] / length
        scene[name] = noise_grid(rng, side, cells, stretch)
    # The lines of a tear: a point, an angle, half a width; two of them.
    scene |= {
        "tears": np.zeros((2, 4), np.float32),
        "tear_side": 1.0,
        "effusion": 0.0,
        "acl_gap": 0.0,
        "acl_at": 0.5,
        "acl_whole": 1.0,
        "acl_blob": no_blob(),
    }
    for found in study.findings:
        own = np.random.Generator(np.random.Philox(int(found.attributes["seed"])))
        n = {k: v for k, v in found.attributes.items() if isinstance(v, (int, float))}
        if found.name == EFFUSION:
            scene["effusion"] = n["thick"]
        elif found.name == ACL:
            scene |= {"acl_gap": n["gap"], "acl_at": n["at"]}
            scene["acl_whole"] = 0.45 if found.attributes["kind"] == "partial" else 0.0
            middle = (16.0 - 27.0 * n["at"], -19.0 + 27.0 * n["at"])
            scene["acl_blob"] = blob_row(own, middle, 4.6 + 8.0 * n["gap"], 1.45, 2.36, 0.16)
        elif found.name == MENISCUS:
            back = found.zone == "posterior horn"
            scene["tear_side"] = 1.0 if back else -1.0
            angle = {"horizontal": 0.05, "oblique": 0.6, "vertical": 1.45, "complex": 0.15}
            first = angle[str(found.attributes["kind"])] * (-1.0 if back else 1.0)
            x, half = (20.5 if back else -18.0), 0.5 * n["wide"]
            rows = [[x, 4.0, first + 0.1 * own.normal(), half], [0.0, 0.0, 0.0, 0.0]]
            if found.attributes["kind"] == "complex":
                rows[1] = [x - (1 if back else -1), 4.0, first + 1.2 + 0.2 * own.random(), half]
            scene["tears"] = np.array(rows, np.float32)
    return scene
