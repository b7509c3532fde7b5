"""The vessel trees of the retina, grown from the disc: arcades, forks, twigs.

Lengths are millimetres of the retina in the frame of a right eye as it is photographed: the fovea
is the origin, x grows towards the nose, y downwards. Trunks follow the parabolas on which
vessels and nerve fibres leave the disc (after the course model of Foracchia et al. 2004).
"""

import math

import numpy as np

from data_gen.phantom.colour.draws import keyed

Rows = list[tuple[float, float, float, float, float]]

_STEP = 0.11  # mm between the nodes of a growing vessel
_LIMIT = 11.5  # mm from the fovea where growth ends
_THINNEST = 0.0095
SLOTS = 5600
"""Most spots that the vessels of one eye are drawn with; the thinnest go first."""


def course(x: float, y: float, disc: tuple[float, float]) -> float:
    """Heading, radians, of nerve fibres and vessels at a point: away from the disc."""
    along, across = disc[0] - x, y - disc[1]
    if along > 0.05:  # temporal of the disc: the parabola through this point
        slope = 0.5 * across / along
        return math.atan2(slope, -1.0) if abs(across) > 0.3 else math.pi
    return math.atan2(across, -along + 0.6)


class _Tree:
    def __init__(self, rng: np.random.Generator, disc: tuple[float, float], wind: float) -> None:
        self.rng, self.disc, self.wind = rng, disc, wind
        self.rows: Rows = []  # x, y, radius, step, artery

    def grow(
        self,
        x: float,
        y: float,
        heading: float,
        radius: float,
        reach: float,
        artery: float,
        depth: int,
        aim: float,
    ) -> None:
        """One vessel and, recursively, its branches."""
        rng, gone, since = self.rng, 0.0, 0.0
        gap = rng.uniform(0.5, 1.4)
        side = 1.0 if rng.random() < 0.5 else -1.0
        phase, length = rng.uniform(0, 6.28), rng.uniform(0.7, 1.9)
        sway = self.wind * rng.uniform(0.12, 0.42)
        drift = 0.0
        while gone < reach and radius > _THINNEST:
            drift = 0.85 * drift + 0.10 * self.wind * rng.standard_normal()
            turn = heading + drift + sway * math.sin(phase + gone / length * 6.28)
            x, y = x + _STEP * math.cos(turn), y + _STEP * math.sin(turn)
            centre = math.hypot(x, y)
            if centre > _LIMIT or centre < 0.5:
                return
            self.rows.append((x, y, radius, _STEP, artery))
            gone, since = gone + _STEP, since + _STEP
            heading = self._steer(x, y, heading, aim, depth)
            radius *= 1.0 - 0.018 * _STEP / max(radius, 0.02) * 0.05 - 0.011 * _STEP
            if since > gap and depth < 3 and radius > 1.25 * _THINNEST:
                since, gap = 0.0, rng.uniform(0.6, 1.9) * (1.0 if depth else 1.1)
                side = -side if rng.random() < 0.7 else side
                share = rng.uniform(0.30, 0.74)
                angle = math.radians(rng.uniform(28, 70)) * (1.15 - 0.5 * (share - 0.3))
                child = radius * share
                self.grow(
                    x, y, turn + side * angle, child, self._reach(child), artery, depth + 1, 0.0
                )
                radius *= (1.0 - 0.5 * share**3) ** (1 / 3)
                heading -= side * 0.10 * share

    def _reach(self, radius: float) -> float:
        return float(26.0 * (radius / 0.05) ** 1.1 * 0.2 * self.rng.uniform(0.6, 1.6))

    def _steer(self, x: float, y: float, heading: float, aim: float, depth: int) -> float:
        if aim:  # the arcade: round the macula at this height, above it if negative
            wanted, pull = _arcade(x, y, self.disc[0], aim), 0.22
        elif x < self.disc[0] - 1.2 and math.hypot(x, y) < 3.6:
            # Twigs within the arcades turn towards the fovea.
            wanted, pull = math.atan2(-y, -x), 0.045
            if math.cos(wanted - heading) < -0.2:
                return heading
        else:
            wanted, pull = math.atan2(y - self.disc[1], x - self.disc[0]), 0.035
        return heading + pull * math.sin(wanted - heading)


