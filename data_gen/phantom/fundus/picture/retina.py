"""The retina in colour: fundus, disc, macula, vessels and findings, before any camera."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_gen.phantom.colour.maps import ramp, splat
from data_gen.phantom.fundus.picture.lesions import SLOTS

Params = dict[str, Any]
Map = Float[Array, "h w"]
Colour = Float[Array, "h w 3"]

_TRUNKS = 900  # the thickest spots, which have a light reflex and lie in a sheen


def rgb(r: float, g: float, b: float) -> Float[Array, "3"]:
    return jnp.array([r, g, b], jnp.float32)


def to_pixels(a: Params, x: Array, y: Array, size: int) -> tuple[Array, Array, Array]:
    """Points in mm as pixels, and pixels per mm."""
    scale = a["fill"] / a["radius"] * size
    dx, dy = x - a["centre_x"], y - a["centre_y"]
    cos, sin = jnp.cos(a["turn"]), jnp.sin(a["turn"])
    u = (0.5 + a["shift_x"]) * size + scale * a["mirror"] * (cos * dx - sin * dy)
    v = (0.5 + a["shift_y"]) * size + scale * (sin * dx + cos * dy)
    return u, v, scale


def to_mm(a: Params, size: int) -> tuple[Map, Map]:
    """The point of the retina under each pixel."""
    frac = (jnp.arange(size) + 0.5) / size
    mm = a["radius"] / a["fill"]
    u = (frac[None, :] - 0.5 - a["shift_x"]) * mm * a["mirror"]
    v = (frac[:, None] - 0.5 - a["shift_y"]) * mm
    cos, sin = jnp.cos(a["turn"]), jnp.sin(a["turn"])
    return a["centre_x"] + cos * u + sin * v, a["centre_y"] - sin * u + cos * v


def cloud(a: Params, spots: Float[Array, "k 4"], size: int) -> Map:
    """The sum of a finding's spots; small ones keep their height at any size."""
    x, y, scale = to_pixels(a, spots[:, 0], spots[:, 1], size)
    return splat(x, y, jnp.maximum(spots[:, 2] * scale, 0.55), spots[:, 3], size)


def vessel_maps(a: Params, size: int) -> tuple[Map, Map, Map, Map]:
    """(all vessels, arteries, light reflex, sheen along the trunks), each about 0 to 1."""
    spots = a["vessel_spots"]
    x, y, scale = to_pixels(a, spots[:, 0], spots[:, 1], size)
    width = 0.62 * spots[:, 2] * scale
    sigma = jnp.sqrt(width**2 + 0.42**2)
    peak = spots[:, 3] * scale / (2.5066 * sigma) * (width / sigma) ** 0.9
    # Thin vessels hold little blood and are pale.
    peak = peak * (0.42 + 0.58 * ramp(spots[:, 2], 0.010, 0.048))
    whole = splat(x, y, sigma, peak, size)
    arteries = splat(x, y, sigma, peak * spots[:, 4], size)
    x, y, width, spots = x[:_TRUNKS], y[:_TRUNKS], width[:_TRUNKS], spots[:_TRUNKS]
    thick = ramp(spots[:, 2], 0.022, 0.05)
    sigma = jnp.sqrt((0.35 * width) ** 2 + 0.3**2)
    peak = spots[:, 3] * scale / (2.5066 * sigma) * (0.35 * width / sigma) * thick
    reflex = splat(x, y, sigma, peak * (0.45 + 0.55 * spots[:, 4]), size)
    wide = jnp.full_like(x, 0.30) * scale
    sheen = splat(x, y, wide, spots[:, 3] * scale / (2.5066 * wide) * thick, size)
    return whole, arteries, jnp.minimum(reflex, 0.8), 1.0 - jnp.exp(-0.8 * sheen)


def _over(image: Colour, colour: Array, opacity: Map) -> Colour:
    return image + opacity[..., None] * (colour - image)


