"""A checkpoint that answers about single images: scores, heat-maps, nearest training records."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.core import pretrained
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.image import sniff
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.records import Image, Record
from medvlp_jax.demo.library import Library, Neighbour
from medvlp_jax.eval import heatmap
from medvlp_jax.eval.calibration import Calibration, fit_calibration
from medvlp_jax.eval.vectors import cosine, embed_texts
from medvlp_jax.eval.zeroshot import ZeroShot
from medvlp_jax.experiment import Experiment
from medvlp_jax.experiment_config import stored_config, workdir_of

#: Side of the heat-maps in pixels.
MAP_SIDE = 384


@dataclasses.dataclass(frozen=True)
class Score:
    """What the model says of one phrase.

    Attributes:
      phrase: a class of the prompt bank, or free text.
      similarity: cosine of image and phrase; for a class, of its prompts together.
      rank: share of the training images that are less similar to the phrase.
      probability: of a class, calibrated on validation data; None where there is no calibration.
      prior: share of positives in that validation data.
    """

    phrase: str
    similarity: float
    rank: float
    probability: float | None = None
    prior: float | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """The answer about one image.

    Attributes:
      image: what the model saw, uint8.
      scores: in the order of the phrases.
      maps: of the phrases, in [0, 1] with NaN outside of the image.
      neighbours: training records whose images are most similar.
    """

    image: UInt8[np.ndarray, "s s"] | UInt8[np.ndarray, "s s 3"]
    scores: tuple[Score, ...]
    maps: Float[np.ndarray, "k h w"]
    neighbours: tuple[Neighbour, ...]


class Reader:
    """Loads a checkpoint of a contrastive run and what it needs to answer.

    The embeddings of the training images are computed once and kept in the workdir.

    Args:
      checkpoint: workdir of a run, or one checkpoint.
      step: which one.
      library: at most so many training images are searched for neighbours.

    Raises:
      CheckpointError: there is none.
      UserError: the training data is gone.
    """

    def __init__(
        self,
        checkpoint: str | pathlib.Path,
        step: pretrained.Which = "latest",
        library: int = 20_000,
    ):
        folder, workdir = pretrained.resolve(checkpoint, step), workdir_of(checkpoint, step)
        self._experiment = experiment = Experiment(stored_config(checkpoint, step))
        self.name = f"{experiment.config.name}, step {folder.name}"
        self._tokenizer = experiment.tokenizer()
        self._predict = experiment.load(checkpoint, step)
        self._length = experiment.model_config.text.prompt_length
        self._data: DataConfig = dataclasses.replace(experiment.config.data, workers=0)
        self._bank = experiment.config.eval.map_bank()
        self.library = Library.open(
            workdir, folder.name, self._data, self._tokenizer, self._predict, library
        )
        self._evaluator, self.calibration, self.calibrated_on = self._calibrate()
        known = [c for c in experiment.config.data.labels if c in self._bank.classes]
        self._common = self._queries(known).mean(0) if len(known) > 1 else 0.0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that get a calibrated probability."""
        return () if self.calibration is None else self.calibration.classes

    def read(self, data: bytes, phrases: Sequence[str], neighbours: int = 6) -> Reading:
        """Answers about one file.

        Args:
          data: PNG, JPEG or DICOM.
          phrases: class names or free text; at least one.
          neighbours: how many training records to show.

        Raises:
          UserError: the file is no image, or there is no phrase.
        """
        phrases = [p for p in dict.fromkeys(" ".join(p.split()) for p in phrases) if p]
        if not phrases:
            raise UserError("no phrase: write one finding or sentence a line")
        batch = self._batch(data)
        shown = {"image": batch["image"]}
        image = self._predict("image_embed", shown)[:1]
        queries = self._queries(phrases)
        patches = np.asarray(self._predict("patch_embed", shown)[0], np.float64)
        # Against all that was learnt: texts have much in common, and a map of that would show
        # whatever is remarkable.
        maps = np.einsum("hwe,ke->khw", patches, queries - self._common)
        pixels = [
            heatmap.rescale(heatmap.to_pixels(m, heatmap.MapConfig(size=MAP_SIDE))) for m in maps
        ]
        return Reading(
            image=batch["image"][0].squeeze(),
            scores=tuple(self._scores(phrases, image, queries)),
            maps=np.stack(pixels),
            neighbours=self.library.nearest(image[0], neighbours),
        )

    def _tokenize(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return self._tokenizer(texts, self._length)

    def _batch(self, data: bytes) -> dict[str, np.ndarray]:
        record = Record("image", (Image(data, sniff(data) or "dicom"),))
        any_view = dataclasses.replace(
            self._data,
            image=dataclasses.replace(self._data.image, views=()),
            max_bad_fraction=0.0,
        )
        (batch,) = eval_batches(any_view, [record], 1, tokenizer=self._tokenizer)
        return batch

    def _queries(self, phrases: Sequence[str]) -> Float[np.ndarray, "k e"]:
        """A unit vector per phrase; a class of the bank is the mean of its affirming prompts."""
        rows = []
        for phrase in phrases:
            prompts = self._bank.classes.get(phrase.lower())
            texts = [phrase] if prompts is None else list(prompts.positive)
            row = embed_texts(self._predict, self._tokenize, texts).mean(0)
            rows.append(row / np.linalg.norm(row))
        return np.stack(rows)

    def _scores(
        self, phrases: Sequence[str], image: np.ndarray, queries: np.ndarray
    ) -> list[Score]:
        similarity = cosine(image, queries)[0]
        ranks = self.library.ranks(queries, similarity)
        known: dict[str, tuple[float, float]] = {}
        if self.calibration is not None and self._evaluator is not None:
            scores = self._evaluator.class_scores
            found = self.calibration.probabilities(scores(image, scores.text(self._predict)))[0]
            for name, p, prior in zip(self.classes, found, self.calibration.prior, strict=True):
                if np.isfinite(p):
                    known[name] = float(p), float(prior)
        return [
            Score(p, float(s), float(r), *known.get(p.lower(), (None, None)))
            for p, s, r in zip(phrases, similarity, ranks, strict=True)
        ]

    def _calibrate(self) -> tuple[ZeroShot | None, Calibration | None, str]:
        """Logistic curves from the run's own validation set, where it has one."""
        sets = self._experiment.config.eval.sets
        wanted = [one.validation for one in sets.values() if one.validation in sets]
        for name in wanted:
            one = sets[name]
            if not pathlib.Path(one.path).exists():
                continue
            built = self._experiment.evaluators(self._tokenizer, during_training=False)
            evaluator = built.get(f"{name}-zeroshot")
            if not isinstance(evaluator, ZeroShot) or evaluator.recipe.score != "cosine":
                continue
            result = evaluator(self._predict)
            classes = [row["name"] for row in result.details["classes"]]
            labels, scores = result.arrays["labels"], result.arrays["scores"]
            records = f"{len(labels)} records of {name}, split {one.split}"
            return evaluator, fit_calibration(classes, labels, scores), records
        return None, None, ""
