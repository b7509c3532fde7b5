"""Heat maps of numbers, with names, a colour bar and trees."""

import cv2
import numpy as np

from data_gen.pipelines.pubmed.drawings import words
from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.style import BLACK, MAPS, WHITE, Style, mapped, sample_style


def heat_map(rng: np.random.Generator, canvas: Canvas) -> None:
    """Expression of genes, correlations, a confusion matrix or a spectrogram."""
    style = sample_style(rng)
    kind = rng.choice(
        ["expression", "correlation", "confusion", "spectrogram"], p=[0.4, 0.2, 0.2, 0.2]
    )
    palette = str(rng.choice(list(MAPS)[:-1]))
    values: np.ndarray
    if kind == "expression":
        rows, columns = int(rng.integers(10, 60)), int(rng.integers(4, 30))
        values = _blocks(rng, rows, columns)
    elif kind == "correlation":
        rows = columns = int(rng.integers(6, 40))
        side = rng.normal(0, 1, (rows, 3))
        values = np.asarray(np.corrcoef(side + rng.normal(0, 0.5, side.shape))) * 0.5 + 0.5
    elif kind == "confusion":
        rows = columns = int(rng.integers(2, 8))
        values = rng.uniform(0, 0.25, (rows, columns)) + np.eye(rows) * rng.uniform(0.5, 0.75)
        palette = str(rng.choice(["blues", "reds", "viridis", "grey"]))
    else:
        rows, columns = 48, 96
        rough = rng.normal(0, 1, (rows, columns)).astype(np.float32)
        values = cv2.GaussianBlur(rough, (0, 0), float(rng.uniform(1.5, 5)))
        values = (values - values.min()) / (values.max() - values.min())
        palette = str(rng.choice(["jet", "viridis", "hot", "diverging"]))
    height = canvas.small(style)
    trees = kind == "expression" and rng.random() < 0.5
    left = height * (1.5 if kind == "expression" else 4.2)
    top = height * (3.4 if trees else 1.8)
    right = canvas.width - height * (8.4 if kind == "expression" else 4.2)
    bottom = canvas.height - height * (4.2 if kind in ("expression", "correlation") else 3.0)
    picture = mapped(values, palette)
    inner = (max(1, round(right - left)), max(1, round(bottom - top)))
    how = cv2.INTER_LINEAR if kind == "spectrogram" else cv2.INTER_NEAREST
    canvas.paste(cv2.resize(picture, inner, interpolation=how), left, top)
    thin = canvas.thin(style)
    cells = (inner[0] / columns, inner[1] / rows)
    if rng.random() < 0.3 and rows < 25 and kind != "spectrogram":
        for r in range(1, rows):
            y = top + r * cells[1]
            canvas.line([(left, y), (left + inner[0], y)], WHITE, 0.7)
        for c in range(1, columns):
            x = left + c * cells[0]
            canvas.line([(x, top), (x, top + inner[1])], WHITE, 0.7)
    canvas.rectangle((left, top, left + inner[0], top + inner[1]), None, BLACK, thin)
    if kind == "confusion":
        for r in range(rows):
            for c in range(columns):
                dark = float(picture[r, c].mean()) < 128
                at = (left + (c + 0.5) * cells[0], top + (r + 0.5) * cells[1])
                said = f"{values[r, c]:.2f}" if rows < 6 else f"{int(values[r, c] * 99)}"
                canvas.text(at, said, height, style.font, WHITE if dark else BLACK, "mm")
    _names(rng, canvas, style, (left, top), cells, (rows, columns), kind)
    if trees:
        _tree(rng, canvas, left, top, inner[0], columns, thin)
    bar = left + inner[0] + height * (5.4 if kind == "expression" else 0.8)
    _colour_bar(rng, canvas, style, palette, bar, top, inner[1])


def _blocks(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    groups = (rng.integers(3, size=rows), np.sort(rng.integers(3, size=columns)))
    means = rng.uniform(0.15, 0.85, (3, 3))
    noise = rng.normal(0, rng.uniform(0.05, 0.2), (rows, columns))
    return np.clip(means[np.sort(groups[0])][:, groups[1]] + noise, 0, 1)


def _names(rng, canvas: Canvas, style: Style, corner, cells, shape, kind) -> None:
    """Names of the rows and columns, as many as there is room for."""
    height = canvas.small(style)
    left, top = corner
    rows, columns = shape
    if kind == "spectrogram":
        for k in range(4):
            y = top + cells[1] * rows * k / 3
            canvas.text((left - 0.3 * height, y), f"{90 - 30 * k}", height, style.font, anchor="rm")
            x = left + cells[0] * columns * k / 3
            where = (x, top + cells[1] * rows + 0.4 * height)
            canvas.text(where, f"{0.5 * k:.1f}", height, style.font, anchor="mt")
        return
    small = min(height, max(4.0, cells[1] * 0.9))
    at_right = kind == "expression"
    x = left + cells[0] * columns + 0.3 * height if at_right else left - 0.3 * height
    every = max(1, int(np.ceil(small / cells[1])))
    for r, name in enumerate(words.pick(rng, words.GENES, rows)):
        if r % every == 0:
            y = top + (r + 0.5) * cells[1]
            canvas.text((x, y), name, small, style.font, anchor="lm" if at_right else "rm")
    every = max(1, int(np.ceil(1.2 * height / cells[0])))
    for c, name in enumerate(words.pick(rng, words.GROUPS, columns)):
        if c % every == 0:
            at = (left + (c + 0.5) * cells[0], top + cells[1] * rows + 2.0 * height)
            canvas.turned(at, name[:7], min(height, cells[0] * every), style.font)


def _tree(rng, canvas: Canvas, left, top, width, leaves, thin) -> None:
    """A dendrogram above the columns."""
    at = [(left + (i + 0.5) * width / leaves, top) for i in range(leaves)]
    level = top
    while len(at) > 1:
        i = int(rng.integers(len(at) - 1))
        level = max(level - top * 0.9 / leaves, 2.0)
        (x0, y0), (x1, y1) = at[i], at[i + 1]
        canvas.line([(x0, y0), (x0, level), (x1, level), (x1, y1)], BLACK, thin)
        at[i : i + 2] = [((x0 + x1) / 2, level)]


def _colour_bar(rng, canvas: Canvas, style: Style, palette, left, top, length) -> None:
    height = canvas.small(style)
    steps = max(2, round(length * rng.uniform(0.4, 1.0)))
    bar = mapped(np.linspace(1, 0, steps)[:, None].repeat(max(1, round(0.9 * height)), 1), palette)
    canvas.paste(bar, left, top)
    canvas.rectangle((left, top, left + bar.shape[1], top + steps), None, BLACK, 0.6)
    for k, value in enumerate(("1", "0.5", "0") if rng.random() < 0.5 else ("2", "0", "-2")):
        at = (left + bar.shape[1] + 0.2 * height, top + steps * k / 2)
        canvas.text(at, value, 0.85 * height, style.font, anchor="lm")
