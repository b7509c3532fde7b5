"""The page of the demo: drop an image, type phrases, see scores, heat-maps and neighbours."""

import base64
import html
import os
import socket
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.run.demo.library import Neighbour
from medvlp_jax.run.demo.reader import LONGEST_PHRASE, MOST_PHRASES, Reader, Reading, Score
from medvlp_jax.run.demo.upload import MAX_BYTES, read_upload

_NOTE = (
    "For research on models. Not a medical device; no number here says anything about a patient."
)
_CSS = """
.bar{background:var(--border-color-primary);border-radius:3px;height:10px;width:150px;
display:inline-block}.bar i{background:#3b82c4;display:block;height:10px;border-radius:3px}
.wide{overflow-x:auto}table.scores{border-collapse:collapse;width:100%}
table.scores td,table.scores th{padding:3px 10px;text-align:left;
border-bottom:1px solid var(--border-color-primary);font-variant-numeric:tabular-nums}
.strange{border:2px solid #d97706;border-radius:8px;padding:10px 14px;background:#d977061f}
.familiar{opacity:.75}
.near{display:flex;flex-wrap:wrap;gap:14px}.near figure{width:210px;margin:0;font-size:12px}
.near img{width:210px;border-radius:4px;display:block}
"""
#: Letters of all phrases together.
_MOST_TEXT = MOST_PHRASES * (LONGEST_PHRASE + 1)
#: Questions that may wait; one is answered at a time, in a second or so.
_WAITING = 16
#: Seconds between two sweeps over the uploads, and the age at which one is deleted.
_SWEEP, _KEPT = 60, 900
_TYPES = [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".dcm", ".dicom"]


def build_page(reader: Reader) -> Any:
    """The Gradio page of a checkpoint; :func:`serve` shows it.

    Raises:
      UserError: gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "the demo needs gradio: pip install -c requirements.lock '.[demo]'"
        ) from error

    def answer(file: str | None, text: str) -> tuple[Any, ...]:
        if not file:
            raise gr.Error("Drop an image first.")
        try:
            with one_net("this image", "save it again, or as PNG"):
                reading = reader.read(read_upload(file), text[:_MOST_TEXT].splitlines())
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        pictures = [
            (overlay(reading.film, m), caption(s))
            for m, s in zip(reading.maps, reading.scores, strict=True)
        ]
        film = gr.update(value=reading.film, label=f"The film as it was read: {reading.read_as}")
        near = neighbour_gallery(reading.neighbours)
        return film, verdict(reading), score_table(reading), pictures, near

    phrases = "\n".join(reader.classes[:6]) or "no finding"
    calibrated = (
        f"Probabilities are calibrated on {reader.calibrated_on}."
        if reader.classes
        else "There is no validation data, so nothing here is a probability."
    )
    with gr.Blocks(title="medvlp_jax", delete_cache=(_SWEEP, _KEPT)) as page:
        gr.HTML(f"<style>{_CSS}</style>")
        about = f"{calibrated} {reader.measured_against}"
        gr.Markdown(f"## {reader.name}\n{_NOTE} {about}", elem_id="about")
        with gr.Row():
            with gr.Column(scale=1):
                file = gr.File(
                    label=f"Radiograph: PNG, JPEG, TIFF, WebP or DICOM, at most "
                    f"{MAX_BYTES >> 20} MiB",
                    file_types=_TYPES,
                    elem_id="file",
                )
                text = gr.Textbox(
                    phrases,
                    label=f"Findings or phrases, one a line, at most {MOST_PHRASES}",
                    lines=7,
                    max_length=_MOST_TEXT,
                    elem_id="phrases",
                )
                button = gr.Button("Read", variant="primary", elem_id="read")
                film = gr.Image(
                    label="The film as it was read", elem_id="film", interactive=False, buttons=[]
                )
            with gr.Column(scale=3):
                said = gr.HTML(elem_id="said")
                scores = gr.HTML(label="Scores", elem_id="scores")
                maps = gr.Gallery(
                    label="Where each phrase is seen, all on one scale",
                    columns=4,
                    height="auto",
                    elem_id="maps",
                )
        gr.Markdown("### Nearest training images")
        near = gr.HTML(elem_id="near")
        button.click(
            answer,
            [file, text],
            [film, said, scores, maps, near],
            api_name="read",
            concurrency_limit=1,
        )
    page.queue(max_size=_WAITING)
    return page


def serve(page: Any, host: str, port: int) -> str:
    """Starts to serve a page, and returns its address; it runs in a thread of this process.

    Raises:
      UserError: the server cannot start there.
    """
    from gradio import themes  # pyright: ignore[reportMissingImports]

    # Fonts of the machine: the theme's own would be asked for from a server elsewhere.
    theme = themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    with one_net(f"{host}:{port}", "give another --host or --port", verb="cannot be served"):
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=MAX_BYTES,
            theme=theme,
            footer_links=[],
            ssr_mode=False,
        )
    return url


def free_port(host: str, port: int) -> int:
    """``port``, or any free one for 0.

    Raises:
      UserError: it is taken, or not allowed, or there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind(found[4])
            return asked.getsockname()[1]
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host={host} --port={port} cannot be listened on ({reason(error)}); choose another "
            "port: --port=0 takes any free one"
        ) from error


def caption(score: Score) -> str:
    """The phrase, and whether its map shows anything."""
    if score.peak <= 1:
        return f"{score.phrase}: no more than meaningless phrases"
    return f"{score.phrase}: up to {score.peak:.1f} times what meaningless phrases reach"


def verdict(reading: Reading) -> str:
    """Whether the image is one that the model can say something about."""
    if reading.strange:
        return (
            '<p class="strange"><b>This image is unlike the training images</b> '
            f"({reading.strangeness:.1f} times the distance that 99 % of images of their kind stay "
            "below). What stands below was computed all the same and means nothing for it.</p>"
        )
    return (
        '<p class="familiar">The image is no stranger than those of training '
        f"({reading.strangeness:.2f} of the distance that would be).</p>"
    )


def overlay(
    film: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The film with its map laid over it: as it is where the map is 0, or not defined."""
    base = film.astype(np.float64)
    base = base if base.ndim == 3 else np.repeat(base[..., None], 3, 2)
    level = np.nan_to_num(heat, nan=0.0)
    colour = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = 0.65 * np.sqrt(level[..., None])
    return (base * (1 - share) + colour * share).round().astype(np.uint8)


def score_table(reading: Reading) -> str:
    """Rows of phrase, probability, similarity and rank; the likeliest first."""
    order = sorted(reading.scores, key=lambda s: -(s.probability if s.probability else 0.0))
    rows = "".join(_row(s) for s in order)
    return (
        '<div class="wide"><table class="scores"><tr><th>phrase</th><th>probability</th><th></th>'
        "<th>prior</th><th>similarity</th><th>above training images</th></tr>"
        f"{rows}</table></div>"
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
