"""The training images of a run as a searchable table of embeddings, kept in its workdir."""

import dataclasses
import hashlib
import logging
import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.config import dumps
from medvlp_jax.core.predict import Predictor
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.dataset import open_dataset
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.records import Record
from medvlp_jax.data.tokenizer import Tokenizer
from medvlp_jax.eval.vectors import normalise

_log = logging.getLogger(__name__)
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A training record, and the cosine of its image with the one that was asked about."""

    record: Record
    similarity: float

    @property
    def provenance(self) -> str:
        """Where it comes from, in a few words."""
        said = self.record.provenance
        keys = ("generator", "source", "version", "seed", "index", "source_path")
        known = [f"{k} {said[k]}" for k in keys if isinstance(said.get(k), str | int)]
        return ", ".join([self.record.id, *known])


class Library:
    """Unit embeddings of training images, with the way back to their records.

    Attributes:
      embeddings: unit vectors.
    """

    def __init__(
        self, embeddings: Float[np.ndarray, "n e"], places: np.ndarray, sources: list[Any]
    ):
        self.embeddings, self._places, self._sources = embeddings, places, sources

    @classmethod
    def open(
        cls,
        workdir: pathlib.Path,
        step: str,
        data: DataConfig,
        tokenizer: Tokenizer,
        predict: Predictor,
        limit: int,
    ) -> "Library":
        """Reads the table of this checkpoint, or makes it: one pass over the training images.

        Raises:
          UserError: a data folder is missing or cannot be read.
        """
        sources = [open_dataset(s.path, s.split) for s in data.sources]
        said = [step, limit, dumps(data), [len(s) for s in sources]]
        key = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
        file = workdir / "library" / f"{key}.npz"
        if file.exists():
            with np.load(file) as kept:
                return cls(kept["embeddings"], kept["places"], sources)
        embeddings, places = [], []
        for number, source in enumerate(sources):
            share = min(len(source), max(1, limit * len(source) // sum(map(len, sources))))
            _log.warning("embedding %d training images of %s", share, data.sources[number].path)
            batches = eval_batches(data, _Head(source, share), _BATCH, tokenizer=tokenizer)
            for i, batch in enumerate(batches):
                rows = predict("image_embed", {"image": batch["image"]})
                valid = np.flatnonzero(batch["valid"])
                embeddings.append(rows[valid])
                places.append(np.stack([np.full(len(valid), number), i * _BATCH + valid], 1))
        table = normalise(np.concatenate(embeddings).astype(np.float32))
        where = np.concatenate(places).astype(np.int64)
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        with temporary.open("wb") as out:
            np.savez(out, embeddings=table, places=where)
        temporary.replace(file)
        return cls(table, where, sources)

    def nearest(self, image: Float[np.ndarray, "e"], count: int) -> tuple[Neighbour, ...]:
        """The records whose images are most similar, best first."""
        similarity = self.embeddings @ normalise(image).astype(np.float32)
        best = np.argsort(-similarity, kind="stable")[:count]
        return tuple(
            Neighbour(self._sources[source][int(index)], float(similarity[row]))
            for row, (source, index) in zip(best, self._places[best], strict=True)
        )

    def ranks(
        self, queries: Float[np.ndarray, "k e"], similarity: Float[np.ndarray, "k"]
    ) -> Float[np.ndarray, "k"]:
        """Share of the training images that are less similar to each query than ``similarity``."""
        return (self.embeddings @ queries.T.astype(np.float32) < similarity).mean(0)


class _Head:
    """The first records of a source."""

    def __init__(self, source: Any, count: int):
        self._source, self._count = source, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return self._source[index]
