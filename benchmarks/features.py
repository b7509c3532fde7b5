"""Images per second of ``Model.features`` beside a pass of the evaluation over the same records."""

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(0.9, at_most=False)
_NOTE = (
    "the quickstart's model at 128 px on {images:,} phantoms it was not trained on; ours ends with "
    "an npz file, the peer is eval.embedded, which every evaluator reads through"
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """From a data folder, which has the target, and from a folder of image files."""
    images, rounds = (256, 2) if settings.quick else (1000, 5)
    tell(f"making {images} phantoms and a checkpoint")
    side = Side("features", "benchmarks.our_features:make", {"images": images})
    with Worker(side, settings.threads) as worker:
        records, files, evaluation = in_turn(
            [lambda m=m: worker.call(m) for m in ("records", "files", "evaluation")], rounds, tell
        )
    rows = []
    for what, rates, target, note in (
        ("features of a data folder to npz", records, TARGET, _NOTE.format(images=images)),
        ("the same from image files", files, None, ""),
    ):
        paired = Paired(rates, evaluation)
        rows.append(paired_row(what, paired, "images/s", target, note, digits=0))
    return rows
