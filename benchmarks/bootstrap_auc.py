"""Bootstrap intervals of the AUC: counts of draws against a loop over scikit-learn's AUC."""

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(20, at_most=False, unit="x")
RESAMPLES = 1000
#: (records, classes): the CheXpert test set with its 5 classes, and the test set of ChestX-ray14.
CASES = ((500, 5), (25_596, 14))
#: Resamples that the peer is timed on where all of them would take minutes; it is a plain loop.
_PEER_RESAMPLES = {500: 1000, 25_596: 10}
_NOTE = (
    f"resampled AUCs a second, {RESAMPLES:,} resamples; the peer draws indices and calls "
    "sklearn.metrics.roc_auc_score, on fewer resamples where the set is large (it is a loop, every "
    "resample costs the same). Both give the same AUC on the same resample."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """One row per case; the value is how many times faster ours is."""
    cases = CASES[:1] if settings.quick else CASES
    return [_row(records, classes, settings, tell) for records, classes in cases]


def _row(records: int, classes: int, settings: Settings, tell: Tell) -> Row:
    case = {"records": records, "classes": classes}
    with (
        Worker(Side("ours", "benchmarks.our_bootstrap:ours", case), settings.threads) as ours,
        Worker(Side("loop", "benchmarks.our_bootstrap:loop", case), settings.threads) as loop,
    ):
        aucs = [side.call("first", resamples=3) for side in (ours, loop)]
        if max(abs(a - b) for a, b in zip(*aucs, strict=True)) > 1e-12:
            raise RuntimeError(f"the two sides disagree on the same resamples: {aucs}")

        def rate(side: Worker, resamples: int) -> float:
            return resamples * classes / side.call("seconds", resamples=resamples)

        paired = Paired(
            *in_turn(
                [lambda: rate(ours, RESAMPLES), lambda: rate(loop, _PEER_RESAMPLES[records])],
                2 if settings.quick else 3,
                tell,
            )
        )
    what = f"bootstrap AUC, {records:,} records, {classes} classes"
    return paired_row(what, paired, "AUCs/s", TARGET, _NOTE, digits=0)