def _absorb(image: Colour, density: Array, amount: Map) -> Colour:
    return image * jnp.exp(-density * amount[..., None])


def _disc(a: Params, x: Map, y: Map, noise: dict[str, Map]) -> tuple[Map, Map, Map, Map]:
    """Distances in units of the edge: (of the disc, of the cup), and (temporal part, angle)."""
    dx, dy = x - a["disc_x"], y - a["disc_y"]
    cos, sin = jnp.cos(a["disc_tilt"]), jnp.sin(a["disc_tilt"])
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    u, v = u / a["disc_radius"], v / (a["disc_radius"] * a["disc_tall"])
    edge = jnp.sqrt(u * u + v * v + 1e-6)
    wobble = 1.0 + 0.03 * noise["patch"]
    ratio = jnp.maximum(a["cup"], a["glaucoma amount"])
    free = 1.0 - ratio
    cup = jnp.sqrt((u - a["cup_x"] * free) ** 2 + ((v - a["cup_y"] * free) / 1.05) ** 2 + 1e-6)
    return edge * wobble, cup / ratio * (1.0 + 0.05 * noise["patch"]), -u / edge, jnp.arctan2(v, u)


def paint(a: Params, size: int, noise: dict[str, Map]) -> tuple[Colour, dict[str, Map]]:
    """The retina, 0 to 1, and what is where: organs and findings by name, true or false."""
    x, y = to_mm(a, size)
    whole, arteries, reflex, sheen = vessel_maps(a, size)
    fields = {name: cloud(a, a[name], size) for name in SLOTS}
    scale = a["fill"] / a["radius"] * size
    image = _ground(a, x, y, noise)
    truth: dict[str, Map] = {}

    edge, cup, temporal, angle = _disc(a, x, y, noise)
    image, on = _crescent(a, image, x, y, edge, noise)
    rough = 1.0 + 0.25 * noise["fine"] + 0.15 * noise["streak"]
    patches = fields["pathologic myopia"] * (1.0 + 0.2 * noise["streak"])
    scar = ramp(patches, 0.42, 0.58)
    ridge = 1.0 - 1.3 * jnp.abs(noise["streak"])
    bare = rgb(0.93, 0.80, 0.60) + 0.10 * ridge[..., None] * rgb(0.4, -0.9, -1.0)
    image = _over(image, bare, 0.75 * scar)
    truth["pathologic myopia"] = on | (patches > 0.5)

    atrophy = fields["geographic atrophy"] * (1.0 + 0.16 * noise["streak"])
    hole = ramp(atrophy, 0.45, 0.58)
    floor = rgb(0.93, 0.66, 0.40) - 0.10 * ridge[..., None] * rgb(0.2, 1.0, 0.9)
    image = _over(image, floor, 0.68 * hole)
    truth["geographic atrophy"] = atrophy > 0.5

    drusen = fields["drusen"] * rough
    image = _over(image, rgb(0.98, 0.78, 0.44), 0.62 * ramp(drusen, 0.25, 0.85))
    truth["drusen"] = drusen > 0.45
    image, truth["optic disc"], truth["optic cup"] = _papilla(
        a, image, (edge, cup, temporal, angle), scale, noise
    )
    truth["glaucoma"] = truth["optic cup"] & (a["glaucoma amount"] > 0)

    image = _sheen(a, image, sheen, edge, angle, noise)
    exudates = fields["hard exudates"] * (1.0 + 0.2 * noise["fine"])
    image = _over(image, rgb(1.0, 0.90, 0.52), 0.88 * ramp(exudates, 0.3, 0.8))
    truth["hard exudates"] = exudates > 0.5

    tube = 1.0 - jnp.exp(-2.1 * whole)
    share = jnp.clip(arteries / (whole + 1e-3), 0.0, 1.0)
    blood = rgb(0.46, 0.92, 0.52) - share[..., None] * rgb(0.27, 0.38, 0.22)
    image = _absorb(image, blood * a["contrast"], tube)
    image = image * (1.0 + 0.30 * reflex[..., None] * rgb(0.8, 0.75, 0.45) * a["contrast"])
    truth["vessels"] = whole > 0.28

    wool = fields["cotton wool spots"] * (1.0 + 0.12 * noise["streak"])
    image = _over(image, rgb(0.97, 0.88, 0.70), 0.85 * ramp(wool, 0.25, 1.5))
    truth["cotton wool spots"] = wool > 0.55
    tangle = fields["neovascularization"]
    image = _absorb(image, rgb(0.30, 0.85, 0.55), 1.0 - jnp.exp(-1.0 * tangle))
    truth["neovascularization"] = tangle > 0.35
    blot = fields["retinal hemorrhages"] * (1.0 + 0.14 * noise["streak"] + 0.1 * noise["fine"])
    image = _absorb(image, rgb(0.58, 1.30, 0.75), ramp(blot, 0.3, 0.95))
    truth["retinal hemorrhages"] = blot > 0.5
    dots = fields["microaneurysms"]
    image = _absorb(image, rgb(0.42, 1.15, 0.75), ramp(dots, 0.25, 1.0))
    truth["microaneurysms"] = dots > 0.45
    return jnp.clip(image, 0.0, 1.1), truth


