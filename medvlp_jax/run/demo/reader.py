"""A checkpoint that answers about single images: scores, heat-maps, nearest training records."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.eval.grounding import heatmap
from medvlp_jax.eval.metrics.calibration import Calibration, fit_calibration
from medvlp_jax.eval.vectors import cosine, normalise
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.run.api.images import film, to_image
from medvlp_jax.run.api.model import Model
from medvlp_jax.run.api.trained import open_run
from medvlp_jax.run.demo.familiar import layouts, patch_statistics
from medvlp_jax.run.demo.library import Library, Neighbour
from medvlp_jax.run.demo.maps import MEANINGLESS, PhraseMaps
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.train import tuner

#: Longest side in pixels of the film and of the maps that are shown.
SIDE = 640
#: Phrases of one question, letters of a phrase.
MOST_PHRASES, LONGEST_PHRASE = 24, 300
#: Training images that maps are scaled by.
_SCALE_IMAGES = 64


@dataclasses.dataclass(frozen=True)
class Score:
    """What the model says of one phrase.

    Attributes:
      phrase: a class of the prompt bank, or free text.
      similarity: cosine of image and phrase; for a class, of its prompts together.
      rank: share of the training images that are less similar to the phrase.
      probability: of a class, calibrated on validation data; None where there is no calibration.
      prior: share of positives in that validation data.
      peak: of its heat-map; above 1 it is more than meaningless phrases reach.
    """

    phrase: str
    similarity: float
    rank: float
    probability: float | None = None
    prior: float | None = None
    peak: float = 0.0


@dataclasses.dataclass(frozen=True)
class Reading:
    """The answer about one image.

    Attributes:
      film: the image as it was read: windowed, at most ``SIDE`` pixels long, uint8.
      read_as: format and size of the file, in words.
      scores: in the order of the phrases.
      maps: of the phrases on the film, all on one scale in [0, 1]: 0 where no more is seen than
        for meaningless phrases; NaN where the model did not look.
      neighbours: training records whose images are most similar.
      strangeness: distance from the training images; above 1 it is larger than 99 % of images of
        their kind have.
    """

    film: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]
    read_as: str
    scores: tuple[Score, ...]
    maps: Float[np.ndarray, "k h w"]
    neighbours: tuple[Neighbour, ...]
    strangeness: float

    @property
    def strange(self) -> bool:
        """Whether the image is unlike anything in training."""
        return not self.strangeness <= 1


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
        self._opened = opened = open_run(checkpoint, step)
        self._model = Model(opened)
        self.name = opened.name
        self._bank = opened.eval.map_bank()
        self.library = Library.open(opened, library, held=self._held())
        self._evaluator, self.calibration, self.calibrated_on = self._calibrate()
        known = [c for c in self._model.labels if c in self._bank.classes]
        queries = self._queries(known) if known else np.zeros((0, self.library.embeddings.shape[1]))
        # Against all that was learnt: texts have much in common, and a map of that would show
        # whatever is remarkable.
        self._common = queries.mean(0) if len(known) > 1 else 0.0
        shown = [i for r in self.library.spread(_SCALE_IMAGES) for i in r.images[:1]]
        self._maps = PhraseMaps(
            self._model.embed_patches(shown).astype(np.float64),
            self._queries(MEANINGLESS) - self._common,
            queries - self._common,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that get a calibrated probability."""
        return () if self.calibration is None else self.calibration.classes

    def read(self, data: bytes, phrases: Sequence[str], neighbours: int = 6) -> Reading:
        """Answers about one file.

        Args:
          data: PNG, JPEG, TIFF, WebP or DICOM.
          phrases: class names or free text; at least one.
          neighbours: how many training records to show.

        Raises:
          UserError: the file is no image, or there is no phrase, too many or too long ones.
        """
        phrases = _checked(phrases)
        image, read_as = to_image(data)
        with one_net("this image", "save it again, or as PNG"):
            pixels, matrix = load_image(image.data, image.format, self._opened.data.image, None)
            shown = film(image, SIDE)
        embedded, patches = (
            self._opened.rows(name, [pixels]).astype(np.float64)
            for name in ("image_embed", "patch_embed")
        )
        queries = self._queries(phrases)
        scaled = self._maps(patches[0], queries - self._common)
        plain = heatmap.MapConfig(sigma=0.0)
        maps = [
            heatmap.on_film(m, matrix, shown.shape[0], shown.shape[1], plain) for m in scaled.maps
        ]
        strangeness = self.library.familiar.strangeness(
            layouts(pixels[None]), patch_statistics(patches)
        )
        return Reading(
            film=shown,
            read_as=read_as,
            scores=tuple(self._scores(phrases, embedded, queries, scaled.peaks)),
            maps=np.stack(maps),
            neighbours=self.library.nearest(embedded[0], neighbours),
            strangeness=float(strangeness[0]),
        )

    @property
    def measured_against(self) -> str:
        """What the maps and the warning are scaled by, in a sentence each."""
        familiar = self.library.familiar
        return (
            f"Maps are on one scale: dark is all that {len(MEANINGLESS)} meaningless phrases reach "
            f"on this image and on {self._maps.images} training images. An image is called strange "
            f"where it is farther from {len(familiar.layouts):,} training images than 99 % of "
            f"{familiar.held:,} images of the same kind."
        )

    def _held(self) -> SourceConfig | None:
        """The validation set of the run, where its data is at hand."""
        sets = self._opened.eval.sets
        for name in dict.fromkeys([*(one.validation for one in sets.values()), *sets]):
            if name in sets and pathlib.Path(sets[name].path).exists():
                return SourceConfig(sets[name].path, sets[name].split)
        return None

    def _queries(self, phrases: Sequence[str]) -> Float[np.ndarray, "k e"]:
        """A unit vector per phrase; a class of the bank is the mean of its affirming prompts."""
        rows = []
        for phrase in phrases:
            prompts = self._bank.classes.get(phrase.lower())
            texts = [phrase] if prompts is None else list(prompts.positive)
            rows.append(normalise(self._model.embed_texts(texts).astype(np.float64).mean(0)))
        return np.stack(rows)

    def _scores(
        self,
        phrases: Sequence[str],
        image: np.ndarray,
        queries: np.ndarray,
        peaks: np.ndarray,
    ) -> list[Score]:
        similarity = cosine(image, queries)[0]
        ranks = self.library.ranks(queries, similarity)
        known: dict[str, tuple[float, float]] = {}
        if self.calibration is not None and self._evaluator is not None:
            scores = self._evaluator.class_scores
            found = self.calibration.probabilities(
                scores(image, scores.text(self._opened.predict))
            )[0]
            for name, p, prior in zip(self.classes, found, self.calibration.prior, strict=True):
                if np.isfinite(p):
                    known[name] = float(p), float(prior)
        return [
            Score(p, float(s), float(r), *known.get(p.lower(), (None, None)), float(peak))
            for p, s, r, peak in zip(phrases, similarity, ranks, peaks, strict=True)
        ]

    def _calibrate(self) -> tuple[ZeroShot | None, Calibration | None, str]:
        """Logistic curves from the run's own validation set, where it has one."""
        sets, run = self._opened.eval.sets, self._opened.run
        wanted = [one.validation for one in sets.values() if one.validation in sets]
        for name in wanted:
            one = sets[name]
            if not pathlib.Path(one.path).exists():
                continue
            tokenizer = self._opened.tokenize.tokenizer
            built = evaluators_of(run, tokenizer, tuner=tuner, during_training=False)
            evaluator = built.get(f"{name}-zeroshot")
            if not isinstance(evaluator, ZeroShot) or evaluator.recipe.score != "cosine":
                continue
            result = evaluator(self._opened.predict)
            classes = [row["name"] for row in result.details["classes"]]
            labels, scores = result.arrays["labels"], result.arrays["scores"]
            records = f"{len(labels)} records of {name}, split {one.split}"
            return evaluator, fit_calibration(classes, labels, scores), records
        return None, None, ""


def _checked(phrases: Sequence[str]) -> list[str]:
    """The phrases without blanks and repetitions.

    Raises:
      UserError: none, too many, or one that is too long.
    """
    found = [p for p in dict.fromkeys(" ".join(p.split()) for p in phrases) if p]
    if not found:
        raise UserError("no phrase: write one finding or sentence a line")
    if len(found) > MOST_PHRASES:
        raise UserError(f"{len(found)} phrases are too many: ask at most {MOST_PHRASES} at once")
    for phrase in found:
        if len(phrase) > LONGEST_PHRASE:
            raise UserError(
                f"the phrase that begins {phrase[:30]!r} has {len(phrase)} letters; write at most "
                f"{LONGEST_PHRASE}"
            )
    return found
