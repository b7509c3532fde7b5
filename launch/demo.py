"""Opens a page that asks a checkpoint about single images.

python launch/demo.py --checkpoint=runs/quickstart/train [--port=7860]

Drop a PNG, JPEG or DICOM, type findings or phrases: calibrated probabilities, heat-maps, and the
nearest training pairs with their provenance. Needs the extra ``demo``. The page is served on this
machine only; nothing leaves it.
"""

from absl import flags

from medvlp_jax.core.errors import run
from medvlp_jax.core.presets import apply_cpu_preset

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "workdir of a run, or one checkpoint", required=True
)
HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
PORT = flags.DEFINE_integer("port", 7860, "port to listen on")
LIBRARY = flags.DEFINE_integer("library", 20_000, "training images searched for neighbours")


def main(_: list[str]) -> None:
    apply_cpu_preset()
    from medvlp_jax.demo.page import build_page
    from medvlp_jax.demo.reader import Reader

    page = build_page(Reader(CHECKPOINT.value, library=LIBRARY.value))
    page.launch(server_name=HOST.value, server_port=PORT.value, share=False, quiet=True)


if __name__ == "__main__":
    run(main)