def _arcade(x: float, y: float, disc_x: float, height: float) -> float:
    """Heading, radians, that leads onto and along the arcade of that height, temporally."""
    centre = 0.4
    half = (disc_x + 0.25 - centre) if x > centre else 8.5
    along = min(max((x - centre) / half, -0.98), 0.98)
    rise = math.sqrt(1.0 - along * along)
    slope = -height * along / (half * rise)
    error = (height * rise - y) / 1.2
    return math.atan2(-slope + max(-1.5, min(1.5, error)), -1.0)


def grow(anatomy: dict[str, float]) -> np.ndarray:
    """Nodes [n, 5] of both trees: x, y, radius, step (mm), 1 for arteries."""
    rng = keyed(anatomy["vessel_seed"])
    disc = (anatomy["disc_x"], anatomy["disc_y"])
    tree = _Tree(rng, disc, anatomy["tortuosity"])
    scale, half = anatomy["calibre"], anatomy["disc_radius"]
    for artery in (1.0, 0.0):
        thick = (0.048 if artery else 0.068) * scale
        for up in (-1.0, 1.0):
            spread = rng.uniform(-0.12, 0.12) + (0.10 if artery else -0.06)
            # Temporal arcade: up or down out of the disc, then round the macula.
            start = (
                disc[0] + rng.uniform(-0.12, 0.05) + half * 0.12,
                disc[1] + up * rng.uniform(0.02, 0.2) * half,
            )
            tilt = up * (math.pi / 2 + rng.uniform(-0.15, 0.30) + spread)
            size = thick * rng.uniform(0.92, 1.12)
            height = up * (rng.uniform(3.0, 4.3) + spread)
            tree.grow(*start, tilt, size, 14.0, artery, 0, height)
            # Nasal trunk: smaller, radial.
            angle = up * rng.uniform(0.45, 1.2)
            size = thick * rng.uniform(0.55, 0.8)
            tree.grow(*start, angle, size, 8.0, artery, 1, 0.0)
        for _ in range(int(rng.integers(2, 5))):  # small ones to the macula and the nose
            way = math.pi if rng.random() < 0.6 else 0.0
            angle = way + rng.uniform(-0.6, 0.6)
            edge = 0.35 * half
            tree.grow(
                disc[0] + edge * math.cos(angle),
                disc[1] + edge * math.sin(angle),
                angle,
                thick * rng.uniform(0.28, 0.45),
                4.2,
                artery,
                2,
                0.0,
            )
    return np.array(tree.rows, np.float64)


def spots(nodes: np.ndarray) -> np.ndarray:
    """Spots [SLOTS, 5] that draw the nodes: x, y, radius, spacing (mm), 1 for arteries.

    Two spots per node, so that thin vessels are no chain of beads; empty slots have spacing 0.
    """
    half = nodes.copy()
    half[:, 3] *= 0.5
    shift = np.zeros_like(nodes[:, :2])
    joined = np.hypot(*(nodes[1:, :2] - nodes[:-1, :2]).T) < 1.5 * _STEP
    shift[1:][joined] = 0.5 * (nodes[:-1, :2] - nodes[1:, :2])[joined]
    middle = half.copy()
    middle[:, :2] += shift
    middle[1:, 3][~joined] = 0.0
    middle[0, 3] = 0.0
    rows = np.concatenate([half, middle])
    rows = rows[rows[:, 3] > 0]
    if len(rows) > SLOTS:
        rows = rows[np.argsort(-rows[:, 2], kind="stable")[:SLOTS]]
    out = np.zeros((SLOTS, 5), np.float32)
    out[:, 2] = 0.02
    out[: len(rows)] = rows
    return out
