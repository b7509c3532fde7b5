"""The page of the demo: drop an image, type phrases, see scores, heat-maps and neighbours."""

import base64
import html
import os
import pathlib
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.image import decode
from medvlp_jax.demo.library import Neighbour
from medvlp_jax.demo.reader import Reader, Reading, Score

_NOTE = (
    "For research on models. Not a medical device; no number here says anything about a patient."
)
_CSS = """
.bar{background:#e8ecf1;border-radius:3px;height:10px;width:150px;display:inline-block}
.bar i{background:#3b6ea8;display:block;height:10px;border-radius:3px}
table.scores{border-collapse:collapse;width:100%}table.scores td,table.scores th{padding:3px 10px;
border-bottom:1px solid #ddd;text-align:left;font-variant-numeric:tabular-nums}
.near{display:flex;flex-wrap:wrap;gap:14px}.near figure{width:210px;margin:0;font-size:12px}
.near img{width:210px;border-radius:4px;display:block}
"""


def build_page(reader: Reader) -> Any:
    """The Gradio page of a checkpoint.

    Raises:
      UserError: gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "the demo needs gradio: pip install -c requirements.lock '.[demo]'"
        ) from error

    def answer(file: str | None, text: str) -> tuple[Any, str, str]:
        if not file:
            raise gr.Error("Drop an image first.")
        try:
            reading = reader.read(pathlib.Path(file).read_bytes(), text.splitlines())
        except UserError as error:
            raise gr.Error(str(error)) from error
        pictures = [
            (overlay(reading.image, m), s.phrase)
            for m, s in zip(reading.maps, reading.scores, strict=True)
        ]
        return pictures, score_table(reading), neighbour_gallery(reading.neighbours)

    phrases = "\n".join(reader.classes[:6]) or "no finding"
    calibrated = (
        f"Probabilities are calibrated on {reader.calibrated_on}."
        if reader.classes
        else "There is no validation data, so nothing here is a probability."
    )
    with gr.Blocks(title="medvlp_jax") as page:
        gr.HTML(f"<style>{_CSS}</style>")
        gr.Markdown(f"## {reader.name}\n{_NOTE} {calibrated}")
        with gr.Row():
            with gr.Column(scale=1):
                file = gr.File(
                    label="Radiograph: PNG, JPEG or DICOM",
                    file_types=[".png", ".jpg", ".jpeg", ".dcm", ".dicom"],
                    elem_id="file",
                )
                text = gr.Textbox(
                    phrases, label="Findings or phrases, one a line", lines=7, elem_id="phrases"
                )
                button = gr.Button("Read", variant="primary", elem_id="read")
            with gr.Column(scale=3):
                scores = gr.HTML(label="Scores", elem_id="scores")
                maps = gr.Gallery(
                    label="Where each phrase is seen", columns=4, height="auto", elem_id="maps"
                )
        gr.Markdown("### Nearest training images")
        near = gr.HTML(elem_id="near")
        button.click(answer, [file, text], [maps, scores, near], api_name="read")
    return page


def overlay(
    image: UInt8[np.ndarray, "s s"] | UInt8[np.ndarray, "s s 3"], heat: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with its map laid over it: transparent where the map is low, or not defined."""
    side = (heat.shape[1], heat.shape[0])
    base = cv2.resize(image, side, interpolation=cv2.INTER_AREA).astype(np.float64)
    base = base if base.ndim == 3 else np.repeat(base[..., None], 3, 2)
    level = np.nan_to_num(heat, nan=0.0)
    colour = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = 0.65 * level[..., None] ** 1.5
    return (base * (1 - share) + colour * share).round().astype(np.uint8)


def score_table(reading: Reading) -> str:
    """Rows of phrase, probability, similarity and rank; the likeliest first."""
    order = sorted(reading.scores, key=lambda s: -(s.probability if s.probability else 0.0))
    rows = "".join(_row(s) for s in order)
    return (
        '<table class="scores"><tr><th>phrase</th><th>probability</th><th></th>'
        "<th>prior</th><th>similarity</th><th>above training images</th></tr>"
        f"{rows}</table>"
    )


def _row(score: Score) -> str:
    bar = ""
    if score.probability is not None:
        bar = f'<span class="bar"><i style="width:{100 * score.probability:.0f}%"></i></span>'
    cells = [
        html.escape(score.phrase),
        "not calibrated" if score.probability is None else f"{score.probability:.2f}",
        bar,
        "" if score.prior is None else f"{score.prior:.2f}",
        f"{score.similarity:.3f}",
        f"{score.rank:.0%}",
    ]
    return "<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def neighbour_gallery(neighbours: tuple[Neighbour, ...]) -> str:
    """The training images, their labels and texts, and where they come from."""
    return f'<div class="near">{"".join(_figure(n) for n in neighbours)}</div>'


def _figure(neighbour: Neighbour) -> str:
    record = neighbour.record
    labels = ", ".join(k for k, v in record.labels.items() if v == 1) or "no label"
    text = next((t.text for t in record.texts if t.section == "impression"), "")
    text = text or next((t.text for t in record.texts), "")
    picture = _thumbnail(record.images[0].data, record.images[0].format)
    return (
        f'<figure><img alt="" src="data:image/jpeg;base64,{picture}">'
        f"<b>{neighbour.similarity:.3f}</b> {html.escape(labels)}<br>"
        f"{html.escape(text[:220])}<br><small>{html.escape(neighbour.provenance)}</small></figure>"
    )


def _thumbnail(data: bytes, fmt: str) -> str:
    pixels = decode(data, fmt, 210)
    scale = 210 / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    bgr = small if small.ndim == 2 else small[..., ::-1]
    return base64.b64encode(cv2.imencode(".jpg", bgr)[1].tobytes()).decode()
