"""Plots of distributions, survival and effects."""

import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.axes import Axes, ticks, titled
from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.style import BLACK, WHITE, sample_style


def box_plot(rng: np.random.Generator, canvas: Canvas) -> None:
    """Boxes, violins or single values of groups."""
    style = sample_style(rng)
    kind = rng.choice(["box", "violin", "dots", "box and dots"], p=[0.45, 0.2, 0.2, 0.15])
    groups = int(rng.integers(2, 8))
    samples = [rng.normal(rng.normal(5, 1.2), rng.uniform(0.3, 1.2), 40) for _ in range(groups)]
    low, high = min(s.min() for s in samples) - 0.4, max(s.max() for s in samples) + 1.5
    names = words.pick(rng, words.GROUPS, groups)
    turned = max(map(len, names)) * groups > 36
    axes = Axes(canvas, style, (-0.6, groups - 0.4), (low, high), bottom=0.08 if turned else 0.0)
    axes.back(range(groups), ticks(low, high))
    half = rng.uniform(0.18, 0.36)
    filled = bool(rng.random() < 0.75)
    for g, values in enumerate(samples):
        colour = style.colour(g if rng.random() < 0.8 else 0)
        if kind == "violin":
            y = np.linspace(values.min() - 0.3, values.max() + 0.3, 40)
            density = np.exp(-0.5 * ((y[:, None] - values[None]) / 0.35) ** 2).sum(1)
            width = half * 1.2 * density / density.max()
            outline = axes.points(g + width, y) + axes.points(g - width, y)[::-1]
            canvas.polygon(outline, colour if filled else WHITE, BLACK, canvas.thin(style))
        if "box" in kind or kind == "violin":
            _box(canvas, axes, g, values, 0.06 if kind == "violin" else half, colour, filled)
        if "dots" in kind:
            radius = canvas.side * rng.uniform(0.006, 0.012)
            for x, y in axes.points(g + rng.normal(0, half / 3, len(values)), values):
                canvas.marker(0 if "box" in kind else g, (x, y), radius, colour, not filled)
            if kind == "dots":
                mean, thin = float(values.mean()), canvas.thin(style)
                canvas.line([axes.at(g - half, mean), axes.at(g + half, mean)], BLACK, 2 * thin)
    axes.frame()
    axes.x_marks(range(groups), names, turned)
    axes.y_marks(ticks(low, high))
    titled(rng, axes, False)
    for k in range(int(rng.integers(0, 3))):
        a, b = sorted(int(v) for v in rng.choice(groups, 2, replace=False))
        mark = str(rng.choice(["*", "**", "ns", "p = 0.03"]))
        axes.bracket(a, b, axes.top + axes.height * (0.9 + 1.5 * k), mark)


def _box(canvas, axes, place, values, half, colour, filled) -> None:
    low, first, middle, third, high = (
        float(v) for v in np.quantile(values, (0.03, 0.25, 0.5, 0.75, 0.97))
    )
    thin = canvas.thin(axes.style)
    x = axes.x(place)
    canvas.line([(x, axes.y(low)), (x, axes.y(first))], BLACK, thin)
    canvas.line([(x, axes.y(third)), (x, axes.y(high))], BLACK, thin)
    for end in (low, high):
        canvas.line([axes.at(place - half / 2, end), axes.at(place + half / 2, end)], BLACK, thin)
    box = (axes.x(place - half), axes.y(third), axes.x(place + half), axes.y(first))
    canvas.rectangle(box, colour if filled else WHITE, BLACK if filled else colour, thin)
    canvas.line([axes.at(place - half, middle), axes.at(place + half, middle)], BLACK, 2 * thin)


