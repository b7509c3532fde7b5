"""Charts of points, lines and bars."""

import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.axes import Axes, ticks, titled
from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, Colour, sample_style

_STARS = ("*", "**", "***", "ns", "p<0.05", "#", "n.s.")


def bar_chart(rng: np.random.Generator, canvas: Canvas) -> None:
    """Bars of groups with whiskers, or a histogram."""
    if rng.random() < 0.2:
        return _histogram(rng, canvas)
    style = sample_style(rng)
    groups, series = (
        int(rng.integers(2, 8)),
        int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1])),
    )
    values = rng.gamma(4, 1, (groups, series)) * 10 ** rng.uniform(-1, 3)
    errors = values * rng.uniform(0.03, 0.25, values.shape)
    top = float((values + errors).max()) * rng.uniform(1.08, 1.4)
    names = words.pick(rng, words.GROUPS if rng.random() < 0.6 else words.GENES, groups)
    turned = max(map(len, names)) * groups > 36
    axes = Axes(canvas, style, (-0.6, groups - 0.4), (0, top), bottom=0.08 if turned else 0.0)
    axes.back(range(groups), ticks(0, top))
    wide = rng.uniform(0.5, 0.85) / series
    edge = BLACK if rng.random() < 0.5 else None
    hatch = rng.random() < 0.15
    for g in range(groups):
        for s in range(series):
            x = g + (s - (series - 1) / 2) * wide
            colour = style.colour(s if series > 1 or rng.random() < 0.75 else g)
            left, right = axes.x(x - wide * 0.48), axes.x(x + wide * 0.48)
            box = (left, axes.y(values[g, s]), right, axes.bottom)
            hollow = hatch and s % 2 == 0
            canvas.rectangle(box, WHITE if hollow else colour, BLACK if hollow else edge, 0.8)
            if hollow:
                _hatch(canvas, box)
            low, high = axes.y(values[g, s] - errors[g, s]), axes.y(values[g, s] + errors[g, s])
            middle, half = axes.x(x), (right - left) * 0.2
            canvas.line([(middle, low), (middle, high)], BLACK, canvas.thin(style))
            canvas.line([(middle - half, high), (middle + half, high)], BLACK, canvas.thin(style))
    axes.frame()
    axes.x_marks(range(groups), names, turned)
    axes.y_marks(ticks(0, top))
    titled(rng, axes, not turned)
    for _ in range(int(rng.integers(0, 3))):
        a, b = sorted(int(v) for v in rng.choice(groups, 2, replace=False))
        axes.bracket(a, b, axes.top + axes.height * rng.uniform(0.6, 2.5), str(rng.choice(_STARS)))
    if series > 1:
        axes.legend(rng, words.pick(rng, words.GROUPS, series), True)
    return None


