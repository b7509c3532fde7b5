"""A section of tissue as amounts of haematoxylin and eosin in each pixel."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data_gen.phantom.colour.maps import ramp
from data_gen.phantom.pathology.picture import cells, glands

Params = dict[str, Any]
Map = Float[Array, "h w"]


def _field(a: Params, size: int, noise: dict[str, Map]) -> tuple[Map, Map, Map]:
    """The point of the tissue under each pixel, in um, bent; and pixels per um."""
    at = ((jnp.arange(size) + 0.5) / size - 0.5) * a["side"]
    bend = a["warp"] * (1.0 - 0.6 * a["node"])
    x = at[None, :] + bend * noise["broad"] + 0.5 * noise["patch"]
    y = at[:, None] + bend * noise["broad_2"] + 0.5 * noise["patch_2"]
    return x, y, size / a["side"]


def _outlines(rows: Float[Array, "k 8"], x: Map, y: Map) -> tuple[Map, Map, Map]:
    """(signed distance to the nearest outline in um, its epithelium, its kind)."""

    def step(best: tuple[Map, Map, Map], row: Array) -> tuple[tuple[Map, Map, Map], None]:
        dx, dy = x - row[0], y - row[1]
        u, v = row[2] * dx + row[3] * dy, row[4] * dx + row[5] * dy
        scale = (row[2] ** 2 + row[3] ** 2) * (row[4] ** 2 + row[5] ** 2)
        signed = (jnp.sqrt(u * u + v * v + 1e-9) - 1.0) * scale**-0.25
        nearer = signed < best[0]
        return (
            jnp.where(nearer, signed, best[0]),
            jnp.where(nearer, row[6], best[1]),
            jnp.where(nearer, row[7], best[2]),
        ), None

    start = (jnp.full_like(x, 1e4), jnp.ones_like(x), jnp.zeros_like(x))
    return jax.lax.scan(step, start, rows)[0]


def _nearest_cell(a: Params, x: Map, y: Map) -> tuple[Map, Map, Map, Map]:
    """(distance in half axes, distance of the second, density, kind) of the cell at each pixel."""
    half = 0.5 * a["side"] + cells.MARGIN
    tile = cells.TILES / (2.0 * half)
    i = jnp.clip(jnp.floor((x + half) * tile), 0, cells.TILES - 1).astype(jnp.int32)
    j = jnp.clip(jnp.floor((y + half) * tile), 0, cells.TILES - 1).astype(jnp.int32)
    index = j * cells.TILES + i

    def step(
        best: tuple[Map, Map, Map, Map], rows: Float[Array, "t 8"]
    ) -> tuple[tuple[Map, Map, Map, Map], None]:
        here = rows[index]
        dx, dy = x - here[..., 0], y - here[..., 1]
        u = here[..., 2] * dx + here[..., 3] * dy
        v = here[..., 4] * dx + here[..., 5] * dy
        gap = jnp.sqrt(u * u + v * v + 1e-9)
        nearer = gap < best[0]
        return (
            jnp.where(nearer, gap, best[0]),
            jnp.where(nearer, best[0], jnp.minimum(best[1], gap)),
            jnp.where(nearer, here[..., 6], best[2]),
            jnp.where(nearer, here[..., 7], best[3]),
        ), None

    far = jnp.full_like(x, 1e3)
    start = (far, far, jnp.zeros_like(x), jnp.zeros_like(x))
    return jax.lax.scan(step, start, jnp.swapaxes(a["cells"], 0, 1))[0]


def _stroma(a: Params, x: Map, y: Map, noise: dict[str, Map]) -> tuple[Map, Map]:
    """(eosin of bundles of collagen, clefts between them)."""
    cos, sin = jnp.cos(a["fibre_angle"]), jnp.sin(a["fibre_angle"])
    along, across = cos * x + sin * y, cos * y - sin * x
    across = across + a["fibre_wave"] * (noise["broad"] + 0.35 * noise["middle"])
    across = across + 0.10 * a["fibre_wave"] * noise["patch"]
    shift = 0.02 * along
    waves = 0.0
    for period, phase in ((17.0, 0.3), (9.1, 1.7), (5.3, 4.1), (3.1, 2.9), (1.9, 0.8)):
        swing = jnp.sin(6.2832 * across / period + phase + shift * phase)
        waves = waves + swing * (0.55 + 0.06 * period * 0.5)
    waves = jnp.asarray(waves) / 2.2 + 0.35 * noise["patch_2"]
    bundle = 0.42 + 0.40 * a["dense"] + 0.20 * waves + 0.05 * noise["fine"]
    cleft = ramp(waves + 0.35 * noise["middle"], 1.15 - 0.55 * a["clefts"], 1.5) * a["clefts"]
    loose = (1.0 - a["dense"]) * ramp(noise["patch"] + 0.7 * noise["middle"], 0.5, 1.6)
    return jnp.maximum(bundle, 0.08), jnp.clip(cleft + 0.7 * loose, 0.0, 1.0)


def paint(a: Params, size: int, noise: dict[str, Map]) -> tuple[Map, Map, dict[str, Map]]:
    """(haematoxylin, eosin, what is where: organs and findings by name, true or false)."""
    x, y, scale = _field(a, size, noise)
    soft = jnp.maximum(0.35, 0.5 / scale)
    region = a["regions"]
    # A circle in bent coordinates, with a ragged edge of its own.
    away = [
        jnp.hypot(x - region[k, 0], y - region[k, 1]) - region[k, 2] + 1e4 * (region[k, 2] <= 0)
        for k in range(3)
    ]
    ragged = 3.0 * noise["middle"] + 1.0 * noise["patch"]
    away = [d + ragged for d in away]
    tumour, necrosis, inflamed = (d < 0.0 for d in away)

    base, growth = _outlines(a["glands"], x, y), _outlines(a["growth"], x, y)
    signed, thick, kind = (jnp.where(tumour, g, b) for g, b in zip(growth, base, strict=True))
    gap, second, dense, sort = _nearest_cell(a, x, y)

    collagen, cleft = _stroma(a, x, y, noise)
    # A lymph node has a net of fine fibres rather than bundles.
    net = a["node"] * (1.0 - tumour)
    eosin = (collagen * (1.0 - cleft)) * (1.0 - net)
    eosin = eosin + net * (0.26 + 0.10 * noise["patch"] + 0.05 * noise["fine"])
    blue = 0.06 + 0.05 * noise["patch"] + 0.10 * net
    eosin = eosin * (1.0 - 0.35 * inflamed)

    solid = kind == glands.NEST
    lined = kind == glands.GLAND
    inside = ramp(-signed, -soft, soft)
    body = inside * (lined | solid)
    depth = jnp.clip(-signed / thick, 0.0, 1.0)
    granular = 1.0 + 0.16 * noise["fine"] + 0.12 * noise["patch"]
    cyto_e = jnp.where(tumour, 0.30, 0.34) * granular + 0.10 * depth
    cyto_h = jnp.where(tumour, 0.24, 0.14) * granular
    # Borders of cells: half way between two nuclei.
    border = jnp.exp(-0.5 * ((second - gap) / 0.10) ** 2) * ramp(gap, 1.15, 1.5)
    cyto_e = cyto_e + 0.16 * border * jnp.where(solid, 1.0, 0.4)
    eosin = eosin + body * (cyto_e - eosin)
    blue = blue + body * (cyto_h - blue)
    # Retraction: tumour nests come off the stroma around them.
    crack = jnp.exp(-0.5 * ((signed - 1.3) / 0.8) ** 2) * (solid | lined)
    crack = crack * ramp(noise["middle"] + 0.5 * noise["patch"], -0.2, 0.9)
    keep = 1.0 - 0.75 * crack * jnp.where(tumour, 1.0, 0.55)
    lumen = lined * ramp(-signed - thick * (1.0 + 0.10 * noise["patch"]), -soft, soft)
    brush = jnp.exp(-0.5 * ((-signed - thick) / 0.7) ** 2) * lined
    eosin = eosin + 0.22 * brush
    debris = ramp(noise["patch"] + 0.5 * noise["fine"], 0.3, 1.3)
    keep = keep * (1.0 - lumen * (1.0 - 0.35 * debris * jnp.where(tumour, 1.0, 0.25)))
    fat = (kind == glands.FAT) * ramp(-signed, 0.5 - soft, 0.5 + 2.0 * soft)
    keep = keep * (1.0 - fat)
    eosin, blue = eosin * keep, blue * keep

    # Dead tissue: pink, without outlines, full of grains.
    rot = ramp(-away[1], -0.8, 2.5)
    grain = 0.62 + 0.14 * noise["patch"] + 0.13 * noise["fine"] + 0.08 * noise["middle"]
    eosin = eosin + rot * (grain - eosin)
    blue = blue + rot * (0.10 + 0.05 * noise["fine"] - blue)

    edge = 0.10 + 0.9 * soft / 3.2
    within = 1.0 - ramp(gap, 1.0 - edge, 1.0 + edge)
    open_ = sort == cells.VESICULAR
    clumps = 1.0 + jnp.where(open_, 0.28, 0.16) * (noise["fine"] + 0.6 * noise["grain"])
    rim = jnp.exp(-0.5 * ((gap - 0.90) / 0.13) ** 2)
    core = jnp.exp(-0.5 * (gap / 0.20) ** 2)
    heavy = dense * jnp.where(open_, 0.72 + 0.45 * rim + 0.55 * core, 0.84 + 0.14 * rim)
    figure = 1.15 * dense * (1.0 + 0.1 * noise["fine"])
    heavy = jnp.where(sort == cells.MITOSIS, figure, heavy * clumps)
    nucleus = (sort != cells.VACUOLE) & (sort != cells.ERYTHROCYTE)
    amount = within * nucleus
    blue = blue + amount * (jnp.maximum(heavy, 0.25) - 0.3 * blue)
    eosin = eosin * (1.0 - 0.45 * amount) + 0.30 * amount
    mucin = within * (sort == cells.VACUOLE)
    eosin = eosin + mucin * (0.07 + 0.04 * noise["fine"] - eosin)
    blue = blue + mucin * (0.13 + 0.05 * noise["patch"] - blue)
    red = within * (sort == cells.ERYTHROCYTE)
    eosin = eosin + red * (1.0 * dense - eosin)
    # A dividing cell is round and clear about its chromosomes.
    near = jnp.hypot(x[..., None] - a["mitoses"][:, 0], y[..., None] - a["mitoses"][:, 1]).min(-1)
    clear = (1.0 - ramp(near, 4.8, 6.2)) * (1.0 - within)
    eosin = eosin * (1.0 - 0.30 * clear)
    blue = blue * (1.0 - 0.6 * clear)

    # Where the section ends there is glass.
    off = jnp.cos(a["edge_angle"]) * x + jnp.sin(a["edge_angle"]) * y + 2.5 * noise["middle"]
    glass = ramp(off, a["edge"] * a["side"] - soft, a["edge"] * a["side"] + soft)
    eosin, blue = eosin * (1.0 - glass), blue * (1.0 - glass)
    tissue = glass < 0.5
    truth = {
        "tumor": tumour & tissue,
        "necrosis": necrosis & tissue,
        "inflammation": inflamed & tissue,
        "mitotic figures": (near < 6.0) & tissue,
        "nuclei": (amount > 0.5) & tissue,
        "glands": (body > 0.5) & (lined | tumour) & tissue,
    }
    return jnp.maximum(blue, 0.0), jnp.maximum(eosin, 0.0), truth