def kaplan_meier(rng: np.random.Generator, canvas: Canvas) -> None:
    """Survival of groups in steps, marks where patients were lost, numbers at risk below."""
    style = sample_style(rng)
    groups = int(rng.integers(2, 5))
    last = float(rng.choice([12, 24, 36, 60, 120]))
    risk = bool(rng.random() < 0.4)
    percent = bool(rng.random() < 0.4)
    whole = 100.0 if percent else 1.0
    axes = Axes(canvas, style, (0, last), (0, 1.04 * whole), bottom=0.06 * groups if risk else 0.0)
    axes.back(ticks(0, last), ticks(0, whole))
    names = words.pick(rng, words.GROUPS, groups)
    for g in range(groups):
        times = np.sort(rng.exponential(last * rng.uniform(0.4, 2.5), 60))
        times = times[times < last]
        x, y, share = [0.0], [whole], whole
        for n, t in enumerate(times):
            step = whole / 60 * (1 + n / 90)
            x += [float(t), float(t)]
            y += [share, max(share - step, 0.0)]
            share = y[-1]
        points = axes.points(np.array([*x, last]), np.array([*y, share]))
        if rng.random() < 0.2:
            canvas.dashed(points, style.colour(g), 2 * canvas.thin(style), 4, 3)
        else:
            canvas.line(points, style.colour(g), 2 * canvas.thin(style))
        for at in rng.uniform(0, last, int(rng.integers(0, 14))):
            px, py = axes.at(float(at), float(np.interp(at, x, y, right=share)))
            up = 0.012 * canvas.side
            canvas.line([(px, py - up), (px, py + up)], style.colour(g), canvas.thin(style))
    axes.frame()
    axes.x_marks(ticks(0, last))
    axes.y_marks(ticks(0, whole))
    unit = str(rng.choice(["Time (months)", "Time (days)", "Years after surgery", "Months"]))
    said = str(rng.choice(["Overall survival", "Survival probability", "Percent survival", "PFS"]))
    axes.titles(rng, "" if risk else unit, said)
    axes.legend(rng, names, False)
    where = (axes.left + 0.6 * axes.height, axes.bottom - 0.6 * axes.height)
    canvas.text(where, f"p = {rng.uniform(0, 0.2):.3f}", axes.height, style.font, anchor="lb")
    if risk:
        for g, label in enumerate(names):
            y = axes.bottom + axes.height * (2.6 + 1.25 * g)
            canvas.text((2, y), label, 0.9 * axes.height, style.font, style.colour(g), "lm")
            for k, at in enumerate(ticks(0, last)):
                n = str(max(0, 60 - 11 * k - 3 * g))
                canvas.text((axes.x(at), y), n, 0.9 * axes.height, style.font, anchor="mm")


def forest_plot(rng: np.random.Generator, canvas: Canvas) -> None:
    """Effects of studies with their intervals, and their mean as a diamond."""
    style = sample_style(rng)
    rows = int(rng.integers(5, 14))
    height = min(canvas.small(style), canvas.height / (rows + 4) * 0.72)
    step = (canvas.height - 3.5 * height) / (rows + 1)
    left = canvas.width * rng.uniform(0.3, 0.42)
    room = canvas.width - canvas.width_of("0.00 (0.00, 0.00)", height, style.font)
    right = max(left + 0.15 * canvas.width, room - rng.uniform(1, 3) * height)
    middle = (left + right) / 2
    thin = canvas.thin(style)
    canvas.text((2, 0.3 * height), "Study", height, style.font, bold=True)
    head = str(rng.choice(["OR (95% CI)", "HR (95% CI)", "RR [95% CI]", "MD (95% CI)"]))
    canvas.text((canvas.width - 2, 0.3 * height), head, height, style.font, anchor="rt", bold=True)
    bottom = canvas.height - 2.2 * height
    if rng.random() < 0.5:
        canvas.line([(0, 1.6 * height), (canvas.width, 1.6 * height)], BLACK, thin)
    canvas.line([(middle, 1.8 * height), (middle, bottom)], BLACK, thin)
    mean = rng.normal(0, 0.25)
    for r, name in enumerate(words.pick(rng, words.STUDIES, rows)):
        y = 1.9 * height + step * (r + 0.6)
        effect = float(np.clip(mean + rng.normal(0, 0.25), -0.8, 0.8))
        spread = rng.uniform(0.08, 0.45)
        x = middle + effect * (right - left) / 2
        a = max(left, x - spread * (right - left) / 2)
        b = min(right, x + spread * (right - left) / 2)
        canvas.line([(a, y), (b, y)], BLACK, thin)
        colour = style.colour(0)
        canvas.marker(1, (x, y), height * rng.uniform(0.15, 0.4), colour, False)
        canvas.text((2, y), name, height, style.font, anchor="lm")
        said = (
            f"{np.exp(effect):.2f} ({np.exp(effect - spread):.2f}, {np.exp(effect + spread):.2f})"
        )
        canvas.text((canvas.width - 2, y), said, height * 0.9, style.font, anchor="rm")
    y, x, half = bottom - 0.4 * step, middle + mean * (right - left) / 2, 0.06 * (right - left)
    diamond = [(x - half, y), (x, y - 0.4 * height), (x + half, y), (x, y + 0.4 * height)]
    canvas.polygon(diamond, style.colour(1) if rng.random() < 0.5 else BLACK)
    canvas.line([(left, bottom), (right, bottom)], BLACK, thin)
    for k, value in enumerate(("0.1", "0.5", "1", "2", "10")):
        x = left + (right - left) * k / 4
        canvas.line([(x, bottom), (x, bottom + 0.4 * height)], BLACK, thin)
        canvas.text((x, bottom + 0.6 * height), value, 0.9 * height, style.font, anchor="mt")
