"""Report-length text: our length buckets against padding every text to the longest.

The time of a step depends only on the length that its texts are padded to, and the plan of the
input pipeline says how often each length comes. So every bucket is timed, and the mean is taken
with the plan's own counts.
"""

from collections import Counter

import numpy as np

from benchmarks.data import LONGEST, report_lengths, unimed_lengths
from benchmarks.harness import Paired, Tell, Worker, check_same_size, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.train_step import sides
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import TextIndex

TARGET, UNIMED_TARGET = Target(1.3, at_most=False), Target(1.5, at_most=False)
#: The plan sorts by length inside windows of these batches, as a training run of that size would.
_PLANNED_BATCH, _RECORDS = 256, 50_000


def bucket_shares(lengths: np.ndarray, batch: int, text: TextConfig) -> dict[int, float]:
    """Share of the batches of one epoch that are padded to each bucket, by the pipeline's plan."""
    count = len(lengths)
    index = TextIndex(np.arange(count), np.ones((count, 1), np.int32), lengths, {})
    plan = Plan([index], [None], text, batch, seed=0)
    steps = count // batch // text.window * text.window
    seen = Counter(plan.step(step)[1] for step in range(steps))
    return {length: seen[length] / steps for length in sorted(seen)}


def run(settings: Settings, tell: Tell) -> list[Row]:
    """Pairs per second of both sides on the same reports."""
    what = "reports, buckets against padding"
    return [_compared("vit_b16", report_lengths(_RECORDS), what, TARGET, settings, tell)]


def run_unimed(settings: Settings, tell: Tell) -> list[Row]:
    """Pairs per second of UniMed-CLIP's B/16 and BERT on the texts of its mixture."""
    what = "UniMed-CLIP B/16 step, buckets against padding"
    lengths = unimed_lengths(_RECORDS)
    return [_compared("unimed_b16", lengths, what, UNIMED_TARGET, settings, tell)]


def _compared(
    vision: str, lengths: np.ndarray, what: str, target: Target, settings: Settings, tell: Tell
) -> Row:
    batch = 8 if vision == "vit_b16" and not settings.quick else 4  # as memory allows
    rounds = 1 if settings.quick else 3
    shares = bucket_shares(lengths, _PLANNED_BATCH, TextConfig())
    shape = {"vision": vision, "batch": batch}
    our_side, _ = sides({**shape, "text_lengths": list(shares)}, settings.threads)
    _, peer_side = sides({**shape, "text_lengths": [LONGEST]}, settings.threads)
    tell(f"building and compiling {len(shares)} lengths")
    with Worker(our_side, settings.threads) as ours, Worker(peer_side, settings.threads) as peer:
        check_same_size(ours, peer)

        def bucketed() -> float:
            seconds = {n: ours.call("step", text_len=n) for n in shares}
            return batch / sum(share * seconds[n] for n, share in shares.items())

        def padded() -> float:
            return batch / peer.call("step", text_len=LONGEST)

        paired = Paired(*in_turn([bucketed, padded], rounds, tell))
    mean = sum(length * share for length, share in shares.items())
    listed = ", ".join(f"{n} ({share:.0%})" for n, share in shares.items())
    note = (
        f"texts of {lengths.mean():.0f} tokens in the mean, 95th percentile "
        f"{np.percentile(lengths, 95):.0f}, cap {LONGEST}; batches padded to {listed}, "
        f"{mean:.0f} in the mean. open_clip pads to {LONGEST}; a PyTorch program that sorted its "
        "texts by length would gain as much."
    )
    return paired_row(what, paired, "pairs/s", target, note)
