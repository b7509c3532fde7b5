"""Paints the slices of abdomen and chest: wall, fat, organs, lungs, table."""

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.ct.picture import lesions_abdomen, lesions_chest
from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.items import organ_bit
from data_gen.phantom.ct.picture.shapes import Map, outline, step, union


def _table(c: Canvas, skin: Map) -> None:
    """Two bowed sheets under the patient, and a blanket that is now and then seen around."""
    s, x, y = c.s, c.plain_x, c.plain_y
    below = s["skin_bottom"] + s["table"]
    top = y - (below - s["table_curve"] * x * x)
    # The underside is bowed more than the top, so that the two meet at the edges.
    under = y - (below + s["table_gap"] * (1.0 - (x / 215.0) ** 2) - s["table_curve"] * x * x)
    c.paint(jnp.minimum(jnp.minimum(top, -under), 206.0 - jnp.abs(x)), -960.0, 2.0)
    for sheet, hu, half in ((top, s["table_hu"], 1.4), (under, s["table_hu"] + 60.0, 1.7)):
        c.paint(jnp.minimum(half - jnp.abs(sheet), 208.0 - jnp.abs(x)), hu, 1.5)
    wave = 5.0 * c.noise["bend_x"] + 2.5 * c.noise["ripple_y"]
    sheet = 0.5 - jnp.abs(skin + s["sheet"] * (1.0 + 0.5 * c.noise["bend_y"]) + wave)
    c.paint(jnp.minimum(sheet, below - 6.0 - y), -780.0, 1.5, 0.5)


def _wall(c: Canvas) -> tuple[Map, Map]:
    """Skin, fat under it, and muscle; returns the distances to skin and muscle."""
    s = c.s
    skin = outline(s["skin"], c.plain_x, c.plain_y)
    muscle = outline(s["muscle"], c.x, c.y)
    _table(c, skin)
    return skin, muscle


def _subcutaneous(c: Canvas, skin: Map, muscle: Map) -> None:
    s = c.s
    fat = -104.0 + 9.0 * c.noise["lump"] + 5.0 * c.noise["fine"]
    # Septa: thin brighter lines where a smooth map changes sign.
    septa = jnp.clip(1.0 - jnp.abs(c.noise["ripple_x"]) * 9.0, 0.0, 1.0) * 32.0
    c.paint(skin, fat + septa * step(6.0 - jnp.abs(skin - 9.0), 8.0), 1.2)
    c.paint(jnp.minimum(skin, 1.6 - skin), 15.0, 1.2, 0.85)
    grain = 7.0 * c.noise["fine"] + 7.0 * c.noise["lump"]
    # Fat between the layers of muscle.
    layer = jnp.clip(1.0 - jnp.abs(c.noise["ripple_y"]) * 5.0, 0.0, 1.0)
    streaks = layer * step(muscle - 2.5, 2.0)
    c.paint(muscle, s["muscle_hu"] + grain - 55.0 * streaks, 1.2)


def draw_abdomen(c: Canvas) -> Map:
    """Paints an abdominal slice; returns the distance to the skin."""
    s, x, y = c.s, c.x, c.y
    skin, muscle = _wall(c)
    _subcutaneous(c, skin, muscle)
    wall = s["wall"] * (0.85 + 0.25 * c.noise["bend_x"])
    # The straight muscles in front are flat and thick, with a gap in the middle.
    front = step(-y - 55.0, 30.0)
    belly = jnp.exp(-(((jnp.abs(x) - 27.0) / 19.0) ** 4))
    wall = wall + front * (s["rectus"][1] * belly - 5.0)
    c.cavity = muscle - wall
    # The oblique muscles at the flanks are three sheets with fat between.
    depth = muscle / wall
    sheets = step(0.06 - jnp.abs(jnp.abs(depth - 0.5) - 0.17), 0.10) * step(muscle - 1.5, 1.0)
    flank = (
        step(jnp.abs(x) - 62.0, 20.0) * step(1.0 - depth, 0.2) * step(jnp.abs(y + 5) * -1 + 62, 20)
    )
    c.hu = c.hu - 75.0 * sheets * flank
    line = jnp.minimum(3.0 - jnp.abs(x), muscle) - step(y + 20.0, 5.0) * 99.0
    c.paint(jnp.minimum(line, s["rectus"][0] - c.cavity), -70.0, 3.0, 0.85)
    fat = -106.0 + 8.0 * c.noise["lump"] + 6.0 * c.noise["fine"]
    c.paint(c.cavity, fat, 1.2)
    strands = jnp.clip(1.0 - jnp.abs(c.noise["ripple_x"]) * 8.0, 0.0, 1.0)
    c.hu = c.hu + strands * 26.0 * step(c.cavity - 2.0, 2.0)
    c.layers("back")
    # Recesses of the lungs behind liver and spleen.
    base = s["bases"][0] * step(y + 8.0, 30.0) * (1.0 + 0.25 * c.noise["bend_y"])
    air = jnp.minimum(base - c.cavity, c.cavity) - 99.0 * (s["bases"][0] <= 0)
    c.paint(air - 99.0 * step(25.0 - jnp.abs(x), 10.0), -840.0, 3.0)
    c.cavity = c.cavity - jnp.maximum(base, 0.0) * 1.0
    lesions_abdomen.fluid(c)
    c.layers("organs")
    c.layers("front")
    lesions_abdomen.organs(c)
    return skin


