"""A training step at equal padding against open_clip's."""

from typing import Literal

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from medvlp_jax.core.errors import UserError

TARGET = Target(1.25, at_most=True)
_TEXT_LEN = 77
_NAMES = {"vit_b16": "ViT-B/16", "resnet50": "ResNet-50"}


def run(vision: Literal["vit_b16", "resnet50"], settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of forward, loss, backward and AdamW on the same shapes."""
    batch, rounds = (4, 2) if settings.quick else (8, 5)
    shape = {"vision": vision, "batch": batch, "text_lengths": [_TEXT_LEN]}
    our_side, peer_side = sides(shape, settings.threads)
    tell("building and compiling")
    with Worker(our_side, settings.threads) as ours, Worker(peer_side, settings.threads) as peer:
        check_same_size(ours, peer)
        paired = Paired(
            *in_turn(
                [lambda w=w: w.call("step", text_len=_TEXT_LEN) for w in (ours, peer)],
                rounds,
                tell,
            )
        )
    what = f"step, {_NAMES[vision]} + BERT-base, {batch} x {_TEXT_LEN} tokens"
    return [paired_row(what, paired, "s", TARGET)]


def sides(shape: dict, threads: int) -> tuple[Side, Side]:
    """Ours and open_clip's, for ``Worker``."""
    return (
        Side("our step", "benchmarks.our_step:make", shape),
        Side("open_clip's step", "benchmarks.open_clip_step:make", {**shape, "threads": threads}),
    )


def check_same_size(ours: Worker, peer: Worker) -> None:
    """Raises :class:`UserError` unless both sides train as many parameters."""
    counts = [worker.call("parameters") for worker in (ours, peer)]
    if counts[0] != counts[1]:
        raise UserError(
            f"the models differ: ours has {counts[0]:,} parameters, open_clip's {counts[1]:,}; "
            "install the versions of requirements.lock"
        )
