"""Pictures in a page: inlined, with heat and regions as layers on top."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageColor, features

from medvlp_jax.pages.charts import drawing
from medvlp_jax.pages.html import tag

#: Longest side of an inlined picture in pixels, and of the coordinate system of its overlay.
SIDE = 288
#: Heat from cold to hot: blue, violet, red, orange, yellow. No white, which is bone here.
_RAMP = np.array(
    [(24, 20, 140), (110, 0, 168), (190, 40, 130), (235, 95, 60), (253, 165, 20), (255, 225, 40)],
    np.float64,
)


#: Colours of regions, those of the chips k0 to k11 of the style sheet.
_REGIONS = (
    "#39b8e8",
    "#ff6f91",
    "#ffc145",
    "#63d29b",
    "#b18cff",
    "#ff9156",
    "#4fd8cb",
    "#f07fd0",
    "#a5d84a",
    "#7f9cff",
    "#e0b07a",
    "#ff5c5c",
)

Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w c"]


def data_uri(image: Image.Image) -> str:
    """WebP where this Pillow can write it, PNG otherwise; as a ``data:`` address."""
    kind = "webp" if features.check("webp") else "png"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 84, "method": 4} if kind == "webp" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def to_pil(pixels: Pixels) -> Image.Image:
    """Grey or RGB, at most ``SIDE`` pixels long."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def colour_bar(height: float) -> str:
    """The colours of :func:`heat_layer` from the largest value of a map to its smallest."""
    steps = np.linspace(1, 0, 33)[:-1]
    tall = height / len(steps)
    out = []
    for i, (r, g, b, alpha) in enumerate(heat_layer(steps)):
        out.append(
            f'<rect x="0" y="{i * tall:.2f}" width="12" height="{tall + 0.3:.2f}" '
            f'fill="rgb({r},{g},{b})" fill-opacity="{alpha / 255:.2f}"/>'
        )
    for text, y in (("max", 18.0), ("min", height - 6)):
        out.append(f'<text class="bar-end" x="17" y="{y:.1f}">{text}</text>')
    return (
        f'<rect class="bar-ground" width="12" height="{height:.1f}"/>'
        + "".join(out)
        + f'<rect class="bar-frame" width="12" height="{height:.1f}"/>'
    )


def shown_size(picture: Image.Image) -> tuple[float, float]:
    """Width and height in the coordinates of an overlay: small pictures are shown larger.

    The names of boxes have one size in these coordinates; on 32 pixels they would not fit.
    """
    factor = SIDE / max(picture.size)
    return picture.width * factor, picture.height * factor


def film_svg(picture: Image.Image, *layers: str, name: str) -> str:
    """A picture under layers in the coordinates of :func:`shown_size`."""
    width, height = shown_size(picture)
    size = f'width="{width:g}" height="{height:g}"'
    image = f'<image href="{data_uri(picture)}" {size} preserveAspectRatio="none"/>'
    return drawing(width, height, image, *layers, name=name, class_="film")


def inlined(picture: Image.Image, alt: str) -> str:
    """A picture in its own size."""
    return tag("img", src=data_uri(picture), alt=alt, width=picture.width, height=picture.height)


def heat_layer(heat: Float[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s 4"]:
    """RGBA: colour by heat, transparent where cold so that the anatomy stays visible."""
    position = np.clip(heat, 0, 1) * (len(_RAMP) - 1)
    low = np.minimum(position.astype(int), len(_RAMP) - 2)
    share = (position - low)[..., None]
    colour = _RAMP[low] * (1 - share) + _RAMP[low + 1] * share
    x = np.clip((heat - 0.35) / 0.65, 0, 1)
    alpha = 170 * x * (2 - x)
    return np.concatenate([colour, alpha[..., None]], -1).round().astype(np.uint8)


def overlay(
    film: Image.Image, masks: Bool[np.ndarray, "h w l"], colours: Sequence[int]
) -> Image.Image:
    """Regions in their colours, half transparent, with a solid edge.

    Args:
      masks: bool [y, x, l].
      colours: number of each mask's colour.
    """
    pixels = np.asarray(film, np.float64)
    for i, number_ in enumerate(colours):
        if not masks[..., i].any():
            continue
        region = Image.fromarray(masks[..., i].astype(np.uint8) * 255)
        inside = np.asarray(region.resize(film.size, Image.Resampling.NEAREST)) > 127
        core = inside.copy()
        for axis in (0, 1):
            for step in (1, -1):
                core &= np.roll(inside, step, axis)
        colour = np.array(ImageColor.getrgb(_REGIONS[number_ % len(_REGIONS)]), np.float64)
        alpha = np.where(inside & ~core, 1.0, np.where(inside, 0.38, 0.0))[..., None]
        pixels = pixels * (1 - alpha) + colour * alpha
    return Image.fromarray(pixels.round().astype(np.uint8))
