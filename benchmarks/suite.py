"""Images per second of a zero-shot set of the suite against open_clip's own zero-shot loop."""

# pyright: reportMissingImports=false
import pathlib
import tempfile
import time
from typing import Any

from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.suite_set import PUBLIC, SET, SUITE, WEIGHTS, files, prompts
from benchmarks.torchvision_stand_in import ensure_torchvision
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=False)
#: Of both sides; that of configs/unimed/suite.py and of open_clip's evaluation.
_BATCH = 64
#: Cosines of the two sides differ by less, or they did not do the same work.
_SAME = 1e-4
_NOTE = (
    "{images} images of {set} (JPEG, 768 px) from a data folder, and the peer from the files; the "
    "same open_clip folder with random weights ({model}) in float32, batches of {batch}, {threads} "
    "threads; the peer decodes in {threads} worker processes that stay alive. Compiling, and the "
    "peer's first pass, come before the clock. Both embed the prompts in every pass; ours pads "
    "them to 64 tokens, open_clip to 77. Ours ends with accuracy, AUC and bootstrap intervals, "
    "the peer with the accuracy. The largest difference of a cosine is {apart:.0e}."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """The whole evaluation, which has the target, and the same without the text tower's seconds."""
    images, rounds = (192, 3) if settings.quick else (256, 3)
    with tempfile.TemporaryDirectory(prefix="medvlp_suite") as folder:
        tell(f"making {images} images, their records and a model")
        made = {"folder": folder, "count": images, "small": settings.quick}
        with Worker(Side("set", "benchmarks.suite_set:SuiteSet", made), settings.threads):
            pass
        given = {"folder": folder, "threads": settings.threads}
        tell("compiling, and comparing the scores")
        with (
            Worker(Side("ours", f"{__name__}:OurSuite", given), settings.threads) as ours,
            Worker(Side("open_clip", f"{__name__}:OpenClipLoop", given), settings.threads) as peer,
        ):
            apart = largest_difference(ours.call("cosines"), peer.call("cosines"))
            if apart > _SAME:
                raise UserError(
                    f"the scores of the two sides differ by {apart:.1e}, more than {_SAME:g}; "
                    "install the versions of requirements.lock"
                )
            rates = in_turn(
                [
                    lambda w=worker, m=method: w.call(m)
                    for worker in (ours, peer)
                    for method in ("evaluation", "without_prompts")
                ],
                rounds,
                tell,
            )
    note = _NOTE.format(
        images=images,
        set=SET,
        model="ViT-Ti/16 and BERT-tiny" if settings.quick else "ViT-B/16 and BERT-base",
        batch=_BATCH,
        threads=settings.threads,
        apart=apart,
    )
    return [
        paired_row(
            "zero-shot of a suite set", Paired(rates[0], rates[2]), "images/s", TARGET, note
        ),
        paired_row("the same without its prompts", Paired(rates[1], rates[3]), "images/s"),
    ]


def largest_difference(ours: dict[str, list[float]], peer: dict[str, list[float]]) -> float:
    """Between the cosines of the same images.

    Raises:
      UserError: the sides saw different images.
    """
    if ours.keys() != peer.keys():
        odd = sorted(ours.keys() ^ peer.keys())[0]
        raise UserError(f"image {odd} was scored by one side alone")
    return max(
        abs(a - b) for name, row in ours.items() for a, b in zip(row, peer[name], strict=True)
    )


class OurSuite:
    """What ``launch/evaluate.py --config=configs/unimed/suite.py`` does after loading a model."""

    def __init__(self, folder: str, threads: int):
        apply_cpu_preset()
        import dataclasses

        from configs.unimed.suite import get_config
        from medvlp_jax.run.subject import of_weights

        root = pathlib.Path(folder)
        config = get_config(str(root / SUITE)).to_dict() | {"batch_size": _BATCH}
        subject = of_weights(root / WEIGHTS, config)
        run = subject.run
        run.config = dataclasses.replace(
            run.config, data=dataclasses.replace(run.config.data, threads=threads)
        )
        self._run, self._predict, self._words = run, subject.predict, run.tokenizer()
        self._seconds = self._prompts = 0.0
        self._images = len(files(root / PUBLIC))
        self._found: Any = None
        self.evaluation()  # compiles

    def evaluation(self) -> float:
        """Images per second from opening the set to its numbers with their intervals."""
        from medvlp_jax.eval.registry import evaluate
        from medvlp_jax.run.evaluators import evaluators_of
        from medvlp_jax.run.train import tuner

        start = time.perf_counter()
        predict = _Timed(self._predict)
        evaluators = evaluators_of(self._run, self._words, tuner=tuner, during_training=False)
        self._found = evaluate(evaluators, predict)[f"{SET}-zeroshot"]
        self._seconds, self._prompts = time.perf_counter() - start, predict.texts
        return self._images / self._seconds

    def without_prompts(self) -> float:
        """Of the last evaluation, the text tower's seconds left out."""
        return self._images / (self._seconds - self._prompts)

    def cosines(self) -> dict[str, list[float]]:
        """Name of a file -> its cosines with the classes, of the last evaluation."""
        arrays = self._found.arrays
        names = [str(name).rpartition("/")[2] for name in arrays["ids"]]
        return dict(zip(names, arrays["cosines"].tolist(), strict=True))


class _Timed:
    """A predictor, and the seconds that its text tower took."""

    def __init__(self, predict: Any):
        self._predict, self.texts = predict, 0.0

    def __call__(self, name: str, batch: Any, shared: Any = None) -> Any:
        start = time.perf_counter()
        rows = self._predict(name, batch, shared)
        if name.startswith("text"):
            self.texts += time.perf_counter() - start
        return rows


class OpenClipLoop:
    """``open_clip_train.zero_shot``: the classifier, then every batch of a loader against it."""

    def __init__(self, folder: str, threads: int):
        ensure_torchvision()
        import open_clip
        import torch
        from torch.utils.data import DataLoader

        torch.set_num_threads(threads)
        root = pathlib.Path(folder)
        name = f"local-dir:{root / WEIGHTS}"
        model, transform = open_clip.create_model_from_pretrained(name)  # type: ignore[misc]
        self._model, self._words = model.eval(), open_clip.get_tokenizer(name)
        images: Any = LabelledFiles(files(root / PUBLIC), transform)
        self._names = images.names
        self._loader = DataLoader(
            images, batch_size=_BATCH, num_workers=threads, persistent_workers=True
        )
        self._seconds = self._prompts = self._accuracy = 0.0
        self._cosines: list[list[float]] = []
        self.evaluation()

    def evaluation(self) -> float:
        """Images per second from the prompts to the accuracy."""
        import open_clip
        import torch

        start = time.perf_counter()
        sentences = prompts()
        templates = [lambda k, i=i: sentences[int(k)][i] for i in range(len(sentences[0]))]
        classes = [str(k) for k in range(len(sentences))]
        classifier = open_clip.build_zero_shot_classifier(
            self._model, self._words, classes, templates
        )
        self._prompts = time.perf_counter() - start
        rows, right = [], 0
        with torch.inference_mode():
            for images, target in self._loader:
                cosines = self._model.encode_image(images, normalize=True) @ classifier
                rows.append(cosines)
                right += int(((100.0 * cosines).argmax(1) == target).sum())
        self._accuracy = right / len(self._names)
        self._seconds = time.perf_counter() - start
        self._cosines = torch.cat(rows).tolist()
        return len(self._names) / self._seconds

    def without_prompts(self) -> float:
        """Of the last evaluation, the seconds of the classifier left out."""
        return len(self._names) / (self._seconds - self._prompts)

    def cosines(self) -> dict[str, list[float]]:
        """Name of a file -> its cosines with the classes, of the last evaluation."""
        return dict(zip(self._names, self._cosines, strict=True))


class LabelledFiles:
    """A map-style data set: number to (pixels, place of the class)."""

    def __init__(self, found: list[tuple[pathlib.Path, int]], transform: Any):
        self._found, self._transform = found, transform
        self.names = [path.stem for path, _ in found]

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        path, place = self._found[index]
        return self._transform(Image.open(path)), place
