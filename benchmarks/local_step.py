"""A whole training step of GLoRIA and of MGCA against the same in plain PyTorch."""

from typing import Any, Literal

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.train_step import check_same_size

TARGET = Target(1.0, at_most=True)
#: Tokens of a caption: the longest that either recipe takes.
_TEXT_LEN = {"gloria": 97, "mgca": 112}
_NAMES = {"gloria": "GLoRIA", "mgca": "MGCA"}


def run(method: Literal["gloria", "mgca"], settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of forward, loss, backward and optimizer at the recipe's sizes, float32."""
    batch, rounds = (4, 2) if settings.quick else (8, 5)
    length = _TEXT_LEN[method]
    shape: dict[str, Any] = {"method": method, "batch": batch, "text_len": length}
    our_side = Side("our step", "benchmarks.our_local_step:make", shape)
    peer_side = Side(
        "PyTorch's step",
        "benchmarks.torch_local_step:make",
        {**shape, "threads": settings.threads},
    )
    tell("building and compiling")
    with Worker(our_side, settings.threads) as ours, Worker(peer_side, settings.threads) as peer:
        check_same_size(ours, peer)
        paired = Paired(*in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell))
    what = f"{_NAMES[method]} step, ResNet-50 + BERT-base, {batch} x {length} tokens"
    return [paired_row(what, paired, "s", TARGET)]