def _lungs(c: Canvas) -> Map:
    """Distance to the inside of either lung."""
    s, x, y = c.s, c.x, c.y
    block = outline(s["block"], x, y)
    column = outline(s["column"], x, y)
    # Fat in front of the heart, and what joins it with the spine.
    strap = jnp.minimum(s["link"][0] + 9.0 * c.noise["bend_y"] - jnp.abs(x), y + 45.0)
    front = jnp.minimum(
        6.0 + 0.25 * jnp.maximum(-y - 66.0, 0.0) * 2.0 - jnp.abs(x - 3.0), -y - 30.0
    )
    middle = union(union(union(block, column, 14.0), strap, 16.0), front, 12.0)
    return jnp.minimum(c.cavity, -middle)


def draw_chest(c: Canvas) -> Map:
    """Paints a chest slice; returns the distance to the skin."""
    s, x = c.s, c.x
    skin, muscle = _wall(c)
    for i in range(2):
        skin = union(skin, outline(s["breasts"][i], c.plain_x, c.plain_y), 18.0)
    _subcutaneous(c, skin, muscle)
    gland = jnp.clip(c.noise["ripple_y"] - 0.2, 0.0, 1.0) * 70.0
    for i in range(2):
        inner = outline(s["breasts"][i], c.plain_x, c.plain_y) - 9.0
        c.hu = c.hu + step(jnp.minimum(inner, -muscle), 6.0) * gland
    c.cavity = outline(s["cage"], x, c.y) + 1.1 * c.noise["ripple_x"] - 0.8
    # Fat lies between the ribs' inner side and the muscles outside.
    rim = jnp.minimum(c.cavity + 3.5, 3.0 - c.cavity)
    c.paint(rim, -60.0 + 30.0 * c.noise["fine"], 2.0, 0.55)
    c.paint(c.cavity + 0.6, -96.0 + 8.0 * c.noise["lump"] + 5.0 * c.noise["fine"], 1.2)
    c.layers("back")
    lung = _lungs(c)
    texture = 16.0 * c.noise["lump"] + 14.0 * c.noise["fine"] + 12.0 * c.noise["bend_y"]
    gradient = 0.35 * (c.y + 10.0)  # the dependent part is denser
    left = x > 4.0
    air = c.paint(lung, s["lung_hu"] + texture + gradient, 1.2) > 0.5
    bits: list[tuple[str, Array]] = [("right lung", air & ~left), ("left lung", air & left)]
    c.hold()
    before = c.hu
    c.layers("lungs")
    # Vessels and bronchi belong to the lungs alone, and a lung's edge hides none of them.
    c.hu = jnp.where(lung > 0.5, c.hu, before)
    for name, where in bits:
        c.truth = c.truth | (where.astype(jnp.uint32) << organ_bit(name))
    fissure = jnp.abs(c.y - 8.0 - 0.35 * jnp.abs(x) + 5.0 * c.noise["bend_y"])
    c.paint(jnp.minimum(0.4 - fissure, lung - 2.0), -560.0, 1.6, 0.4)
    lesions_chest.air(c, lung)
    kept = c.truth
    c.layers("organs")
    # Painting the heart took its own bits only where it lies.
    c.truth = jnp.where((c.truth == 0) & (kept != 0) & (lung > 0), kept, c.truth)
    lesions_chest.middle(c)
    return skin
