"""Tables, screens of programs, equations and listings."""

import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, Colour, sample_style


def table(rng: np.random.Generator, canvas: Canvas) -> None:
    """Rows of numbers under a head, with few lines, all lines or shaded rows."""
    style = sample_style(rng)
    rows, columns = int(rng.integers(4, 18)), int(rng.integers(2, 7))
    kind = rng.choice(["rules", "grid", "shaded"], p=[0.45, 0.3, 0.25])
    margin = 0.02 * canvas.side
    first = rng.uniform(0.22, 0.36) * canvas.width
    rest = (canvas.width - first - 2 * margin) / (columns - 1 or 1)
    height = min(canvas.small(style), (canvas.height - 2 * margin) / (rows + 1) * 0.7)
    step = min((canvas.height - 2 * margin) / (rows + 1), height * rng.uniform(1.4, 2.6))
    top = margin if rng.random() < 0.6 else (canvas.height - step * (rows + 1)) / 2
    left, right, bottom = margin, canvas.width - margin, top + step * (rows + 1)
    dark = bool(kind == "shaded" and rng.random() < 0.6)
    head: Colour = style.colour(0) if dark else WHITE
    thin = canvas.thin(style)
    if kind == "shaded":
        canvas.rectangle((left, top, right, top + step), head if dark else (210, 220, 235))
        for r in range(2, rows + 1, 2):
            y = top + r * step
            canvas.rectangle((left, y, right, y + step), (238, 238, 242))
    names = words.pick(rng, words.HEADS, columns)
    align = str(rng.choice(["l", "m"]))
    form = [words.number(rng) for _ in range(columns)]
    for r, label in enumerate([names[0], *words.pick(rng, words.ROWS, rows)]):
        y = top + (r + 0.5) * step
        ink = WHITE if r == 0 and dark and sum(head) < 480 else BLACK
        bold = r == 0 and bool(rng.random() < 0.8)
        small = _fitted(canvas, label, height, first, style.font)
        canvas.text((left + 0.3 * height, y), label, small, style.font, ink, "lm", bold)
        for c in range(1, columns):
            text = (
                names[c]
                if r == 0
                else words.number(rng)
                if len(form[c]) > 4
                else f"{rng.random():.2f}"
            )
            x = left + first + (c - 1) * rest + (rest / 2 if align == "m" else 0.2 * height)
            small = _fitted(canvas, text, height, rest, style.font)
            canvas.text((x, y), text, small, style.font, ink, f"{align}m", bold)
    if kind == "rules":
        for y, wide in ((top, 2.0), (top + step, 1.0), (bottom, 2.0)):
            canvas.line([(left, y), (right, y)], BLACK, wide * thin)
    elif kind == "grid":
        for r in range(rows + 2):
            canvas.line([(left, top + r * step), (right, top + r * step)], BLACK, thin)
        for x in (left, *(left + first + c * rest for c in range(columns))):
            canvas.line([(x, top), (x, bottom)], BLACK, thin)


def _fitted(canvas: Canvas, text: str, height: float, room: float, name: str) -> float:
    wide = canvas.width_of(text, height, name)
    return height if wide < 0.94 * room else max(4.0, height * 0.94 * room / wide)


def screenshot(rng: np.random.Generator, canvas: Canvas) -> None:
    """A window of a program, a listing, or an equation."""
    kind = rng.choice(["window", "listing", "equation"], p=[0.5, 0.2, 0.3])
    if kind == "equation":
        return _equation(rng, canvas)
    return _window(rng, canvas) if kind == "window" else _listing(rng, canvas, 0.0)


def _window(rng: np.random.Generator, canvas: Canvas) -> None:
    w, h = canvas.width, canvas.height
    height = 0.04 * canvas.side
    grey = int(rng.choice([240, 225, 212, 60]))
    ink = WHITE if grey < 128 else BLACK
    canvas.rectangle((0, 0, w, h), (grey, grey, grey))
    bar: Colour = (0, 84, 166) if rng.random() < 0.5 else (200, 205, 215)
    canvas.rectangle((0, 0, w, 1.8 * height), bar)
    title = words.nonsense(rng, 2)
    canvas.text((0.5 * height, 0.9 * height), title, height, "dejavu", WHITE, "lm")
    for k, colour in enumerate(((220, 60, 50), (240, 190, 60), (90, 190, 80))):
        canvas.ellipse(
            (w - (k + 1) * 1.5 * height, 0.9 * height), 0.4 * height, 0.4 * height, colour
        )
    x = 0.5 * height
    for name in ("File", "Edit", "View", "Tools", "Help"):
        canvas.text((x, 2.7 * height), name, height, "dejavu", ink, "lm")
        x += canvas.width_of(name, height, "dejavu") + height
    left = w * rng.uniform(0.22, 0.38)
    top = 3.8 * height
    panel = (255, 255, 255) if grey > 128 else (30, 30, 34)
    canvas.rectangle((left, top, w - 0.4 * height, h - 0.4 * height), panel, (120, 120, 120), 0.8)
    y = top + height
    while y < h - 1.5 * height:
        what = rng.integers(4)
        if what == 0:
            canvas.rectangle(
                (0.5 * height, y, left - height, y + 1.5 * height),
                (190, 196, 206),
                (90, 90, 90),
                0.7,
            )
            canvas.text((left / 2, y + 0.75 * height), "OK", height, "dejavu", BLACK, "mm")
        elif what == 1:
            canvas.rectangle(
                (0.5 * height, y, 1.4 * height, y + 0.9 * height), WHITE, (90, 90, 90), 0.7
            )
            canvas.text((1.8 * height, y), words.nonsense(rng, 1), height, "dejavu", ink)
        elif what == 2:
            canvas.text((0.5 * height, y), words.nonsense(rng, 1) + ":", height, "dejavu", ink)
        else:
            canvas.rectangle(
                (0.5 * height, y, left - height, y + 1.3 * height), WHITE, (90, 90, 90), 0.7
            )
            canvas.text((0.8 * height, y + 0.2 * height), words.number(rng), height, "dejavu")
        y += 2.1 * height
    line = top + height
    while line < h - 2 * height:
        text = words.nonsense(rng, int(rng.integers(2, 6)))
        canvas.text(
            (left + 0.6 * height, line), text, 0.9 * height, "dejavu", ink if grey < 128 else BLACK
        )
        line += 1.6 * height
    canvas.rectangle((w - 0.4 * height, top, w, h), (150, 150, 150))