def _hatch(canvas: Canvas, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    step = max(3.0, (x1 - x0) / 4)
    y = y0 + step
    while y < y1:
        canvas.line([(x0, y), (x1, max(y - (x1 - x0), y0))], BLACK, 0.6)
        y += step


def _histogram(rng: np.random.Generator, canvas: Canvas) -> None:
    style = sample_style(rng)
    bins = int(rng.integers(10, 50))
    x = np.linspace(-3, 3, bins)
    heights = np.exp(-0.5 * (x - rng.normal()) ** 2) + rng.uniform(0, 0.12, bins)
    top = float(heights.max()) * 1.15 * 100
    axes = Axes(canvas, style, (-3.2, 3.2), (0, top))
    axes.back(ticks(-3, 3), ticks(0, top))
    half = 3 / bins
    for at, height in zip(x, heights * 100, strict=True):
        box = (axes.x(at - half), axes.y(height), axes.x(at + half), axes.bottom)
        canvas.rectangle(box, style.colour(0), BLACK if rng.random() < 0.8 else None, 0.5)
    if rng.random() < 0.5:
        fine = np.linspace(-3, 3, 60)
        curve = np.interp(fine, x, heights * 100)
        canvas.line(axes.points(fine, curve), style.colour(1), 2 * canvas.thin(style))
    axes.frame()
    axes.x_marks(ticks(-3, 3))
    axes.y_marks(ticks(0, top))
    titled(rng, axes)


def line_chart(rng: np.random.Generator, canvas: Canvas) -> None:
    """Courses of groups, a trace of a signal, spectra, or curves of a test."""
    kind = rng.choice(["course", "trace", "roc", "spectrum"], p=[0.5, 0.25, 0.15, 0.1])
    if kind == "trace":
        return _trace(rng, canvas)
    style = sample_style(rng)
    series = int(rng.integers(1, 6))
    count = int(rng.integers(4, 12)) if kind == "course" else 80
    x = np.linspace(0, 1, count)
    if kind == "course":
        y = np.cumsum(rng.normal(rng.normal(0, 0.3), 0.4, (series, count)), 1) + rng.normal(3, 1)
    elif kind == "roc":
        y = 1 - (1 - x[None]) ** rng.uniform(1.2, 9, (series, 1))
    else:
        peaks = rng.uniform(0, 1, (series, 6, 1))
        width = rng.uniform(0.008, 0.06, (series, 6, 1))
        y = (rng.gamma(2, 1, (series, 6, 1)) * np.exp(-(((x - peaks) / width) ** 2))).sum(1)
    low, high = float(y.min()), float(y.max())
    pad = 0.12 * (high - low)
    span = (0.0, 1.02) if kind == "roc" else (low - pad, high + 1.5 * pad)
    last = 1.0 if kind == "roc" else float(rng.choice([5, 10, 24, 60, 100, 500]))
    axes = Axes(canvas, style, (0, last), span)
    axes.back(ticks(0, last), ticks(*span))
    width = canvas.thin(style) * rng.uniform(1.2, 2.6)
    marked = kind == "course" and rng.random() < 0.7
    bars = kind == "course" and rng.random() < 0.5
    size, hollow = canvas.side * rng.uniform(0.008, 0.018), bool(rng.random() < 0.25)
    if kind == "roc":
        canvas.dashed([axes.at(0, 0), axes.at(1, 1)], (120, 120, 120), width, 5, 4)
    for s in range(series):
        colour, points = style.colour(s), axes.points(x * last, y[s])
        if kind == "course" and rng.random() < 0.2:
            canvas.dashed(points, colour, width, 5, 4)
        else:
            canvas.line(points, colour, width)
        for px, py in points if marked or bars else ():
            if bars:
                up = canvas.side * rng.uniform(0.01, 0.05)
                canvas.line([(px, py - up), (px, py + up)], colour, canvas.thin(style))
                for end in (py - up, py + up):
                    canvas.line([(px - size, end), (px + size, end)], colour, canvas.thin(style))
            if marked:
                canvas.marker(s, (px, py), size, colour, hollow)
    axes.frame()
    axes.x_marks(ticks(0, last))
    axes.y_marks(ticks(*span))
    titled(rng, axes)
    if series > 1 and rng.random() < 0.8:
        axes.legend(rng, words.pick(rng, words.GROUPS, series), False)
    return None


def _trace(rng: np.random.Generator, canvas: Canvas) -> None:
    """Stacked signals with a scale bar, as of an electrode."""
    style = sample_style(rng)
    rows, count = int(rng.integers(1, 7)), 300
    height = canvas.small(style)
    left = canvas.width * rng.uniform(0.06, 0.2)
    x = np.linspace(left, canvas.width * 0.95, count)
    band = (canvas.height - 4 * height) / rows
    for r in range(rows):
        noise = rng.normal(0, 1, count + 8)
        y = np.convolve(noise, np.ones(9) / 9, "valid") * rng.uniform(0.2, 1)
        for at in rng.integers(0, count, int(rng.integers(0, 12))):
            y[at : at + 3] += np.array([1.5, 3, -1.5])[: count - at] * rng.uniform(0.4, 1)
        y = y / max(np.abs(y).max(), 1e-6) * band * 0.42
        middle = height + band * (r + 0.5)
        colour: Colour = BLACK if rng.random() < 0.5 else style.colour(r)
        points = [(float(a), float(middle - b)) for a, b in zip(x, y, strict=True)]
        canvas.line(points, colour, canvas.thin(style))
        if rng.random() < 0.7:
            label = words.one(rng, words.GROUPS)
            canvas.text((0.2 * height, middle), label, height, style.font, anchor="lm")
    right, low = canvas.width * 0.93, canvas.height - 2 * height
    canvas.line([(right - 4 * height, low), (right, low)], BLACK, 2 * canvas.thin(style))
    canvas.line([(right, low), (right, low - 2 * height)], BLACK, 2 * canvas.thin(style))
    label = f"{rng.choice([1, 5, 10, 50, 100, 200])} ms"
    canvas.text((right - 2 * height, low + 0.3 * height), label, height, style.font, anchor="mt")


def scatter(rng: np.random.Generator, canvas: Canvas) -> None:
    """Points of groups, with a line through them, or a volcano."""
    style = sample_style(rng)
    groups = int(rng.integers(1, 5))
    volcano = rng.random() < 0.2
    if volcano:
        count = int(rng.integers(300, 700))
        x = rng.normal(0, 1.2, count)
        y = np.abs(x) ** 1.5 * rng.uniform(0, 2, count) + rng.exponential(0.4, count)
        group = np.where((np.abs(x) > 1) & (y > 1.3), np.where(x > 0, 1, 2), 0)
        colours: list[Colour] = [(160, 160, 160), (214, 39, 40), (31, 119, 180)]
    else:
        count = int(rng.choice([20, 50, 120, 300]))
        group = rng.integers(groups, size=count)
        slope, spread = rng.normal(), rng.uniform(0.1, 1.2)
        x = rng.normal(0, 1, count) + group * rng.uniform(0, 1.5)
        y = slope * x + rng.normal(0, spread, count) + group * rng.uniform(-1, 1)
        colours = [style.colour(g) for g in range(groups)]
    x_range = (float(x.min()) - 0.3, float(x.max()) + 0.3)
    y_range = (float(y.min()) - 0.3, float(y.max()) * 1.1 + 0.5)
    axes = Axes(canvas, style, x_range, y_range)
    axes.back(ticks(*x_range), ticks(*y_range))
    size = canvas.side * (rng.uniform(0.005, 0.009) if count > 150 else rng.uniform(0.008, 0.02))
    hollow, varied = bool(rng.random() < 0.3), bool(rng.random() < 0.4)
    for (px, py), g in zip(axes.points(x, y), group, strict=True):
        canvas.marker(int(g) if varied else 0, (px, py), size, colours[g], hollow)
    if volcano:
        for at in (-1.0, 1.0):
            canvas.dashed([(axes.x(at), axes.top), (axes.x(at), axes.bottom)], BLACK, 0.8, 4, 4)
    elif rng.random() < 0.6:
        slope, offset = np.polyfit(x, y, 1)
        ends = [axes.at(v, float(np.clip(slope * v + offset, *y_range))) for v in x_range]
        canvas.line(ends, BLACK if rng.random() < 0.6 else style.colour(1), 2 * canvas.thin(style))
        said = f"r = {rng.uniform(-1, 1):.2f}, p = {rng.uniform(0, 0.1):.3f}"
        where = (axes.right - 0.5 * axes.height, axes.top + 0.4 * axes.height)
        canvas.text(where, said, axes.height, style.font, anchor="rt")
    axes.frame()
    axes.x_marks(ticks(*x_range))
    axes.y_marks(ticks(*y_range))
    titled(rng, axes)
    if groups > 1 and not volcano and rng.random() < 0.6:
        axes.legend(rng, words.pick(rng, words.GROUPS, groups), True)