def _ground(a: Params, x: Map, y: Map, noise: dict[str, Map]) -> Colour:
    """Pigment, choroid and macula."""
    p, rosy = a["pigment"], a["rosy"]
    fair, brown = rgb(0.88, 0.37, 0.13), rgb(0.70, 0.245, 0.08)
    base = fair + p * (brown - fair)
    base = base + 0.75 * rosy**2 * (rgb(0.79, 0.38, 0.32) - base)
    # Vessels of the choroid show as a net where pigment is thin, most of all in long eyes.
    net = 1.0 - 1.35 * jnp.abs(noise["streak"] + 0.35 * noise["patch"])
    far = 0.45 + 0.55 * ramp(jnp.hypot(x, y), 1.0, 4.5)
    long = jnp.minimum(a["pathologic myopia amount"], 1.0)
    amount = (a["tessellation"] * (0.55 + 0.45 * p) + 0.8 * long) * far
    log = 0.12 * (amount * net)[..., None] * rgb(0.45, 1.0, 0.8)
    log = log + 0.06 * noise["broad"][..., None] * rgb(0.7, 1.0, 1.0)
    log = log + 0.035 * noise["patch"][..., None] * rgb(0.5, 1.0, 1.0)
    log = log + 0.030 * noise["fine"][..., None] * rgb(0.5, 1.0, 1.1)
    r = jnp.hypot(x, y) / a["macula_size"]
    spot = 0.65 * jnp.exp(-0.5 * (r / 0.75) ** 2) + 0.45 * jnp.exp(-0.5 * (r / 0.26) ** 2)
    log = log - (a["macula"] * spot)[..., None] * rgb(0.28, 0.60, 0.50)
    image = base * jnp.exp(log)
    pit = jnp.hypot(x + 0.01, y - 0.01)
    glint = jnp.exp(-0.5 * (pit / 0.05) ** 2) + 0.35 * jnp.exp(-0.5 * ((r - 0.75) / 0.10) ** 2)
    return image + (0.18 * a["reflex"] * glint)[..., None] * rgb(1.0, 0.9, 0.6)


