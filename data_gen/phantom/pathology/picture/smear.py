"""A blood smear: cells as rows for the renderer, and how they absorb light."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_gen.phantom.colour.draws import keyed
from data_gen.phantom.colour.maps import ramp
from data_gen.phantom.pathology.findings import SEVERITIES, Finding, Study
from data_gen.phantom.pathology.picture.cells import lattice

Params = dict[str, Any]
Map = Float[Array, "h w"]

RED, WHITE, PLATELETS, PARASITES = 96, 9, 40, 14
"""Most cells of each kind in one field."""
_LOBES = 5


def pack(study: Study) -> dict[str, np.ndarray]:
    """Rows of a smear, in um from the middle of the field; radius 0 for an empty row.

    red_cells [RED, 7]: x, y, radius, flattening, angle, pallor, bend of a sickle or 0.
    white_cells [WHITE, 5 + 3 * lobes]: x, y, radius, blueness, blast; lobes as x, y, radius.
    thrombocytes [PLATELETS, 4]: x, y, radius, finding. parasites [PARASITES, 5]: x, y, radius,
    angle, ring.
    """
    found = {f.name: f for f in study.findings}
    a, rng = study.anatomy, keyed(study.anatomy["seed"], 1)
    side = a["side"]
    points = lattice(rng, side, 7.6 / math.sqrt(0.35 + a["crowd"]), 0.42)
    points = points[np.abs(points).max(1) < 0.5 * side + 5.0]
    points = points[rng.permutation(len(points))[:RED]]
    red = np.zeros((RED, 7), np.float32)
    n = len(points)
    red[:n, :2] = points
    red[:n, 2] = rng.normal(3.75, 0.22, n)
    red[:n, 3] = 1.0 - np.abs(rng.normal(0, 0.05 + 0.08 * a["shape"], n))
    red[:n, 4] = rng.uniform(0, math.pi, n)
    red[:n, 5] = a["pallor"] * rng.uniform(0.5, 1.1, n)
    white = np.zeros((WHITE, 5 + 3 * _LOBES), np.float32)
    for i in range(int(a["whites"])):
        white[i] = _leukocyte(rng, rng.uniform(-0.38, 0.38, 2) * side)
    platelets = np.zeros((PLATELETS, 4), np.float32)
    for i in range(int(a["platelets"])):
        platelets[i, :3] = [*_gap(rng, red, side), rng.uniform(0.8, 1.4)]
    parasites = np.zeros((PARASITES, 5), np.float32)
    if "sickle cells" in found:
        _sickle(red, found["sickle cells"], n)
    if "blasts" in found:
        _blasts(white, found["blasts"], int(a["whites"]), side)
    if "thrombocytosis" in found:
        more = keyed(float(found["thrombocytosis"].attributes["seed"]))
        first = int(a["platelets"])
        count = (11, 19, 30)[_grade(found["thrombocytosis"])]
        for i in range(first, first + count):
            platelets[i] = [*_gap(more, red, side), more.uniform(0.9, 1.9), 1.0]
    if "malaria parasites" in found:
        _infect(parasites, red, white, found["malaria parasites"], int(a["whites"]), side)
    return {
        "red_cells": red,
        "white_cells": white,
        "thrombocytes": platelets,
        "parasites": parasites,
    }


def _gap(rng: np.random.Generator, red: np.ndarray, side: float) -> np.ndarray:
    """A point of the field between the red cells, where a platelet is no inclusion of one."""
    at = rng.uniform(-0.48, 0.48, (24, 2)) * side
    far = np.hypot(*(at[:, None] - red[None, red[:, 2] > 0, :2]).transpose(2, 0, 1)).min(1)
    return at[int(far.argmax() if far.max() < 5.0 else (far >= 5.0).argmax())]


def _grade(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


def _leukocyte(rng: np.random.Generator, at: np.ndarray) -> np.ndarray:
    """One of the mature kinds: a neutrophil, a lymphocyte or a monocyte."""
    kind = rng.random()
    row = np.zeros(5 + 3 * _LOBES, np.float32)
    turn = rng.uniform(0, 6.28)
    if kind < 0.6:
        row[:5] = [*at, rng.uniform(5.6, 6.6), 0.15, 0.0]
        count, radius = int(rng.integers(3, _LOBES + 1)), 1.75
        bow = np.linspace(-1.0, 1.0, count) * rng.uniform(1.1, 1.9) + turn
        lobes = np.stack([3.0 * np.cos(bow), 3.0 * np.sin(bow)], 1) - 0.9 * np.array(
            [math.cos(turn), math.sin(turn)]
        )
    elif kind < 0.85:
        row[:5] = [*at, rng.uniform(4.0, 5.2), 0.7, 0.0]
        count, radius = 1, float(row[2]) * 0.80
        lobes = np.array([[0.4, 0.2]])
    else:
        row[:5] = [*at, rng.uniform(7.0, 8.0), 0.45, 0.0]
        count, radius = 3, 3.0
        bow = np.array([-0.9, 0.0, 0.9]) + turn
        lobes = np.stack([2.4 * np.cos(bow), 2.4 * np.sin(bow)], 1)
    for k in range(count):
        row[5 + 3 * k : 8 + 3 * k] = [*(at + lobes[k]), radius * rng.uniform(0.88, 1.12)]
    return row


def _sickle(red: np.ndarray, finding: Finding, count: int) -> None:
    rng = keyed(float(finding.attributes["seed"]))
    share = (0.10, 0.22, 0.40)[_grade(finding)]
    inside = np.flatnonzero(red[:count, 2] > 0)
    order = inside[rng.permutation(len(inside))]
    middle = [i for i in order if np.abs(red[i, :2]).max() < 0.85 * np.abs(red[:, :2]).max()]
    for i in middle[: max(2, round(share * count))]:
        red[i, 6] = rng.uniform(0.8, 1.25)


def _blasts(white: np.ndarray, finding: Finding, first: int, side: float) -> None:
    rng = keyed(float(finding.attributes["seed"]))
    count = (1, 3, WHITE - 2)[_grade(finding)]
    for i in range(first, first + count):
        radius = rng.uniform(6.6, 8.6)
        for _ in range(40):
            at = rng.uniform(-0.42, 0.42, 2) * side
            others = white[white[:, 2] > 0]
            gap = np.hypot(others[:, 0] - at[0], others[:, 1] - at[1]) - others[:, 2] - radius
            if not len(gap) or gap.min() > -0.5:
                break
        else:
            continue  # the field is full
        white[i, :5] = [*at, radius, 1.0, 1.0]
        off = rng.uniform(-0.6, 0.6, 2)
        white[i, 5:8] = [*(at + off), 0.84 * radius]
        white[i, 8:11] = [*(at + off + rng.uniform(-2, 2, 2)), 0.62 * radius]


def _infect(
    parasites: np.ndarray,
    red: np.ndarray,
    white: np.ndarray,
    finding: Finding,
    mature: int,
    side: float,
) -> None:
    """Parasites in red cells that are chosen without regard to other findings.

    One that would lie in a sickle cell or under a blast is not drawn, so that nothing else moves
    when one of the findings is taken away.
    """
    rng = keyed(float(finding.attributes["seed"]))
    count = (3, 6, PARASITES - 2)[_grade(finding)]
    free = (red[:, 2] > 0) & (np.abs(red[:, :2]).max(1) < 0.46 * side)
    free &= _apart(red, white[:mature])
    drawn = (red[:, 6] == 0) & _apart(red, white[mature:])
    hosts = np.flatnonzero(free)
    for k, i in enumerate(hosts[rng.permutation(len(hosts))][:count]):
        at = red[i, :2] + rng.uniform(-1.3, 1.3, 2)
        ring = finding.attributes["form"] == "ring"
        radius = rng.uniform(1.0, 1.35) if ring else rng.uniform(1.5, 2.2)
        row = [*at, radius, rng.uniform(0, 6.28), float(ring)]
        if drawn[i]:
            parasites[k] = row


def _apart(red: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Whether each red cell is clear of the white cells."""
    gap = np.hypot(red[:, None, 0] - white[None, :, 0], red[:, None, 1] - white[None, :, 1])
    return np.all((gap > white[:, 2] + 3.0) | (white[:, 2] <= 0), axis=1)


