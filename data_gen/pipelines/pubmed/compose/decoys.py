"""What stands on a figure beside its images: labels, and all that could be taken for one."""

from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.compose import paint
from data_gen.pipelines.pubmed.compose.faces import draw_face
from data_gen.pipelines.pubmed.compose.layouts import Layout, Rect
from data_gen.pipelines.pubmed.compose.lettering import Lettering

#: Single signs that figures carry for other reasons: sides, axes, regions, stars, sequences.
_SIGNS = (
    "R", "L", "x", "y", "z", "N", "T", "P", "V", "S", "a", "b", "c", "1", "2", "3", "m", "A", "B",
    "C", "H", "F", "i", "t", "T1", "T2", "M", "LV", "RV", "e", "f", "*", "IV", "h",
)  # fmt: skip
#: Words that stand over panels, or in them.
_WORDS = (
    "Control", "T1 + C", "FLAIR", "DWI", "ADC", "Pre", "Post", "Day 7", "Baseline", "Axial", "CT",
    "Sagittal", "Coronal", "PET", "H&E", "Ki-67", "Merge", "DAPI", "Sham", "3 months",
)  # fmt: skip


class Decorator:
    """Writes on a canvas and remembers where, so that nothing covers a label."""

    def __init__(
        self,
        rng: np.random.Generator,
        canvas: paint.Canvas,
        panels: Sequence[Sequence[Rect]],
        layout: Layout,
        lettering: Lettering | None,
    ) -> None:
        self.rng, self.canvas, self.layout, self.lettering = rng, canvas, layout, lettering
        self.panels = panels
        self.taken: list[Rect] = []
        face = lettering.face if lettering is not None and rng.random() < 0.5 else draw_face(rng)
        self.face = face
        self.pixels = max(round(rng.uniform(9, 22) * max(canvas.shape[:2]) / 1000), 9)

    def labels(self, texts: Sequence[str], charts: Sequence[bool]) -> list[Rect | None]:
        """Writes the labels; None where there is no text, or no room for it."""
        out = []
        pad = int(self.rng.integers(2, 9))
        for images, text, chart in zip(self.panels, texts, charts, strict=True):
            out.append(self._label(text, images, chart, pad) if text else None)
        return out

    def _label(self, text: str, images: Sequence[Rect], chart: bool, pad: int) -> Rect | None:
        style = self.lettering
        assert style is not None
        text = style.wrap.format(text)
        width, height = paint.text_size(text, style.face, style.pixels)
        first = images[0]
        panel = Rect(
            min(r.x0 for r in images),
            min(r.y0 for r in images),
            max(r.x1 for r in images),
            max(r.y1 for r in images),
        )
        if style.inside and not chart:
            if width + 2 * pad > 0.8 * first.width or height + 2 * pad > 0.8 * first.height:
                return None
            right, low = style.corner.endswith("right"), style.corner.startswith("bottom")
            x = panel.x1 - pad - width if right else panel.x0 + pad
            y = panel.y1 - pad - height if low else panel.y0 + pad
        else:
            beside = "above" if style.inside else style.beside
            x = panel.x0 if beside in ("above", "left") else (panel.x0 + panel.x1 - width) / 2
            y = panel.y1 + 3 if beside == "below centre" else panel.y0 - height - 3
            if beside == "left" and panel.x0 - width - 4 >= 0 and self.layout.gutter > width + 6:
                x, y = panel.x0 - width - 4, panel.y0
            elif beside == "left":
                x = max(panel.x0 - width / 2, 0)
        place = Rect(x, y, x + width, y + height)
        if not style.inside and self._covers(place, panel):
            return None
        colour = style.colour
        if style.plate and not chart:
            ground, colour = paint.WHITE, paint.BLACK
            if self.rng.random() < 0.3:
                ground, colour = colour, ground
            edge = pad if style.corner == "top left" else min(pad, 3)
            paint.plate(
                self.canvas, Rect(x - edge, y - edge, x + width + edge, y + height + edge), ground
            )
        elif colour is not None and not self._seen(place, colour):
            colour = None
        box = paint.put_text(self.canvas, text, (x, y), style.face, style.pixels, colour)
        self.taken.append(box)
        return box

    def _covers(self, place: Rect, own: Rect) -> bool:
        """Whether a place outside lies on another panel's image or off the canvas."""
        height, width = self.canvas.shape[:2]
        if place.y0 < 0 or place.x0 < 0 or place.y1 > height or place.x1 > width:
            return True
        return any(
            _overlap(place, rect, 0)
            for images in self.panels
            for rect in images
            if not _overlap(rect, own, -1)
        )

    def _seen(self, place: Rect, colour: tuple[int, int, int]) -> bool:
        """Whether a colour stands out from what lies there."""
        x0, y0, x1, y1 = (max(round(v), 0) for v in place)
        area = self.canvas[y0:y1, x0:x1].reshape(-1, 3).astype(np.float32)
        weights = np.array((0.299, 0.587, 0.114), np.float32)
        return bool(
            len(area) and abs(float((area @ weights).mean()) - float(np.dot(weights, colour))) > 90
        )

    def decorate(self, charts: Sequence[bool]) -> list[tuple[Rect, str]]:
        """Insets, bars, arrows, words and single signs; returns the signs."""
        rng = self.rng
        rates = {
            "inset": 0.1 * (rng.random() < 0.3),
            "bar": 0.8 * (rng.random() < 0.35),
            "arrow": 0.7 * (rng.random() < 0.4),
            "sign": 0.5 * (rng.random() < 0.5),
            "word": 0.5 * (rng.random() < 0.3),
        }
        signs: list[tuple[Rect, str]] = []
        for images, chart in zip(self.panels, charts, strict=True):
            for rect in images:
                small = min(rect.width, rect.height) < 6 * self.pixels
                if chart or small:
                    continue
                if rng.random() < rates["inset"]:
                    self._inset(rect)
                if rng.random() < rates["bar"]:
                    corner = Rect(rect.x0, rect.y1 - 0.25 * rect.height, rect.x1, rect.y1)
                    if not self._is_taken(corner):
                        paint.scale_bar(self.canvas, rng, rect, self.face, self.pixels)
                        self.taken.append(corner)
                for _ in range(rng.poisson(rates["arrow"])):
                    self._arrow(rect)
                if rng.random() < rates["word"]:
                    self._write(rect, str(rng.choice(_WORDS)))
                for _ in range(rng.poisson(rates["sign"])):
                    text = str(rng.choice(_SIGNS))
                    box = self._write(rect, text)
                    if box is not None:
                        signs.append((box, text))
        return signs

    def _is_taken(self, place: Rect) -> bool:
        return any(_overlap(place, one, 4) for one in self.taken)

    def _write(self, rect: Rect, text: str) -> Rect | None:
        rng = self.rng
        width, height = paint.text_size(text, self.face, self.pixels)
        for _ in range(4):
            if rng.random() < 0.4:  # at an edge, where labels stand too
                fx, fy = (float(rng.choice([0.04, 0.5, 0.96])) for _ in range(2))
            else:
                fx, fy = rng.uniform(0.05, 0.95, 2)
            x = rect.x0 + 3 + fx * (rect.width - width - 6)
            y = rect.y0 + 3 + fy * (rect.height - height - 6)
            place = Rect(x, y, x + width, y + height)
            if width < 0.7 * rect.width and not self._is_taken(place):
                box = paint.put_text(self.canvas, text, (x, y), self.face, self.pixels, None)
                self.taken.append(box)
                return box
        return None

    def _arrow(self, rect: Rect) -> None:
        inner = 0.6 * min(rect.width, rect.height)
        x = rect.x0 + self.rng.random() * (rect.width - inner)
        y = rect.y0 + self.rng.random() * (rect.height - inner)
        place = Rect(x, y, x + inner, y + inner)
        if not self._is_taken(place):
            paint.arrow(self.canvas, self.rng, place)

    def _inset(self, rect: Rect) -> None:
        """A part of the image again, enlarged and framed, in a corner."""
        rng = self.rng
        w, h = (round(rng.uniform(0.25, 0.4) * side) for side in (rect.width, rect.height))
        edge = int(rng.choice([0, 0, 4, 8]))
        x = round(rect.x1 - w - edge if rng.random() < 0.6 else rect.x0 + edge)
        y = round(rect.y1 - h - edge if rng.random() < 0.7 else rect.y0 + edge)
        place = Rect(x, y, x + w, y + h)
        if self._is_taken(place) or w < 12 or h < 12:
            return
        sx = round(rect.x0 + rng.random() * (rect.width - w))
        sy = round(rect.y0 + rng.random() * (rect.height - h))
        part = self.canvas[sy : sy + h // 2, sx : sx + w // 2].copy()
        enlarged = part.repeat(2, 0).repeat(2, 1)[:h, :w]
        self.canvas[y : y + enlarged.shape[0], x : x + enlarged.shape[1]] = enlarged
        colours = (paint.WHITE, paint.WHITE, paint.BLACK, (255, 255, 0))
        paint.frame(self.canvas, place, colours[rng.integers(4)], int(rng.integers(1, 4)))
        self.taken.append(place)


def _overlap(a: Rect, b: Rect, margin: float) -> bool:
    return (
        a.x0 < b.x1 + margin
        and b.x0 < a.x1 + margin
        and a.y0 < b.y1 + margin
        and b.y0 < a.y1 + margin
    )