def _crescent(
    a: Params, image: Colour, x: Map, y: Map, edge: Map, noise: dict[str, Map]
) -> tuple[Colour, Map]:
    """Atrophy beside the disc of a long eye, and a little of it in many eyes."""
    amount = a["pathologic myopia amount"]
    reach = 0.9 * amount
    r = a["disc_radius"]
    dx = (x - a["disc_x"]) / r + 0.62 * reach
    dy = (y - a["disc_y"]) / (r * a["disc_tall"])
    ring = jnp.hypot(dx, dy) / (1.0 + 0.55 * reach) * (1.0 + 0.05 * noise["patch"])
    ring = ring * (1.0 + 0.03 * noise["streak"])
    on = (1.0 - ramp(ring, 0.96, 1.04)) * (amount > 0)
    net = 1.0 - 1.3 * jnp.abs(noise["streak"])
    bare = rgb(0.96, 0.84, 0.64) + 0.09 * net[..., None] * rgb(0.2, -0.8, -1.0)
    image = _over(image, bare, 0.8 * on)
    # Clumped pigment and a thin ring of sclera at the edge of the disc itself.
    rim = jnp.exp(-0.5 * ((edge - 1.07) / 0.06) ** 2)
    side = jnp.clip((a["disc_x"] - x) / r, -1.0, 1.0)
    dark = ramp(a["disc_rim"], 0.45, 1.0) * rim * ramp(side + 0.5 * noise["patch"], 0.1, 0.9)
    return _absorb(image, rgb(0.30, 0.45, 0.30), dark), (on > 0.5)


def _papilla(
    a: Params, image: Colour, shape: tuple[Map, ...], scale: Array, noise: dict[str, Map]
) -> tuple[Colour, Map, Map]:
    """The disc with its cup; (picture, disc, cup)."""
    edge, cup, temporal, angle = shape
    soft = jnp.maximum(0.07, 0.9 / (scale * a["disc_radius"]))
    # The nasal edge is softer, where most fibres cross it.
    soft = soft * (1.25 - 0.6 * temporal)
    inside = 1.0 - ramp(edge, 1.0 - soft, 1.0 + soft)
    pink, pale = rgb(0.96, 0.53, 0.21), rgb(0.99, 0.74, 0.40)
    rim = pink + (0.15 + 0.6 * a["disc_pale"] + 0.25 * temporal)[..., None] * (pale - pink)
    fibres = jnp.sin(29.0 * angle + 3.0 * noise["patch"]) * 0.5 + 0.5 * noise["streak"]
    # Light falls off towards the nose, where the bundle of fibres is thick and full of vessels.
    rim = rim * (1.0 + 0.03 * fibres + 0.10 * temporal * edge + 0.05 * noise["streak"])[..., None]
    image = _over(image, rim, 0.93 * inside)
    deep = a["glaucoma amount"] > 0
    blur = jnp.where(deep, 0.12, 0.30)
    pit = 1.0 - ramp(cup, 1.0 - blur, 1.0 + blur)
    grey = jnp.where(deep, 1.0, 0.0)
    bowl = rgb(1.0, 0.84, 0.54) + grey * rgb(-0.03, 0.04, 0.12)
    dots = 1.0 + 0.05 * noise["fine"]
    image = _over(image, bowl * dots[..., None], jnp.where(deep, 0.9, 0.75) * pit * inside)
    return image, edge < 1.0, (cup < 1.0) & (edge < 1.0)


def _sheen(
    a: Params, image: Colour, along: Map, edge: Map, angle: Map, noise: dict[str, Map]
) -> Colour:
    """The shine of nerve fibres in the young: streaks from the disc, patches along the trunks."""
    rays = 0.5 + 0.5 * jnp.sin(41.0 * angle + 2.5 * noise["patch"]) * ramp(noise["broad"], -1, 1)
    near = jnp.exp(-(((edge - 1.6) / 1.5) ** 2)) * ramp(edge, 1.0, 1.3)
    poles = jnp.abs(jnp.sin(angle)) ** 1.5
    patch = along * ramp(noise["patch"] + 0.6 * noise["streak"], 0.1, 1.6)
    shine = a["fibres"] * (0.20 * near * poles * rays + 0.48 * patch)
    return image + shine[..., None] * rgb(0.55, 0.75, 0.42)
