"""The model object of the public API."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.eval import vectors
from medvlp_jax.eval.embedded import Predicted
from medvlp_jax.eval.grounding import heatmap as maps
from medvlp_jax.eval.grounding.regions import ClassMaps, ClassQuery, class_maps
from medvlp_jax.eval.zeroshot.prompt_tokens import cut_texts
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING
from medvlp_jax.run.api import features as features_of
from medvlp_jax.run.api.batches import Given, ReadFn, look
from medvlp_jax.run.api.classes import ClassesLike, ZeroShotScores, class_scores, probabilities
from medvlp_jax.run.api.features import Features
from medvlp_jax.run.api.images import ImageLike, ImagesLike, as_image, called, film, one_by_one
from medvlp_jax.run.api.opened import Opened

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """Where an image is similar to a phrase.

    Attributes:
      phrase: that was asked for.
      film: the image, uint8.
      values: cosines on the pixels of ``film``, float64; NaN where the model did not look (what a
        square crop leaves out).
      patches: cosines on the grid of the model's patches.
    """

    phrase: str
    film: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]
    values: Float[np.ndarray, "h w"]
    patches: Float[np.ndarray, "y x"]


class Model:
    """A model of images and texts that answers; :func:`medvlp_jax.load` opens one.

    Images are paths (PNG, JPEG, TIFF, WebP, DICOM), bytes of such files, NumPy arrays (uint8,
    uint16, or fractions in 0..1; [h, w] or [h, w, 3]) or images of Pillow, mixed as one likes. They
    become the model's input as in evaluation. Whatever cannot be read is refused in one line.

    Vectors are float32 of length one.
    """

    def __init__(self, opened: Opened):
        self._opened = opened

    @property
    def name(self) -> str:
        """Of the run and its step, or of the published weights."""
        return self._opened.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that the run was trained with; none for published weights."""
        return self._opened.data.labels

    @property
    def config(self) -> dict[str, Any]:
        """The config of the run, or of the published model, as plain values."""
        return self._opened.config

    def __repr__(self) -> str:
        return f"<medvlp_jax model: {self.name}>"

    def describe(self) -> str:
        """A few lines: what it is, what it reads, and how zero-shot scores come about."""
        o = self._opened
        how, words = o.eval.recipe(), o.tokenize
        return (
            f"{o.about}\n"
            f"images: {o.data.image.size} px, {o.data.image.channels} channel(s), "
            f"resize {o.data.image.resize}\n"
            f"texts: {words.longest} tokens of {words.tokenizer.name}\n"
            f"labels: {', '.join(self.labels) or 'none'}\n"
            f"zero-shot: protocol {how.name or how.rule}, prompt bank {how.prompts}"
        )

    def embed_images(
        self, images: ImagesLike, *, batch_size: int | None = None
    ) -> Float[np.ndarray, "n e"]:
        """Vectors of images, one row each; a single image gives one row.

        Args:
          images: see :class:`Model`.
          batch_size: images that the model sees at once; None: as evaluation.

        Raises:
          UserError: there is no image, or one cannot be read; it is named.
        """
        return self._read(images, self._predicted("image_embed"), batch_size)

    def embed_patches(self, images: ImagesLike) -> Float[np.ndarray, "n y x e"]:
        """Vectors of the patches of images, on the model's grid; as :meth:`embed_images`."""
        return self._read(images, self._predicted("patch_embed"))

    def embed_texts(self, texts: str | Sequence[str]) -> Float[np.ndarray, "n e"]:
        """Vectors of texts, one row each; a single text gives one row.

        A text that is longer than the model reads is cut, and a warning says so.

        Raises:
          UserError: there is no text, or something that is none.
        """
        found = [texts] if isinstance(texts, str) else list(texts)
        wrong = next((t for t in found if not isinstance(t, str) or not t.strip()), None)
        if wrong is not None:
            raise UserError(f"{wrong!r:.60} is no text; give strings that say something")
        if not found:
            raise UserError("there is no text: the list is empty; give one or more")
        tokenize = self._opened.tokenize
        if cut := cut_texts(tokenize, found):
            about = cut["prompts_cut"]
            _log.warning(
                "%d of %d texts are longer than the %d tokens that the model reads; the rest of "
                "them is not seen", about["count"], about["of"], about["read"],
            )  # fmt: skip
        rows = vectors.embed_texts(self._opened.predict, tokenize, found)
        return rows.astype(np.float32)

    def similarity(
        self, images: ImagesLike, texts: str | Sequence[str]
    ) -> Float[np.ndarray, "n m"]:
        """Cosine of every image with every text, float64 in -1..1."""
        text = self.embed_texts(texts)
        return vectors.cosine(self.embed_images(images), text)

    def zero_shot(
        self,
        images: ImagesLike,
        classes: ClassesLike,
        *,
        prompts: str | os.PathLike[str] | None = None,
        protocol: str | None = None,
        temperature: float | None = None,
    ) -> ZeroShotScores:
        """Scores images for classes that are given in words, as evaluation does.

        Args:
          images: see :class:`Model`.
          classes: names of classes of the prompt bank; or a dict from name to prompts: a string,
            a list, or ``{"positive": [...], "negative": [...]}``.
          prompts: a prompt bank by name (``reports``) or a JSON file; None: that of the protocol.
          protocol: a word of ``eval.zeroshot.recipes.RECIPES``; None: that of the run. Prompts of
            your own that only affirm are then weighed against each other (``multiclass``), and
            divided by the temperature of the model.
          temperature: changes that of the protocol: smaller ones make probabilities more decided
            and leave the order of the images alone (but with ``multiclass``).

        Raises:
          UserError: an unknown class, no class, no image, or settings that do not go together.
        """
        o = self._opened
        scores = class_scores(o, classes, prompts, protocol, temperature)
        text = scores.text(o.predict)
        rows = self._read(images, scores.column().start(o.predict, _gather))
        found = scores(rows, text)
        return ZeroShotScores(
            scores.classes, found, probabilities(scores.recipe, found), scores.describe()
        )

    def heatmap(
        self,
        image: ImageLike,
        phrase: str,
        *,
        query: ClassQuery = "positive",
        protocol: maps.MapProtocol | None = None,
        side: int | None = None,
    ) -> HeatMap:
        """Where an image is similar to a phrase, as grounding measures it.

        Args:
          image: one image.
          phrase: free text, or a class of the run's prompt bank, which stands for its affirming
            prompts.
          query: ``positive``: the cosine; ``contrast``: less its mean over the labels of the run,
            because all texts have much in common; ``difference``: less that with the denying
            prompts of a class of the bank.
          protocol: from patches to pixels, a word of ``eval.grounding.heatmap.MAPS``; None: that
            of the run.
          side: of the longer side of film and map in pixels; None: that of the image.

        Raises:
          UserError: the image cannot be read, or the query does not go with the phrase.
        """
        o = self._opened
        only = one_by_one(image)
        if len(only) != 1:
            raise UserError(f"a heat-map is of one image, not of {len(only)}; call it for each")
        if not isinstance(phrase, str) or not phrase.strip():
            raise UserError(f"{phrase!r:.60} is no phrase; give a text that says something")
        word = protocol or o.eval.maps
        if word not in maps.MAPS:
            raise UserError(f"protocol={word!r} is not one of {', '.join(maps.MAPS)}")
        with one_net(called(only[0], 0), "save it again, or as PNG"):
            stored = as_image(only[0])
            pixels, matrix = load_image(stored.data, stored.format, o.data.image, None)
            shown = film(stored, side or 0)
        text = self._asked(phrase, query).queries(o.predict).astype(np.float32)
        patches = np.einsum("hwe,qe->qhw", o.rows("patch_embed", [pixels])[0], text)[0]
        height, width = shown.shape[:2]
        values = maps.on_film(patches, matrix, height, width, maps.MAPS[word])
        return HeatMap(phrase, shown, values, patches)

    def features(
        self,
        folder: str | os.PathLike[str],
        *,
        split: str | None = None,
        out: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
    ) -> Features:
        """Vectors of all images of a folder, at the speed of an evaluation.

        Args:
          folder: a data folder, of whose records the first image of the run's views is taken; or a
            folder of image files, with the folders in it.
          split: of a data folder; None: the only one that it has.
          out: an ``.npz`` file, which appears whole or not at all, with ``ids`` and ``vectors``,
            with ``refused`` and ``reasons`` for what could not be read, and ``model``, its name.
          batch_size: images that the model sees at once; None: as evaluation.

        Raises:
          UserError: there is no such folder or split, nothing in it can be read, or ``out`` cannot
            be written.
        """
        return features_of.features(self._opened, folder, split, out, _size(batch_size))

    def _read(self, images: ImagesLike, read: ReadFn, batch_size: int | None = None) -> np.ndarray:
        given = Given(one_by_one(images))
        found = look(self._opened, given, read, _size(batch_size), all_or_none=True)
        return found.rows

    def _predicted(self, name: str) -> ReadFn:
        return Predicted(name).start(self._opened.predict, _gather)

    def _asked(self, phrase: str, query: ClassQuery) -> ClassMaps:
        o = self._opened
        bank = o.eval.map_bank()
        among = [c for c in self.labels or tuple(bank.classes) if c in bank.classes]
        among = [c for c in among if c != NO_FINDING]
        if phrase.lower() in bank.classes:
            return class_maps(bank, [phrase.lower()], o.tokenize, query, among)
        if query == "difference":
            raise UserError(
                f"query='difference' needs denying prompts, and {phrase!r:.60} is no class of "
                f"prompt bank {bank.name!r}; it has {', '.join(bank.classes)}"
            )
        others = tuple(p.positive for p in bank.select(among)) if query == "contrast" else ()
        return ClassMaps(((phrase,),), (), others, o.tokenize)


def _gather(rows: np.ndarray) -> np.ndarray:
    return rows


def _size(batch_size: int | None) -> int:
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size={batch_size} must be positive")
    return batch_size or 0
