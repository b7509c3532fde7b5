"""Models of ours as encoders: a trained CLIP, or a vision tower with published weights."""

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_gen.curation.candidate import Pixels
from data_gen.curation.duplicates import unit
from data_gen.curation.encoders.base import EncoderConfig
from data_gen.phantom.base import Phantom
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef
from medvlp_jax.core.step import abstract_model
from medvlp_jax.data.images import geometry
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.images.decoding import to_gray
from medvlp_jax.eval.vectors import embed_texts, ensemble
from medvlp_jax.models.vit import ViTConfig
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config
from medvlp_jax.tasks.images import normalise
from medvlp_jax.weights.families import build
from medvlp_jax.weights.source import open_source

#: Unrelated texts that a text is compared with, and the longest that is read, in tokens.
_OTHERS, _LONGEST = 128, 64


class ClipEncoder:
    """The image tower of a checkpoint of ours.

    It is trained to put films of the same findings together, so both thresholds are for copies. Of
    a model of 128 dimensions, trained on 6000 procedural studies: films of two patients come as
    near as 0.996, a JPEG copy of quality 30 has 0.999 (median), and films spoilt in one way are no
    nearer to others spoilt in the same way than sound films are.
    """

    bad_threshold = 0.998
    same_threshold = 0.998

    def __init__(self, config: EncoderConfig) -> None:
        self._clip = open_clip_of_ours(config.model, config.batch_size)
        self.width = self._clip.width

    def encode(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        """See :class:`data_gen.curation.encoders.base.Encoder`."""
        return self._clip.images(images)


class TowerEncoder:
    """A DINOv2 (RAD-DINO) or another vision tower, from a folder that ``weights`` reads.

    Attributes:
      bad_threshold: 0.5, which the SynCXR paper is said to use with RAD-DINO; not measured here,
        because its weights are not at hand.
    """

    bad_threshold = 0.5
    same_threshold = 0.95

    def __init__(self, config: EncoderConfig) -> None:
        source = open_source(config.model).tower("vision")
        model = ModelDef.of(build(source.config))
        mesh = make_mesh(MeshConfig())
        arrays = source.load(*abstract_model(model, mesh))
        pixels = source.pixels
        channels = source.config.channels
        side = source.config.image_size if isinstance(source.config, ViTConfig) else 224
        self._image = ImageConfig(size=side, channels=channels)
        self._batch = config.batch_size

        def embed(tower: Any, batch: Any) -> Any:
            return tower(normalise(batch["image"], pixels.mean, pixels.std)).pooled

        self._predict = Predictor(model, {"embed": embed}, mesh).with_arrays(*arrays)
        self.width = int(self._rows([np.zeros((side, side), np.uint8)]).shape[1])

    def encode(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        """See :class:`data_gen.curation.encoders.base.Encoder`."""
        if not len(images):
            return np.zeros((0, self.width), np.float32)
        return unit(self._rows(images)).astype(np.float32)

    def _rows(self, images: Sequence[Pixels]) -> np.ndarray:
        return in_batches(
            [fitted(image, self._image) for image in images],
            self._batch,
            lambda batch: self._predict("embed", {"image": batch}),
        )


class OurClip:
    """A checkpoint of ours: images and texts to unit vectors of one space."""

    def __init__(self, checkpoint: str, batch_size: int) -> None:
        stored = stored_config(checkpoint)
        stored["data"]["batch_size"] = 8 * batch_size  # any that its checks let pass; unused here
        experiment = Run(stored)
        self._image = experiment.config.data.image
        self._tokenizer = experiment.tokenizer()
        self._predict = experiment.load(checkpoint)
        self._length = min(_LONGEST, experiment.model_config.text.max_length)
        self._batch = batch_size
        self._embedded: dict[str, np.ndarray] = {}  # texts of other studies, by modality
        self.width = int(self.images([np.zeros((self._image.size,) * 2, np.uint8)]).shape[1])

    def images(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n d"]:
        """Unit vectors, float32; pictures are fitted as an evaluation of the checkpoint does."""
        if not len(images):
            return np.zeros((0, self.width), np.float32)
        pixels = [fitted(image, self._image) for image in images]
        rows = in_batches(
            pixels, self._batch, lambda batch: self._predict("image_embed", {"image": batch})
        )
        return unit(rows).astype(np.float32)

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit vectors, float64."""
        return embed_texts(self._predict, self._tokenize, list(texts), self._batch)

    def prompts(self, sides: Sequence[Sequence[str]]) -> Float[np.ndarray, "s d"]:
        """One unit vector per list of prompts: their mean."""
        return ensemble(self._predict, self._tokenize, sides)

    def _tokenize(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return self._tokenizer(list(texts), self._length)

    def _others(self, phantom: Phantom) -> np.ndarray:
        if phantom.name not in self._embedded:
            self._embedded[phantom.name] = self.texts(other_texts(phantom, _OTHERS))
        return self._embedded[phantom.name]

    def beaten(
        self, images: Sequence[Pixels], texts: Sequence[str], phantom: Phantom
    ) -> list[float | None]:
        """Per image the share of unrelated texts that are farther from it than its own text.

        The others are impressions of ``phantom``, of the images' modality. Texts that say the same
        as its own count as half beaten. None where it has no text.
        """
        said = [i for i, text in enumerate(texts) if text.strip()]
        found: list[float | None] = [None] * len(texts)
        if not said:
            return found
        pictures = self.images([images[i] for i in said]).astype(np.float64)
        own = self.texts([texts[i] for i in said])
        # Rounded: equal texts have to tie whatever their place in a matrix product.
        mine = np.round((pictures * own).sum(1, keepdims=True), 6)
        theirs = np.round(pictures @ self._others(phantom).T, 6)
        shares = ((theirs < mine) + 0.5 * (theirs == mine)).mean(1)
        for i, share in zip(said, shares, strict=True):
            found[i] = float(share)
        return found


@functools.lru_cache(maxsize=2)
def open_clip_of_ours(checkpoint: str, batch_size: int) -> OurClip:
    """A checkpoint, loaded once for encoder, judge and agreement.

    Raises:
      UserError: there is none, or it is no CLIP.
    """
    return OurClip(checkpoint, batch_size)


@functools.cache
def other_texts(phantom: Phantom, count: int) -> tuple[str, ...]:
    """Impressions of procedural studies that no data job makes, all different."""
    found: dict[str, None] = {}
    index = 3_000_000_000
    while len(found) < count:
        found[phantom.report(phantom.sample(0, index), 0).impression] = None
        index += 1
    return tuple(found)


def fitted(image: Pixels, config: ImageConfig) -> UInt8[np.ndarray, "s s c"]:
    """The network's input of a picture, as an evaluation makes it."""
    pixels = to_gray(image) if config.channels == 1 else image
    height, width = pixels.shape[:2]
    place = geometry.snap(geometry.matrix(config.resize, width, height), width, height)
    out = geometry.warp(pixels, place, config.size)
    if config.channels == 1:
        return out[:, :, None]
    return out if out.ndim == 3 else cv2.cvtColor(out, cv2.COLOR_GRAY2RGB)


def in_batches(rows: Sequence[np.ndarray], size: int, function: Any) -> Float[np.ndarray, "n d"]:
    """``function`` of stacks of exactly ``size`` rows, the last filled up; compiled once."""
    found = []
    for start in range(0, len(rows), size):
        part = list(rows[start : start + size])
        full = np.stack(part + [part[0]] * (size - len(part)))
        found.append(np.asarray(function(full))[: len(part)])
    return np.concatenate(found)
