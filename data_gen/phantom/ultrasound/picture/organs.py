"""Tissue under the probe: strength of echoes and loss of sound at every sample.

Echoes are decibels over those of liver; losses are decibels per millimetre beyond what the gain of
the machine makes up for.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from data_gen.phantom.fields import Map, bits, blob, cover, ellipse, enlarge, hold, tube
from data_gen.phantom.ultrasound.picture import beam
from data_gen.phantom.ultrasound.picture.scene import NOISE
from data_gen.phantom.ultrasound.picture.scene import STONES as SLOTS

Params = dict[str, Any]


def locate(a: Params) -> Params:
    """Noise maps, and where every sample lies."""
    a = a | {name: enlarge(a[name], beam.ROWS, beam.BEAMS) for name in NOISE}
    x, z, s = beam.places(a)
    return a | {"x": x, "z": z, "s": s}


def _over(echo: Map, mask: Array, level: Any) -> Map:
    return echo + mask * (level - echo)


def _line(distance: Array, width: Any) -> Array:
    return jnp.exp(-((distance / width) ** 2))


def _lesion(a: Params, echo: Map, loss: Map, base: Any) -> tuple[Map, Map, Array]:
    """A mass or nodule in tissue of echo ``base``; also where it is."""
    shape = blob(a["x"], a["z"], a["lesion"])
    radius = jnp.maximum(a["lesion"][2], 0.1)
    spikes = a["lesion_spikes"] * radius * (0.20 * a["lumps"] + 0.10 * a["fine"])
    shape = hold(shape + spikes)
    edge = 0.35 + 0.10 * radius * a["lesion_spikes"]
    m = cover(shape, edge)
    inner = base + a["lesion_echo"] + a["lesion_mottle"] * (a["mid"] + 0.6 * a["lumps"])
    holes = cover(a["fine"] - 0.35, 0.5) * a["lesion_holes"] * cover(shape - 0.6, 0.8)
    inner = inner - 22.0 * holes
    dots = cover(a["fine"] - 1.75, 0.3) * a["lesion_calc"] * cover(shape - 0.7, 0.6)
    inner = inner + 30.0 * dots
    halo = a["lesion_halo"]
    rim = _line(shape + 0.30 * radius * jnp.maximum(halo, 0.0), 0.30 * radius + 0.2)
    on = jnp.where(radius > 1.0, 1.0, 0.0)
    echo = echo + on * rim * (7.0 * jnp.maximum(halo, 0.0)) * (1.0 - m)
    echo = _over(echo, m, inner)
    echo = echo - on * 13.0 * jnp.maximum(-halo, 0.0) * _line(shape - 0.25, 0.40)
    # A smooth wall across the beam is a mirror.
    facing = jnp.abs(a["z"] - a["lesion"][1]) / radius
    echo = echo + on * 9.0 * jnp.maximum(halo, 0.0) * (1.0 - a["lesion_spikes"]) * cover(
        facing - 0.62, 0.3
    ) * _line(shape, 0.25)
    loss = loss + m * a["lesion_loss"] + 0.5 * dots
    return echo, loss, shape > 0


def breast(a: Params) -> Params:
    """Skin, fat with septa, gland, fascia, pectoral muscle."""
    x, z, s = a["x"], a["z"], a["s"]
    w1, w2, w3 = a["slow"][40:41], a["slow"][160:161], a["slow"][280:281]
    top = a["skin"] + a["fat"] * (1.0 + 0.24 * w1 + 0.05 * a["mid_2"])
    low = top + a["gland"] * (1.0 + 0.10 * w2 + 0.05 * a["mid_2"])
    deep = low + 3.0 + 0.6 * w3
    chest = deep + a["muscle"] + 0.45 * w1
    septa = _line(a["septa"], 0.16)
    fat = -18.0 + 1.6 * a["mid"] + 13.0 * septa * cover(a["mid_2"] + 0.6, 1.4)
    gland = (
        -1.0
        + 2.0 * a["mid"]
        + 1.6 * a["lumps"]
        - (9.0 - 5.0 * a["dense"]) * cover(a["septa"] * 0.7 + a["lumps"] * 0.7 - 0.85, 0.7)
    )
    gland = gland + 3.0 * _line(a["lines"], 0.35)
    muscle = -16.0 + 5.0 * a["lines"] + 1.0 * a["mid"]
    echo = fat
    echo = _over(echo, cover(z - top, 0.9), gland)
    echo = _over(echo, cover(z - low, 0.8), fat - 1.0)
    echo = _over(echo, cover(z - deep, 0.4), muscle)
    echo = echo + 13.0 * _line(z - deep, 0.28) + 6.0 * _line(z - top, 0.30)
    echo = _over(echo, cover(z - chest, 0.5), -16.0 + 2.0 * a["mid"])
    echo = echo + 16.0 * _line(z - chest, 0.35)
    echo = _over(echo, cover(a["skin"] - s, 0.3), 3.0 + 1.5 * a["lines"])
    echo = echo - 9.0 * _line(s - 0.55 * a["skin"], 0.30) + 8.0 * _line(s - a["skin"], 0.20)
    loss = 0.10 + 0.5 * cover(z - chest, 1.0) + 0.07 * a["mid"][160:161] + 0.0 * z
    echo, loss, lump = _lesion(a, echo, loss, -1.0 + 0.0 * z)
    gland_mask = (z > top) & (z < low) & ~lump
    truth = bits([gland_mask, lump & (a["benign"] > 0), lump & (a["malignant"] > 0)])
    return a | {"echo": echo + 0.0 * x, "loss": loss, "truth": truth}


def thyroid(a: Params) -> Params:
    """Strap muscles, a lobe with the isthmus, trachea and carotid artery, in a transverse view."""
    z, s = a["z"], a["s"]
    x = a["x"] * a["mirror"]  # the trachea is on the positive side
    w1, w2 = a["slow"][60:61], a["slow"][200:201]
    fat_end = a["skin"] + a["fat"] * (1.0 + 0.2 * w1)
    strap_end = fat_end + a["strap"] * (1.0 + 0.10 * w2)
    middle = a["skin"] + a["fat"] + a["strap"] + 0.95 * a["lobe_z"]
    echo = -18.0 + 4.0 * a["lines"] + 1.5 * a["mid"]
    echo = _over(echo, cover(z - strap_end, 0.6), -13.0 + 3.5 * a["lumps"] + 3.0 * a["lines"])
    lobe = ellipse(x, z, 0.0, middle, a["lobe_x"], a["lobe_z"], 0.10)
    isthmus = tube(x, z, [(4.0, middle - 0.5 * a["lobe_z"]), (20.0, middle - 0.72 * a["lobe_z"])],
                   [2.6, 1.6])  # fmt: skip
    gland = jnp.maximum(lobe, isthmus) + 0.35 * a["mid"]
    echo = _over(echo, cover(gland, 0.4), 0.0 + 0.9 * a["mid"] + 0.6 * a["lumps"])
    echo = echo + 8.0 * _line(gland, 0.28) * cover(middle - z, 4.0)
    artery = ellipse(
        x, z, -a["lobe_x"] - a["carotid"] - 0.6, middle + 0.5, a["carotid"], a["carotid"]
    )
    vein = ellipse(x, z, -a["lobe_x"] - 2.2 * a["carotid"] - 2.5, middle - 3.5, 4.2, 2.2, 0.4)
    for vessel in (artery, vein + 0.4 * a["mid"]):
        echo = _over(echo, cover(vessel, 0.4), -38.0)
        echo = echo + 8.0 * _line(vessel, 0.28)
    pipe = ellipse(x, z, a["lobe_x"] + 8.5, middle + 3.0, 8.6, 9.5) + 0.2 * a["mid"]
    below = jnp.minimum(8.6 - jnp.abs(x - a["lobe_x"] - 8.5), z - middle - 3.0)
    behind = cover(jnp.maximum(pipe, below), 0.5)
    # Air sends everything back: a bright front, and its echoes again and again.
    rings = jnp.maximum(jnp.cos((pipe - 0.9) * 2.6), 0.0) * jnp.exp(-jnp.maximum(pipe, 0.0) / 2.6)
    echo = _over(echo, behind, -34.0 + 34.0 * rings * cover(middle - z + 3.0, 6.0))
    front = _line(pipe - 0.2, 0.55) * cover(middle - z, 4.0)
    echo = _over(echo, front, 13.0)
    echo = _over(echo, 0.85 * _line(pipe + 1.2, 0.7) * cover(middle + 6.0 - z, 4.0), -16.0)
    spine = middle + 1.25 * a["lobe_z"] + 3.0 + 0.5 * w1 + 0.012 * x * x
    longus = cover(z - (middle + 1.05 * a["lobe_z"]), 0.6) * cover(8.0 - jnp.abs(x + 1.0), 2.0)
    echo = _over(echo, longus * cover(spine - z, 0.5), -20.0 + 4.0 * a["lines"])
    echo = echo + 9.0 * _line(z - spine, 0.6) * cover(9.0 - jnp.abs(x), 3.0)
    echo = _over(echo, cover(z - spine - 0.8, 1.0) * 0.8, -24.0)
    echo = _over(echo, cover(fat_end - z, 0.4), -8.0 + 4.0 * a["lines"])
    echo = _over(echo, cover(a["skin"] - s, 0.3), 4.0 + a["lines"])
    echo = echo + 7.0 * _line(z - fat_end, 0.22) + 5.0 * _line(z - strap_end, 0.22)
    loss = 0.06 + 0.25 * behind - 0.55 * cover(artery, 0.4) + 0.05 * a["mid"][160:161]
    echo, loss, lump = _lesion(a, echo, loss, 0.0 * z)
    lump = lump & (gland > -3.0)
    truth = bits([(gland > 0) & ~lump, lump & (a["benign"] > 0), lump & (a["malignant"] > 0)])
    return a | {"echo": echo, "loss": loss, "truth": truth}


def gallbladder(a: Params) -> Params:
    """Abdominal wall, liver with its vessels, gallbladder with what lies in it, diaphragm."""
    x, z, s = a["x"], a["z"], a["s"]
    w1 = a["slow"][80:81]
    fat_end = 2.0 + a["wall_fat"] * (1.0 + 0.08 * w1)
    wall_end = fat_end + a["wall_muscle"] * (1.0 + 0.08 * w1)
    echo = 0.0 + 1.0 * a["mid"] + 0.8 * a["lumps"]
    # Veins of the liver: dark, the portal ones with bright walls.
    here = cover(a["mid_2"] - 0.15, 0.7) * cover(z - wall_end - 10.0, 6.0)
    tubes = 2.2 * here - 13.0 * jnp.abs(a["mid"] + 0.06 * a["lumps"])
    echo = _over(echo, 0.95 * cover(tubes, 0.9), -26.0)
    echo = echo + 8.0 * _line(tubes + 0.6, 0.6) * here * cover(a["mid_2"] - 0.7, 0.5)
    dome = a["diaphragm"] - 0.0035 * (x + 8.0) ** 2 + 1.2 * a["mid"]
    echo = _over(echo, cover(z - dome, 1.5), -9.0 + 2.0 * a["mid"])
    echo = echo + 17.0 * _line(z - dome, 1.3)

    u0, v0 = x - a["bladder_x"], z - a["bladder_z"]
    cos, sin = jnp.cos(a["bladder_tilt"]), jnp.sin(a["bladder_tilt"])
    u, v = u0 * cos + v0 * sin, v0 * cos - u0 * sin
    # A pear: the fundus is wider than the neck.
    shape = ellipse(u, v / (1.0 + 0.18 * u / a["bladder_long"]), 0.0, 0.0, a["bladder_long"],
                    a["bladder_wide"]) + 0.8 * a["mid_2"]  # fmt: skip
    shape = hold(shape)
    wall = a["bladder_wall"]
    around = cover(shape + wall, 1.0)
    # A thick wall is two bright lines with swollen tissue between.
    swollen = -17.0 + 23.0 * _line(shape + 0.7, 0.6) + 21.0 * _line(shape + wall, 0.7)
    layered = 6.0 + a["thick"] * (swollen - 6.0)
    echo = _over(echo, around, layered + 1.5 * a["fine"])
    lumen = cover(shape, 0.9)
    # Near the front wall echoes reverberate into the bile.
    haze = 20.0 * jnp.exp(-jnp.maximum(shape, 0.0) / 3.0) * cover(-v, 6.0)
    echo = _over(echo, lumen, -46.0 + haze)
    behind = cover(v - 0.3 * a["bladder_wide"], 3.0)
    echo = echo + 6.0 * (1.0 - a["thick"]) * _line(shape + 0.5 * wall, 1.0) * behind
    bile = lumen

    stone = jnp.full_like(x, -1e4)
    for i in range(SLOTS):
        row = a["stones"][i]
        stone = jnp.maximum(stone, ellipse(x, z, row[0], row[1], row[2] * 1.1, row[2] * 0.9))
    stone = hold(stone) + 0.35 * a["fine"]
    solid = cover(stone, 0.8)
    face = 20.0 * jnp.exp(-jnp.maximum(stone, 0.0) / 1.4)
    echo = _over(echo, solid, -6.0 + face)

    layers = -14.0 + 5.0 * a["lines"] + 1.5 * a["mid"]
    echo = _over(echo, cover(wall_end - z, 0.8), layers)
    echo = _over(echo, cover(fat_end - z, 0.8), -9.0 + 5.5 * a["lines"])
    echo = echo + 9.0 * _line(z - fat_end, 0.7) + 10.0 * _line(z - wall_end, 0.8)
    near = 16.0 * jnp.exp(-s / 2.2)
    echo = echo + near * (0.6 + 0.4 * jnp.sin(s * 3.0))
    loss = 0.035 - 0.42 * bile * (1.0 - solid) + 3.6 * solid + 0.05 * cover(z - dome, 2.0)
    loss = loss + 0.02 * a["mid"][160:161]
    ring = (shape > -wall) & (shape <= 0) & (a["thick"] > 0)
    truth = bits([(shape > 0) & (stone <= 0), stone > 0, ring])
    return a | {"echo": echo, "loss": loss, "truth": truth}


def finish(a: Params) -> tuple[Map, Array]:
    """Picture 0 to 255 on the screen, and truth bits."""
    grey = beam.listen(a, a["echo"], a["loss"] * a["depth"] / beam.ROWS)
    return beam.convert(a, hold(grey), a["truth"])
