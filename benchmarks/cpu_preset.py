"""What the CPU preset gains on the model of the quickstart."""

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(1.0, at_most=False)
_NOTE = (
    "the same program of this package on both sides; the peer is XLA as it comes, without "
    "medvlp_jax/core/presets.py."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Pairs per second with the preset and without."""
    steps, rounds = (4, 2) if settings.quick else (10, 5)
    tell("compiling")
    make = "benchmarks.our_small_step:make"
    with (
        Worker(Side("with preset", make, {"preset": True}), settings.threads) as ours,
        Worker(Side("without preset", make, {"preset": False}), settings.threads) as peer,
    ):
        measured = in_turn(
            [lambda w=w: w.call("rate", steps=steps) for w in (ours, peer)], rounds, tell
        )
    what = "quickstart's step, CPU preset against none"
    return [paired_row(what, Paired(*measured), "pairs/s", TARGET, _NOTE, digits=0)]
