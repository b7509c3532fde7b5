"""Structures of molecules and reactions."""

import dataclasses
import math

import numpy as np

from data_gen.pipelines.pubmed.drawings.canvas import Canvas, Point
from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, Colour

_ENDS = (
    "OH",
    "NH2",
    "O",
    "F",
    "Cl",
    "Br",
    "CH3",
    "OMe",
    "COOH",
    "NO2",
    "CN",
    "SH",
    "CF3",
    "N",
    "HN",
)
_ATOMS: dict[str, Colour] = {"O": (210, 20, 20), "N": (30, 60, 220), "F": (0, 150, 60)}


def chemical_structure(rng: np.random.Generator, canvas: Canvas) -> None:
    """Rings joined by chains with groups at their ends, one molecule or a few with arrows."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))
    across = 1 if count == 1 else 3 if count == 3 and canvas.width > 1.5 * canvas.height else 2
    w, h = canvas.width / across, canvas.height / math.ceil(count / across)
    coloured = bool(rng.random() < 0.35)
    height = max(5.0, 0.06 * min(w, h))
    for k in range(count):
        left, top = w * (k % across), h * (k // across)
        molecule = _molecule(rng)
        box = (left + 0.12 * w, top + 0.06 * h, left + 0.88 * w, top + 0.86 * h)
        _place(canvas, molecule, box, min(w, h), rng.uniform(0.05, 0.09), coloured)
        name = str(rng.choice([f"{k + 1}", f"({k + 1})", f"Compound {k + 1}", ""]))
        if name:
            canvas.text((left + w / 2, top + 0.98 * h), name, height, anchor="mb", bold=True)
        if k % across + 1 < across and k + 1 < count and rng.random() < 0.6:
            y = top + 0.46 * h
            canvas.arrow((left + 0.92 * w, y), (left + 1.08 * w, y), BLACK, 1.0, 0.4 * height)


@dataclasses.dataclass
class _Molecule:
    """Bonds and atoms; a bond is 1 long."""

    bonds: list[tuple[Point, Point]] = dataclasses.field(default_factory=list)
    atoms: list[tuple[Point, str]] = dataclasses.field(default_factory=list)


def _molecule(rng: np.random.Generator) -> _Molecule:
    made = _Molecule()
    rings = int(rng.integers(1, 6))
    fused = bool(rng.random() < 0.6)
    turn = math.pi / 6 if rng.random() < 0.5 else 0.0
    heading = turn + math.pi / 6 if fused else turn
    step = math.sqrt(3) if fused else 3.0
    centres: list[Point] = [(0.0, 0.0)]
    for _ in range(rings - 1):
        x, y = centres[-1]
        angle = heading + math.pi / 3 * int(rng.integers(-1, 2))
        centres.append((x + step * math.cos(angle), y + step * math.sin(angle)))
    corners: list[tuple[Point, Point]] = []
    for n, centre in enumerate(centres):
        sides = 5 if not fused and rng.random() < 0.2 else 6
        ring = [_from(centre, turn + 2 * math.pi * k / sides, 1.0) for k in range(sides)]
        made.bonds += zip(ring, ring[1:] + ring[:1], strict=True)
        if rng.random() < 0.75:
            for k in range(0, sides - 1, 2):
                made.bonds.append(
                    (_toward(ring[k], centre, 0.2), _toward(ring[k + 1], centre, 0.2))
                )
        corners += [(corner, centre) for corner in ring]
        if n and not fused:
            last = centres[n - 1]
            made.bonds.append((_toward(last, centre, 1 / 3), _toward(last, centre, 2 / 3)))
    order = rng.permutation(len(corners))
    for k in order[: int(rng.integers(1, 4 + rings))]:
        corner, centre = corners[k]
        if any(math.dist(corner, c) < 1.05 and c != centre for c in centres):
            continue
        _chain(rng, made, corner, math.atan2(corner[1] - centre[1], corner[0] - centre[0]))
    for k in order[-2:]:
        if rng.random() < 0.4:
            made.atoms.append((corners[k][0], "N"))
    return made


def _chain(rng: np.random.Generator, made: _Molecule, at: Point, out: float) -> None:
    """One to three bonds in zigzag, some of them double, and a group at the end."""
    for link in range(int(rng.integers(1, 4))):
        angle = out + (math.pi / 3 * (-1) ** link if link else 0.0)
        end = _from(at, angle, 1.0)
        made.bonds.append((at, end))
        if rng.random() < 0.2:
            side = angle + math.pi / 2
            made.bonds.append((_from(at, side, 0.14), _from(end, side, 0.14)))
        at = end
    made.atoms.append((at, str(rng.choice(_ENDS))))


def _place(
    canvas: Canvas,
    molecule: _Molecule,
    box: tuple[float, float, float, float],
    room: float,
    width: float,
    coloured: bool,
) -> None:
    """Draws a molecule as large as its box lets it be; ``width`` of lines as a share of a bond."""
    ends = np.array([point for bond in molecule.bonds for point in bond])
    low, high = ends.min(0), ends.max(0)
    spans = np.maximum(high - low, 1e-6)
    bond = min((box[2] - box[0]) / spans[0], (box[3] - box[1]) / spans[1], 0.16 * room)
    middle = np.array(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)) - bond * (low + high) / 2

    def put(point: Point) -> Point:
        return float(middle[0] + bond * point[0]), float(middle[1] + bond * point[1])

    for a, b in molecule.bonds:
        canvas.line([put(a), put(b)], BLACK, max(0.8, width * bond))
    height = max(5.0, 0.5 * bond)
    for at, name in molecule.atoms:
        x, y = put(at)
        half = canvas.width_of(name, height) / 2 + 0.1 * bond
        canvas.rectangle((x - half, y - 0.3 * bond, x + half, y + 0.3 * bond), WHITE)
        colour = _ATOMS.get(name[0], BLACK) if coloured else BLACK
        canvas.text((x, y), name, height, "sans", colour, "mm")


def _from(at: Point, angle: float, length: float) -> Point:
    return at[0] + length * math.cos(angle), at[1] + length * math.sin(angle)


def _toward(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
