"""Paints the slices of the head: scalp, skull, brain with furrows and ventricles, holder."""

import jax
import jax.numpy as jnp

from data_gen.phantom.ct.picture import lesions_head
from data_gen.phantom.ct.picture.canvas import Canvas
from data_gen.phantom.ct.picture.head import FLUID, FURROWS, GREY, WHITE
from data_gen.phantom.ct.picture.items import organ_bit
from data_gen.phantom.ct.picture.shapes import Map, capsule, outline, step, superellipse


def _holder(c: Canvas) -> None:
    """The cradle around the back of the head."""
    s, x, y = c.s, c.plain_x, c.plain_y
    room = s["holder"]
    shell = superellipse(x, y, 0.0, -40.0, 82.0 + room, 142.0 + 0.5 * room, 3.2)
    c.paint(jnp.minimum(1.5 - jnp.abs(shell), y + 25.0), s["table_hu"] + 150.0, 1.5)
    foam = jnp.minimum(jnp.minimum(shell - 1.0, y - 20.0), 9.0 - shell)
    c.paint(foam, -940.0 + 10.0 * c.noise["lump"], 2.0)


def _furrows(c: Canvas, depth: Map) -> Map:
    """A smooth map whose zeros are the furrows: lines that run inwards from the skull."""
    theta = jnp.arctan2(c.y, c.x)
    waves = c.s["waves"]

    def add(total: Map, wave: jax.Array) -> tuple[Map, None]:
        turn = wave[0] * theta + wave[1] * depth + wave[2] + 0.5 * c.noise["bend_x"]
        return total + jnp.cos(turn), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(theta), waves)
    return total * (2.0 / FURROWS) ** 0.5


def draw_head(c: Canvas) -> Map:
    """Paints a slice of the head; returns the distance to the skin."""
    s = c.s
    skin = outline(s["skin"], c.plain_x, c.plain_y)
    _holder(c)
    c.paint(skin, -75.0 + 8.0 * c.noise["fine"], 1.2)
    c.paint(jnp.minimum(skin, 2.2 - skin), 28.0, 1.2, 0.9)
    outer, inner = outline(s["outer"], c.x, c.y), outline(s["inner"], c.x, c.y)
    c.paint(jnp.minimum(skin - 3.0, 9.0 + outer + 3.0 * c.noise["bend_x"] - 5.0), 48.0, 2.0, 0.8)
    diploe = step(jnp.minimum(outer - 1.6, -inner - 1.5), 1.6)
    c.paint(outer, 1350.0 - (1350.0 - s["diploe"]) * diploe + 60 * c.noise["fine"], 1.3)
    c.hold()

    lesions_head.push(c)
    x, y = c.x, c.y
    depth = inner - s["rim"] * (1.0 + 0.35 * c.noise["bend_y"])
    pattern = _furrows(c, depth)
    blood = lesions_head.blood_in_fluid(c, inner)
    wide = 0.05 + 0.17 * s["sulcus"]
    reach = s["sulcus_depth"] * (0.7 + 0.45 * c.noise["ripple_x"] + 0.25 * c.noise["bend_x"])
    along = step(reach - depth, 10.0) * step(depth + 2.0, 3.0)
    # Ratio of the pattern to its slope is about the distance to a furrow in mm.
    near = jnp.abs(pattern)
    sulcus = step(wide * (1.0 + 1.2 * blood) - near, 0.30) * along
    sulcus = sulcus * (0.35 + 0.65 * jnp.minimum(1.0, 0.35 + s["sulcus"] * 2.2))
    cortex = jnp.maximum(
        step(3.6 - depth, 2.0), step(0.52 - near, 0.25) * step(reach + 4 - depth, 8)
    )
    tissue = WHITE + (GREY - WHITE) * cortex
    sylvian = jnp.full_like(x, -99.0)
    for i in range(s["sylvian"].shape[0]):
        x0, y0, x1, y1 = s["sylvian"][i]
        r = 0.9 + 2.2 * s["sulcus"] + 0.8 * c.noise["ripple_y"] + 0.5 * c.noise["bend_x"]
        sylvian = jnp.maximum(sylvian, capsule(x, y, x0, y0, x1, y1, r, r))
    tissue = tissue + 1.0 * c.noise["lump"] + 0.6 * c.noise["fine"]
    # White matter beside the ventricles darkens with age.
    horns = lesions_head.horns(c, wide=jnp.asarray(0.0))
    tissue = tissue - 16.0 * s["leuko"] * jnp.exp(-(((jnp.minimum(horns, 0.0) + 2) / 7.0) ** 2))
    tissue = lesions_head.tissue(c, tissue, inner, pattern)
    c.paint(inner, FLUID, 1.3)
    brain = c.paint(jnp.minimum(depth, inner), tissue, 1.3)
    c.truth = c.truth | ((inner > 0).astype(jnp.uint32) << organ_bit("brain"))
    c.hold()
    c.layers("grey")
    effaced = lesions_head.effaced(c)
    wet = jnp.maximum(sulcus * (1.0 - effaced), step(sylvian, jnp.maximum(c.pitch, 2.2)))
    # The longitudinal fissure, open in front and behind (all the way above the ventricles).
    ajar = step(jnp.maximum(-y - s["gap"][0], y - s["gap"][1]), 6.0)
    slit = step(s["fissure"] + 0.3 * c.noise["ripple_x"] - jnp.abs(x), jnp.maximum(c.pitch, 1.2))
    slit = slit * ajar * step(inner, 2.0) * jnp.minimum(1.0, s["fissure"] * 1.2)
    wet = jnp.maximum(wet, slit) * (brain > 0.2)
    shade = FLUID + (60.0 - FLUID) * blood
    c.hu = c.hu + wet * (shade - c.hu)
    lesions_head.mark_blood(c, wet, blood, inner)
    lesions_head.after_tissue(c)
    ventricle = lesions_head.horns(c, wide=jnp.asarray(1.0))
    c.paint(ventricle, FLUID + 1.0, 3.0)
    c.truth = c.truth | ((ventricle > 0).astype(jnp.uint32) << organ_bit("ventricles"))
    lesions_head.swollen(c, ventricle)
    c.layers("after")
    lesions_head.bleeding(c)
    falx = jnp.minimum(0.7 - jnp.abs(x), inner) - 99.0 * (1.0 - ajar)
    c.paint(falx, 52.0, 1.2, 0.75)
    lesions_head.extra_axial(c, inner)
    return skin
