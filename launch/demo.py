"""Opens a page that asks a checkpoint about single images.

python launch/demo.py --checkpoint=runs/quickstart/train [--port=7860]

Drop a PNG, JPEG or DICOM, type findings or phrases: calibrated probabilities, heat-maps, and the
nearest training pairs with their provenance. Needs the extra ``demo``. The page is served on this
machine only; nothing leaves it.
"""

import socket

from absl import flags

from medvlp_jax.core.errors import UserError, reason, run
from medvlp_jax.core.presets import apply_cpu_preset

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "workdir of a run, or one checkpoint", required=True
)
HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
PORT = flags.DEFINE_integer("port", 7860, "port to listen on", lower_bound=1, upper_bound=65535)
LIBRARY = flags.DEFINE_integer(
    "library", 20_000, "training images searched for neighbours", lower_bound=1
)


def _free(host: str, port: int) -> None:
    """Refuses an address that cannot be listened on, before the checkpoint is read.

    Raises:
      UserError: the port is taken, or this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host={host} --port={port} cannot be listened on ({reason(error)}); choose another "
            f"port, for instance --port={port + 1 if port < 65535 else 7860}"
        ) from error


def main(_: list[str]) -> None:
    apply_cpu_preset()
    _free(HOST.value, PORT.value)
    from medvlp_jax.demo.page import build_page
    from medvlp_jax.demo.reader import Reader

    page = build_page(Reader(CHECKPOINT.value, library=LIBRARY.value))
    page.launch(server_name=HOST.value, server_port=PORT.value, share=False, quiet=True)


if __name__ == "__main__":
    run(main)