def paint(a: Params, size: int, noise: dict[str, Map]) -> tuple[Float[Array, "h w 3"], dict]:
    """(optical density of the smear, what is where)."""
    at = ((jnp.arange(size) + 0.5) / size - 0.5) * a["side"]
    x = at[None, :] + 0.45 * noise["broad"] + 0.15 * noise["middle"]
    y = at[:, None] + 0.45 * noise["broad_2"] + 0.15 * noise["middle_2"]
    soft = jnp.maximum(0.16, 0.5 * a["side"] / size)
    zero = jnp.zeros_like(x)

    def red_cell(total: tuple[Map, Map, Map], row: Array) -> tuple[tuple[Map, Map, Map], None]:
        cos, sin = jnp.cos(row[4]), jnp.sin(row[4])
        radius = jnp.maximum(row[2], 1e-3)
        u = (cos * (x - row[0]) + sin * (y - row[1])) / radius
        v = (cos * (y - row[1]) - sin * (x - row[0])) / (radius * jnp.maximum(row[3], 0.1))
        plain = jnp.sqrt(u * u + v * v + 1e-9)
        # A sickle: long, thin and bent.
        long, bent = u / 1.4, (v + 0.40 * row[6] * (u * u - 0.6)) / 0.37
        curved = jnp.sqrt(long * long + bent * bent + 1e-9) * (1.0 + 0.25 * long * long)
        sick = row[6] > 0
        d = jnp.where(sick, curved, plain)
        on = (1.0 - ramp(d, 1.0 - soft / radius, 1.0 + soft / radius)) * (row[2] > 0)
        dip = jnp.exp(-0.5 * (d / 0.46) ** 2) * row[5] * (~sick)
        rim = jnp.exp(-0.5 * ((d - 0.93) / 0.06) ** 2)
        amount = on * (0.86 - 0.86 * jnp.minimum(dip, 0.85) + 0.18 * d + 0.16 * rim)
        halo = jnp.exp(-0.5 * ((d - 1.10) / 0.06) ** 2) * (row[2] > 0)
        touched = sick & (jnp.minimum(plain, curved * 0.8) < 1.08) & (row[2] > 0)
        return (total[0] + amount, jnp.maximum(total[1], halo), total[2] + touched), None

    (blood, halo, sickle), _ = jax.lax.scan(red_cell, (zero, zero, zero), a["red_cells"])

    def white_cell(total: tuple[Map, ...], row: Array) -> tuple[tuple[Map, ...], None]:
        there = row[2] > 0
        d = jnp.hypot(x - row[0], y - row[1]) / jnp.maximum(row[2], 1e-3)
        d = d * (1.0 + 0.03 * noise["middle"])
        cell = (1.0 - ramp(d, 0.95, 1.05)) * there
        lobes = zero
        for k in range(_LOBES):
            lobe = row[5 + 3 * k : 8 + 3 * k]
            r = jnp.maximum(lobe[2], 1e-3)
            near = ((x - lobe[0]) ** 2 + (y - lobe[1]) ** 2) / (r * r)
            lobes = lobes + jnp.exp(-0.9 * near) * (lobe[2] > 0)
        nucleus = ramp(lobes, 0.34, 0.48) * cell
        blast = there & (row[4] > 0) & (d < 1.0)
        return (
            jnp.maximum(total[0], cell),
            jnp.where(cell > 0.5, row[3], total[1]),
            jnp.maximum(total[2], nucleus),
            jnp.where(cell > 0.5, row[4], total[3]),
            total[4] + blast,
        ), None

    whites, _ = jax.lax.scan(white_cell, (zero, zero, zero, zero, zero), a["white_cells"])
    cell, blue, nucleus, blast, blasts = whites
    blood = blood * (1.0 - cell)
    halo = halo * (1.0 - cell) * (blood < 0.3)

    dx = x[..., None] - a["thrombocytes"][:, 0]
    dy = y[..., None] - a["thrombocytes"][:, 1]
    size_ = jnp.maximum(a["thrombocytes"][:, 2], 1e-3)
    gap = jnp.hypot(dx, dy) / size_ + 10.0 * (a["thrombocytes"][:, 2] <= 0)
    plate = (1.0 - ramp(gap.min(-1) * (1.0 + 0.15 * noise["patch"]), 0.75, 1.15)) * (1.0 - cell)
    added = (gap + 10.0 * (a["thrombocytes"][:, 3] <= 0)).min(-1) < 1.15

    ring, dot, germ = _parasites(a, x, y)

    rgb = lambda r, g, b: jnp.array([r, g, b], jnp.float32)  # noqa: E731
    hue = a["e_hue"]
    pink = rgb(0.06, 0.34, 0.28) + hue * rgb(0.02, -0.06, 0.07)
    density = (blood * (1.0 + 0.05 * noise["patch"]))[..., None] * pink * a["eosin"]
    density = density - 0.035 * halo[..., None]
    cytoplasm = rgb(0.20, 0.30, 0.06) + blue[..., None] * rgb(0.28, 0.16, -0.02)
    grains = 1.0 + 0.22 * noise["fine"] + 0.15 * noise["grain"]
    density = density + (0.62 * cell * grains)[..., None] * cytoplasm
    clump = 1.0 + (0.14 - 0.06 * blast) * (noise["patch"] + 0.8 * noise["fine"])
    pale = blast * ramp(noise["middle"] + 0.6 * noise["patch"], 1.0, 2.4)
    chroma = rgb(0.72, 1.15, 0.10) + a["h_hue"] * rgb(0.12, -0.10, 0.05)
    strong = a["haematoxylin"] * (1.0 - 0.18 * blast - 0.35 * pale) * clump
    density = density * (1.0 - 0.9 * nucleus)[..., None] + (nucleus * strong)[..., None] * chroma
    violet = rgb(0.50, 0.72, 0.16)
    density = density + (0.75 * plate * grains)[..., None] * violet
    density = density + (1.1 * ring)[..., None] * rgb(0.62, 0.42, 0.02)
    density = density + (1.5 * dot)[..., None] * rgb(0.40, 1.05, 0.30)
    truth = {
        "malaria parasites": germ,
        "blasts": blasts > 0.5,
        "sickle cells": sickle > 0.5,
        "thrombocytosis": added & (cell < 0.5),
        "red cells": blood > 0.4,
        "white cells": cell > 0.5,
        "platelets": plate > 0.5,
    }
    background = 0.16 + 0.012 * noise["broad"] + 0.006 * noise["patch"]
    return density + background[..., None] * rgb(1.05, 0.85, 1.0), truth


def _parasites(a: Params, x: Map, y: Map) -> tuple[Map, Map, Map]:
    """(blue plasma, red chromatin, true around a parasite)."""
    p = a["parasites"]
    there = p[:, 2] > 0
    radius = jnp.maximum(p[:, 2], 1e-3)
    dx, dy = x[..., None] - p[:, 0], y[..., None] - p[:, 1]
    d = jnp.hypot(dx, dy)
    hoop = jnp.exp(-0.5 * ((d - radius) / 0.26) ** 2)
    blob = 0.8 * jnp.exp(-((d / radius) ** 4))
    plasma = (jnp.where(p[:, 4] > 0, hoop, blob) * there).max(-1)
    spot = jnp.hypot(dx - radius * jnp.cos(p[:, 3]), dy - radius * jnp.sin(p[:, 3]))
    dot = (jnp.exp(-0.5 * (spot / 0.42) ** 2) * there).max(-1)
    return plasma, dot, ((d < radius + 0.75) & there).any(-1)
