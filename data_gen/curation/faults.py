"""Ways to spoil a film, to measure what the checks find.

Each takes a grey film, uint8 [y, x], and a random generator, and returns the spoilt one; how bad it
gets is drawn by the generator, from what is just beyond use to what is hopeless.
"""

from collections.abc import Callable

import cv2
import numpy as np

from data_gen.curation.candidate import Pixels

_WORDS = ("FIG 2B", "SAMPLE", "PATIENT", "Dr Smith", "2017-04-03", "X-RAY 12", "stock photo", "AP")


def black(film: Pixels, rng: np.random.Generator) -> Pixels:
    """What a safety filter leaves: zeros, or next to it."""
    return rng.integers(0, rng.integers(1, 6), film.shape).astype(np.uint8)


def white(film: Pixels, rng: np.random.Generator) -> Pixels:
    """An overexposed sheet."""
    return (255 - rng.integers(0, rng.integers(1, 6), film.shape)).astype(np.uint8)


def constant(film: Pixels, rng: np.random.Generator) -> Pixels:
    """A grey sheet with a trace of the film."""
    level, trace = rng.uniform(60, 200), rng.uniform(0, 0.08)
    return _bytes(level + trace * (film - film.mean()))


def inverted(film: Pixels, rng: np.random.Generator) -> Pixels:
    """The negative."""
    del rng
    return 255 - film


def cropped(film: Pixels, rng: np.random.Generator) -> Pixels:
    """A corner of 35 to 50 % of the side, blown up."""
    height, width = film.shape[:2]
    share = rng.uniform(0.35, 0.5)
    h, w = round(height * share), round(width * share)
    y, x = rng.integers(0, 2) * (height - h), rng.integers(0, 2) * (width - w)
    part = film[y : y + h, x : x + w]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


def quarter_turn(film: Pixels, rng: np.random.Generator) -> Pixels:
    """By 90 degrees, either way."""
    return np.ascontiguousarray(np.rot90(film, rng.choice([1, 3])))


def half_turn(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Upside down."""
    del rng
    return np.ascontiguousarray(film[::-1, ::-1])


def blurred(film: Pixels, rng: np.random.Generator) -> Pixels:
    """By a Gaussian of 1.2 to 4 % of the side."""
    sigma = rng.uniform(0.012, 0.04) * max(film.shape[:2])
    return cv2.GaussianBlur(film, (0, 0), sigma)


def noisy(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Normal noise of 40 to 90 grey levels."""
    return _bytes(film + rng.normal(0, rng.uniform(40, 90), film.shape))


def text(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Three to six lines of print over a quarter or more of the film."""
    out = film.copy()
    height, width = film.shape[:2]
    lines = int(rng.integers(3, 7))
    step = rng.uniform(0.07, 0.12) * height
    top = rng.uniform(0.05, 0.95 - lines * step / height) * height
    left = rng.uniform(0.02, 0.25) * width
    colour = int(rng.choice([0, 255]))
    if rng.random() < 0.5:  # on a plate
        corners = (int(left), int(top)), (int(left + 0.7 * width), int(top + lines * step))
        cv2.rectangle(out, *corners, 255 - colour, -1)
    for i in range(lines):
        place = int(left), int(top + (i + 0.8) * step)
        words = " ".join(rng.choice(_WORDS, 2))
        scale = 0.7 * step / 22
        cv2.putText(out, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return out


def coloured(film: Pixels, rng: np.random.Generator) -> Pixels:
    """A photograph's cast, or coloured marks over a grey film; RGB."""
    rgb = np.repeat(film[..., None], 3, axis=2)
    if rng.random() < 0.5:
        return _bytes(rgb * rng.uniform((0.95, 0.85, 0.65), (1.05, 0.95, 0.85)))
    height, width = film.shape[:2]
    for _ in range(3):
        at = int(rng.integers(0.2 * width, 0.8 * width)), int(rng.integers(0, height))
        colour = [(255, 40, 40), (60, 255, 60), (255, 220, 0)][rng.integers(3)]
        cv2.circle(rgb, at, max(3, width // 12), colour, max(1, width // 80))
    return rgb


def compressed(film: Pixels, rng: np.random.Generator) -> Pixels:
    """JPEG of quality 1 to 6."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(1, 7))]
    _, data = cv2.imencode(".jpg", film, quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def stretched(film: Pixels, rng: np.random.Generator) -> Pixels:
    """A strip: 30 to 50 % of the height or width is left."""
    height, width = film.shape[:2]
    share = rng.uniform(0.3, 0.5)
    if rng.random() < 0.5:
        keep = round(height * share)
        top = int(rng.integers(0, height - keep))
        return film[top : top + keep].copy()
    keep = round(width * share)
    left = int(rng.integers(0, width - keep))
    return film[:, left : left + keep].copy()


def framed(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Half the size or less, in the middle of an empty sheet."""
    height, width = film.shape[:2]
    share = rng.uniform(0.35, 0.55)
    small = cv2.resize(film, (round(width * share), round(height * share)), None, 0, 0, 3)
    out = np.full_like(film, rng.choice([0, 255]))
    y = int(rng.integers(0, height - small.shape[0]))
    x = int(rng.integers(0, width - small.shape[1]))
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out


def _bytes(values: np.ndarray) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


#: By name, in the order of a table.
FAULTS: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "black": black,
    "white": white,
    "constant": constant,
    "inverted": inverted,
    "cropped": cropped,
    "quarter turn": quarter_turn,
    "half turn": half_turn,
    "blurred": blurred,
    "noisy": noisy,
    "text": text,
    "coloured": coloured,
    "compressed": compressed,
    "stretched": stretched,
    "framed": framed,
}


def spoil(film: Pixels, name: str, seed: int) -> Pixels:
    """``film`` with the fault ``name``; equal arguments give equal pictures."""
    return FAULTS[name](film, np.random.default_rng((seed, list(FAULTS).index(name))))