def _listing(rng: np.random.Generator, canvas: Canvas, top: float) -> None:
    """Letters in lines: a sequence alignment or a text."""
    height = canvas.side * rng.uniform(0.03, 0.05)
    sequence = rng.random() < 0.5
    name = "mono" if sequence or rng.random() < 0.5 else "serif"
    y = top + height
    tones: tuple[Colour, ...] = ((255, 120, 120), (120, 160, 255), (140, 220, 140), (255, 220, 110))
    each = canvas.width_of("M", height, "mono")
    while y < canvas.height - 1.5 * height:
        if sequence:
            count = int(canvas.width / each) - 2
            letters = "".join("ACGT"[i] for i in rng.integers(4, size=max(count, 1)))
            for k in range(0, len(letters), 3):
                if rng.random() < 0.3:
                    x = (k + 1) * each
                    tone = tones["ACGT".index(letters[k])]
                    canvas.rectangle((x, y, x + 2 * each, y + 1.2 * height), tone)
            canvas.text((each, y), letters, height, "mono")
        else:
            text = words.nonsense(rng, 40)
            while canvas.width_of(text, height, name) > canvas.width - 2 * height:
                text = text[: int(len(text) * 0.9)]
            canvas.text((height, y), text, height, name)
        y += 1.5 * height


def _equation(rng: np.random.Generator, canvas: Canvas) -> None:
    """Symbols with fractions, sums and indices."""
    rows = int(rng.integers(1, 5))
    big = min(canvas.height / rows * 0.32, canvas.width / rng.uniform(11, 16))
    greek = "αβγδθλμσφωΓΔΣΩ"
    for row in range(rows):
        y, x = canvas.height * (row + 0.5) / rows, 0.6 * big
        while x < canvas.width - 3.2 * big:
            kind = rng.integers(4)
            letter = str(rng.choice(list("xyzkpqfghEPTLuv" + greek)))
            name = "serif italic" if letter.isascii() else "serif"
            if kind == 0:
                above, below = words.LETTERS[rng.integers(21)], f"{rng.integers(2, 30)}{letter}"
                wide = (
                    max(canvas.width_of(t, big, "serif italic") for t in (above, below)) + 0.2 * big
                )
                canvas.text((x + wide / 2, y - 0.15 * big), above, big, "serif italic", anchor="mb")
                canvas.text((x + wide / 2, y + 0.15 * big), below, big, "serif italic", anchor="mt")
                canvas.line([(x, y), (x + wide, y)], BLACK, 0.05 * big)
                x += wide
            elif kind == 1:
                sign = str(rng.choice(list("∑∫∏")))
                canvas.text((x, y), sign, 1.6 * big, "serif", anchor="lm")
                wide = canvas.width_of(sign, 1.6 * big, "serif")
                canvas.text((x + wide / 2, y + big), "i=1", 0.5 * big, "serif italic", anchor="mt")
                x += wide
            else:
                canvas.text((x, y), letter, big, name, anchor="lm")
                x += canvas.width_of(letter, big, name)
                if rng.random() < 0.6:
                    shift = 0.35 * big if rng.random() < 0.6 else -0.4 * big
                    canvas.text(
                        (x, y + shift),
                        str(rng.choice(list("ijk012t"))),
                        0.6 * big,
                        "serif",
                        anchor="lm",
                    )
                    x += 0.4 * big
            x += 0.15 * big
            sign = str(rng.choice(["+", "=", "−", "(", ")", "", "", ","]))
            canvas.text((x, y), sign, big, "serif", anchor="lm")
            x += canvas.width_of(sign, big, "serif") + 0.15 * big
        if rng.random() < 0.7:
            canvas.text(
                (canvas.width - 0.3 * big, y), f"({row + 1})", 0.7 * big, "serif", anchor="rm"
            )
