"""A forward pass of DINOv2's tower, loaded from a folder of transformers', against transformers."""

import tempfile
from typing import Any

import numpy as np

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.errors import UserError

TARGET = Target(1.0, at_most=True)
_NOTE = (
    "ViT-B/14 with random weights, the same file on both sides, float32; both give the class "
    "token's vector and the patches'."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of each on the same images."""
    rows, rounds = (4, 3) if settings.quick else (8, 7)
    with tempfile.TemporaryDirectory() as folder:
        shape: dict[str, Any] = {"folder": folder, "rows": rows, "side": 224}
        peer_side = Side(
            "transformers", "benchmarks.dinov2_peer:make", {**shape, "threads": settings.threads}
        )
        tell("building and compiling")
        with Worker(peer_side, settings.threads) as peer:  # it writes the folder
            our_side = Side("our tower", "benchmarks.dinov2_ours:make", shape)
            with Worker(our_side, settings.threads) as ours:
                check_same(ours.call("pooled"), peer.call("pooled"))
                taken = in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell)
    what = f"DINOv2 forward, {rows} images at 224 px"
    return [paired_row(what, Paired(*taken), "s", TARGET, _NOTE)]


def check_same(ours: list[float], peer: list[float]) -> None:
    """Whether both sides did the same work.

    Raises:
      UserError: the vectors differ by more than float32 does.
    """
    gap = float(np.max(np.abs(np.subtract(ours, peer))))
    if not gap < 1e-3:
        raise UserError(
            f"the towers differ: their vectors are up to {gap:.2g} apart; install the versions of "
            "requirements.lock"
        )
