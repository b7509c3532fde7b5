"""What the machine writes on its screen: settings, a scale of depth, a wedge of greys.

Nothing here looks at findings, so a mark cannot give one away.
"""

import cv2
import numpy as np

from data_gen.phantom.regional import Study

_PROBES = {
    "linear probe": ("L12-5", "LA523", "ML6-15", "L18-4", "12L"),
    "curved probe": ("C5-1", "CA541", "C1-6", "3.5C", "C9-2"),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def stamp(picture: np.ndarray, study: Study) -> np.ndarray:
    """The picture with its marks; three of four studies have some."""
    q = study.acquisition
    if not q["marked"]:
        return picture
    rng = np.random.Generator(np.random.Philox(int(q["marks"])))
    out, n = picture.copy(), picture.shape[0]
    ink = int(rng.integers(150, 245))
    scale = float(rng.uniform(0.26, 0.36))

    def write(text: str, x: float, y: float) -> None:
        cv2.putText(out, text, (int(x * n), int(y * n)), _FONT, scale, ink, 1, cv2.LINE_AA)

    probe = _PROBES[study.technique][int(rng.integers(5))]
    depth = f"{q['depth'] / 10:.1f}cm"
    lines = [
        probe,
        f"{int(rng.integers(18, 60))}Hz",
        depth,
        f"Gn {int(rng.integers(40, 90))}",
        f"C {int(rng.integers(48, 66))}",
        f"P {('Low', 'Med', 'High')[int(rng.integers(3))]}",
    ]
    style = rng.random()
    if rng.random() < 0.3:
        cv2.rectangle(out, (0, 0), (n, int(0.045 * n)), int(rng.integers(30, 90)), -1)
    if style < 0.6:
        for i, text in enumerate(lines[: int(rng.integers(3, 7))]):
            write(text, 0.012, 0.06 + 0.042 * i)
    if rng.random() < 0.6:
        write(f"MI {rng.uniform(0.6, 1.5):.1f}  TIs {rng.uniform(0.1, 0.9):.1f}", 0.70, 0.035)
    if rng.random() < 0.7:
        top, step = q["view_y"], 10.0 / q["view_side"]
        column = int(min(0.985, q["view_x"] + 0.5 * _across(study) + 0.02) * n)
        for i in range(int(q["depth"] / 10) + 1):
            row = int((top + i * step) * n)
            if row < n:
                long = 4 if i % 5 == 0 else 2
                cv2.line(out, (column, row), (min(column + long, n - 1), row), ink, 1)
        focus = int((top + q["focus"] * q["depth"] / q["view_side"]) * n)
        write("<", min(0.955, column / n + 0.015), focus / n + 0.01)
    if rng.random() < 0.5:
        high, wide = int(0.16 * n), max(3, int(0.018 * n))
        x0, y0 = (int(0.965 * n), int(0.06 * n)) if style < 0.6 else (int(0.012 * n), int(0.1 * n))
        wedge = np.linspace(250, 0, high)[:, None].repeat(wide, 1)
        out[y0 : y0 + high, x0 : x0 + wide] = wedge.astype(np.uint8)[:, : out.shape[1] - x0]
    if rng.random() < 0.6:
        side = -1 if rng.random() < 0.85 else 1
        x0 = int((q["view_x"] + side * (0.5 * _across(study, near=True) + 0.015)) * n)
        cv2.circle(out, (int(np.clip(x0, 5, n - 6)), max(5, int(q["view_y"] * n) - 4)), 3, ink, 1,
                   cv2.LINE_AA)  # fmt: skip
    return out


def _across(study: Study, near: bool = False) -> float:
    """Width of the picture at its widest, or at the probe, as a share of the screen."""
    q = study.acquisition
    if not q["fan"]:
        return q["width"] / q["view_side"]
    radius = q["radius"] + (0.0 if near else q["depth"])
    return min(0.94, 2.0 * radius * float(np.sin(0.5 * q["angle"])) / q["view_side"])
