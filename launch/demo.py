"""Opens a page that asks a checkpoint about single images.

.venv/bin/python launch/demo.py --checkpoint=runs/quickstart/train [--port=7860]

Drop a PNG, JPEG, TIFF, WebP or DICOM, type findings or phrases: calibrated probabilities,
heat-maps on one scale, the nearest training pairs with their provenance, and a warning where the
image is unlike anything in training. Needs the extra ``demo``. The page is served on this machine
only; nothing leaves it, and uploads are deleted after a quarter of an hour.
"""

import os
import tempfile

from absl import flags

from medvlp_jax.core.errors import run
from medvlp_jax.core.presets import apply_cpu_preset

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "workdir of a run, or one checkpoint", required=True
)
HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
PORT = flags.DEFINE_integer("port", 7860, "port to listen on; 0 = any free one", 0, 65535)
LIBRARY = flags.DEFINE_integer("library", 20_000, "training images searched for neighbours", 1)


def main(_: list[str]) -> None:
    apply_cpu_preset()
    from medvlp_jax.run.demo.page import build_page, free_port, serve
    from medvlp_jax.run.demo.reader import Reader

    port = free_port(HOST.value, PORT.value)  # before minutes are spent on the checkpoint
    reader = Reader(CHECKPOINT.value, library=LIBRARY.value)
    with tempfile.TemporaryDirectory(prefix="medvlp_demo") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # of this user alone, and gone at the end
        page = build_page(reader)
        print(f"open {serve(page, HOST.value, port)} in a browser; Ctrl-C ends it", flush=True)
        page.block_thread()


if __name__ == "__main__":
    run(main)
