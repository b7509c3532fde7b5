"""Images per second of ``Model.features`` beside a pass of the evaluation over the same records."""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks.harness import ROOT, Paired, Side, Tell, Worker, in_turn
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
    side = Side("features", "benchmarks.features:Features", {"images": images})
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


class Features:
    """The quickstart's model after a step, and ``images`` phantoms that it never saw."""

    def __init__(self, images: int):
        import medvlp_jax as mv
        from medvlp_jax.data.store.dataset import open_dataset
        from medvlp_jax.run.api.trained import open_run

        self._folder = tempfile.TemporaryDirectory(prefix="medvlp_features")
        self._place = place = pathlib.Path(self._folder.name)
        self._data, run = place / "data", place / "run"
        splits = {"train": 32, "validation": 32, "test": images}
        _launch(
            "generate.py",
            "--config=configs/data_gen/quickstart.py",
            f"--out={self._data}",
            *(f"--config.splits.{name}={count}" for name, count in splits.items()),
        )
        _launch(
            "train.py",
            f"--config=configs/cxr/quickstart.py:{self._data}",
            f"--workdir={run}",
            "--config.loop.steps=1",
            "--config.loop.eval_every=1",
            "--config.loop.save_every=1",
            "--config.optim.warmup_steps=0",
            "--config.data.batch_size=16",
            "--config.eval.sets={}",
            "--config.checkpoint.best_metric=",
        )
        self._model, self._opened = mv.load(run), open_run(run)
        files = place / "files"
        files.mkdir()
        source = open_dataset(self._data, "test")
        for i in range(len(source)):
            image = source[i].images[0]
            (files / f"{i:06}.{image.format}").write_bytes(image.data)
        self._files, self._images = files, len(source)
        for method in (self.records, self.files, self.evaluation):  # compiles
            method()

    def records(self) -> float:
        """Images per second from a data folder to an npz file."""
        return self._timed(
            lambda: self._model.features(self._data, split="test", out=self._place / "features.npz")
        )

    def files(self) -> float:
        """The same from a folder of image files."""
        return self._timed(
            lambda: self._model.features(self._files, out=self._place / "features.npz")
        )

    def evaluation(self) -> float:
        """Images per second of a pass of ``eval.embedded`` over the same records."""
        from medvlp_jax.data.pipeline import eval_batches
        from medvlp_jax.data.store.dataset import open_dataset
        from medvlp_jax.eval.embedded import Embedded, Predicted

        o = self._opened
        source = open_dataset(self._data, "test")
        test = Embedded(
            "test",
            lambda: eval_batches(o.data, source, o.eval.batch_size, columns=("image", "labels")),
            o.data.labels,
        )
        test.want(Predicted("image_embed"))
        return self._timed(lambda: test.rows(o.predict))

    def _timed(self, work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return self._images / (time.perf_counter() - start)


def _launch(script: str, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "launch" / script), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
