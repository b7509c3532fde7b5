"""Where the patient lies in the picture."""

import math

import numpy as np

from data_gen.phantom.chest_xray.findings import Study


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
