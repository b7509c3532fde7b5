"""Text generation against transformers on torch: a batch of equal texts, and a ragged queue."""

import pathlib
import tempfile

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(1.5, at_most=False)
_ROWS = 8
_NOTE = (
    "SmolLM2-135M's shape with random weights, float32, greedy, a key-value cache on both sides. "
    "The queue's prompts and texts differ in length: ours refills rows as they are finished, the "
    "peer gets batches in the order of the queue, padded on the left, each until its longest text "
    "is done."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Tokens per second of both; the weights are the same file."""
    rounds, tokens, queue = (2, 24, 16) if settings.quick else (5, 64, 32)
    with tempfile.TemporaryDirectory() as folder:
        args = {"folder": folder, "rows": _ROWS, "tokens": tokens, "queue": queue}
        peer_side = Side(
            "transformers", "benchmarks.lm_peer:make", {**args, "threads": settings.threads}
        )
        tell("building and compiling")
        with Worker(peer_side, settings.threads) as peer:  # it writes the folder
            assert (pathlib.Path(folder) / "model.safetensors").exists()
            our_side = Side("our decoder", "benchmarks.lm_ours:make", args)
            with Worker(our_side, settings.threads) as ours:
                rows = []
                for method, what in (
                    ("batch", f"{_ROWS} texts of {tokens} tokens"),
                    ("ragged", f"queue of {queue} ragged texts, {_ROWS} at a time"),
                ):
                    taken = in_turn(
                        [lambda w=w, m=method: w.call(m) for w in (ours, peer)], rounds, tell
                    )
                    rows.append(
                        paired_row(
                            f"LM decode, {what}", Paired(*taken), "tokens/s", TARGET, _NOTE, 0
                        )
                    )
    return rows
