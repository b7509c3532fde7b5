"""One UNet evaluation and one VAE decoding of Stable Diffusion 1.5 against diffusers'."""

from typing import Any

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.errors import UserError

TARGET = Target(1.0, at_most=True)
#: The method of both workers, and what it does.
_PARTS = {"unet": "UNet step, 2 rows (guidance)", "decode": "VAE decode, 1 image"}


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of each on the same latents, float32, at the networks' full widths."""
    side, rounds = 256, 2 if settings.quick else 5
    rows = []
    # One part at a time: both sides' UNets are 3.4 GB each.
    for part, what in _PARTS.items():
        shape: dict[str, Any] = {"part": part, "side": side}
        our_side = Side(f"our {part}", "benchmarks.diffusion_ours:make", shape)
        peer_side = Side(
            f"diffusers' {part}",
            "benchmarks.diffusion_peer:make",
            {**shape, "threads": settings.threads},
        )
        tell(f"{part}: building and compiling")
        with (
            Worker(our_side, settings.threads) as ours,
            Worker(peer_side, settings.threads) as peer,
        ):
            _check_same_size(ours, peer)
            paired = Paired(
                *in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell)
            )
        rows.append(paired_row(f"{what}, SD 1.5 at {side} px", paired, "s", TARGET))
    return rows


def _check_same_size(ours: Worker, peer: Worker) -> None:
    counts = [worker.call("parameters") for worker in (ours, peer)]
    if counts[0] != counts[1]:
        raise UserError(
            f"the networks differ: ours has {counts[0]:,} parameters, diffusers' {counts[1]:,}; "
            "install the versions of requirements.lock"
        )
