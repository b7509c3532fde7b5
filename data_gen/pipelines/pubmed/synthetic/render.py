"""The pixels of a planned figure: panels on their ground, labels, and what else figures carry."""

import cv2
import numpy as np

from data_gen.phantom.records import encode
from data_gen.pipelines.pubmed.synthetic.figures import FigurePlan
from data_gen.pipelines.pubmed.synthetic.lettering import box_of, print_on
from data_gen.pipelines.pubmed.synthetic.panel import KINDS
from data_gen.pipelines.pubmed.synthetic.pool import Pool

_QUALITY = (80, 96)


def render(plan: FigurePlan, pool: Pool) -> np.ndarray:
    """uint8 [h, w, 3] of a plan; the same pixels each time."""
    rng = np.random.default_rng(plan.noise)
    layout = plan.layout
    image = np.full((layout.height, layout.width, 3), plan.ground, np.uint8)
    for panel, (x0, y0, x1, y1) in zip(plan.panels, layout.boxes, strict=True):
        pixels = pool.pixels(panel)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        method = cv2.INTER_AREA if x1 - x0 < pixels.shape[1] else cv2.INTER_LINEAR
        image[y0:y1, x0:x1] = cv2.resize(pixels, (x1 - x0, y1 - y0), interpolation=method)
    _decorate(rng, plan, image)
    texts = [
        (text, box_of(text, plan.lettering, box))
        for text, box in zip(plan.printed, layout.boxes, strict=True)
        if text
    ]
    return print_on(image, texts, plan.lettering) if texts else image


def _decorate(rng: np.random.Generator, plan: FigurePlan, image: np.ndarray) -> None:
    """Arrows at findings, scale bars on slides, and the side marker of scans, in place."""
    width, height = plan.layout.width, plan.layout.height
    arrows = rng.random() < 0.35
    for one in plan.truth.findings:
        if not arrows or rng.random() < 0.4:
            continue
        x = int((one.box.x0 + one.box.x1) / 2 * width)
        y = int((one.box.y0 + one.box.y1) / 2 * height)
        tip, start = (x + 6, y + 6), (x + 22, y + 22)
        cv2.arrowedLine(image, start, tip, (255, 255, 255), 2, cv2.LINE_AA, tipLength=0.5)
    marked = rng.random() < 0.12
    for panel, (x0, y0, x1, y1) in zip(plan.panels, plan.layout.boxes, strict=True):
        kind = KINDS[panel.kind]
        if panel.kind == "pathology" and rng.random() < 0.6:
            long = (x1 - x0) // 5
            cv2.rectangle(image, (x1 - long - 8, y1 - 10), (x1 - 8, y1 - 7), (0, 0, 0), -1)
        if marked and kind.modality in ("mri", "ct", "xray"):
            place = (x0 + 5, (y0 + y1) // 2)
            cv2.putText(
                image, "R", place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA
            )


def encoded(plan: FigurePlan, pool: Pool, file: str) -> bytes:
    """A figure as a JPEG or PNG file, by the ending of its name."""
    pixels = np.ascontiguousarray(render(plan, pool)[..., ::-1])
    if file.endswith(".png"):
        return encode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, 3))
    quality = int(np.random.default_rng(plan.noise + 1).integers(*_QUALITY))
    return encode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
