"""The training images of a run as a searchable table of embeddings, kept in its workdir.

The same pass notes what training images look like, see :mod:`.familiar`.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.config import dumps
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files import npz
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Record
from medvlp_jax.eval.vectors import normalise
from medvlp_jax.run.api.trained import OpenedRun
from medvlp_jax.run.demo.familiar import Familiar, layouts, patch_statistics

_log = logging.getLogger(__name__)
_BATCH = 64
#: Images that the thresholds of :mod:`.familiar` are taken from, and the layout of the file.
_HELD, _VERSION = 500, 2


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
      familiar: what training images look like.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], sources: list[Any]):
        self.embeddings, self._places = arrays["embeddings"], arrays["places"]
        self._sources = sources
        self.familiar = Familiar(
            arrays["layouts"].astype(np.float32),
            arrays["mean"],
            arrays["precision"],
            arrays["limits"],
            float(arrays["limit"]),
            int(arrays["held"]),
        )

    @classmethod
    def open(
        cls,
        opened: OpenedRun,
        limit: int,
        held: SourceConfig | None = None,
    ) -> "Library":
        """Reads the table of this checkpoint, or makes it: one pass over the training images.

        A table that cannot be read is made again.

        Args:
          opened: the checkpoint.
          limit: at most so many training images.
          held: images of the same kind that were not trained on, which say how far from training
            an image may be; None: every fifth training image stands in for them.

        Raises:
          UserError: a data folder is missing or cannot be read.
        """
        data = opened.data
        sources = [open_dataset(s.path, s.split) for s in data.sources]
        said = [_VERSION, opened.step, limit, dumps(data), [len(s) for s in sources], held]
        key = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
        file = opened.workdir / "library" / f"{key}.npz"
        if file.exists():
            try:
                with one_net(file, "it is made again"):
                    return cls(npz.read(file), sources)
            except UserError as error:
                _log.warning("%s", error)

        def read(source: Any, count: int) -> _Pass:
            return _Pass(opened, _Head(source, count))

        passes, places = [], []
        total = sum(map(len, sources))
        for number, source in enumerate(sources):
            share = min(len(source), max(1, limit * len(source) // total))
            _log.warning("embedding %d training images of %s", share, data.sources[number].path)
            passes.append(read(source, share))
            where = passes[-1].places
            places.append(np.stack([np.full(len(where), number), where], 1))
        layout = np.concatenate([p.layouts for p in passes])
        statistics = np.concatenate([p.statistics for p in passes])
        if held is not None:
            apart = read(open_dataset(held.path, held.split), _HELD)
            familiar = Familiar.fit(layout, statistics, apart.layouts, apart.statistics)
        else:
            fifth = np.arange(len(layout)) % 5 == 0
            rest = ~fifth if len(layout) > 1 else fifth
            familiar = Familiar.fit(
                layout[rest], statistics[rest], layout[fifth], statistics[fifth]
            )
        arrays = {
            "embeddings": normalise(np.concatenate([p.embeddings for p in passes])),
            "places": np.concatenate(places).astype(np.int64),
            "layouts": familiar.layouts.astype(np.float16),
            "mean": familiar.mean,
            "precision": familiar.precision,
            "limits": familiar.limits,
            "limit": np.float64(familiar.limit),
            "held": np.int64(familiar.held),
        }
        arrays["embeddings"] = arrays["embeddings"].astype(np.float32)
        file.parent.mkdir(exist_ok=True)
        npz.write(file, arrays)
        return cls(arrays, sources)

    def spread(self, count: int) -> list[Record]:
        """Records evenly spaced over the table."""
        rows = np.linspace(0, len(self._places) - 1, min(count, len(self._places))).astype(int)
        return [self._sources[source][int(index)] for source, index in self._places[rows]]

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
        self._source, self._count = source, min(count, len(source))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return self._source[index]


class _Pass:
    """What one pass over images gives.

    Attributes:
      embeddings: as the model gives them.
      layouts, statistics: see :mod:`.familiar`.
      places: position of each row in its source.
    """

    def __init__(self, opened: OpenedRun, source: _Head) -> None:
        rows: list[tuple[np.ndarray, ...]] = []
        predict = opened.predict
        batches = eval_batches(opened.data, source, _BATCH, columns=("image",))
        for i, batch in enumerate(batches):
            shown = {"image": batch["image"]}
            valid = np.flatnonzero(batch["valid"])
            rows.append(
                (
                    np.asarray(predict("image_embed", shown))[valid],
                    layouts(batch["image"][valid]),
                    patch_statistics(np.asarray(predict("patch_embed", shown))[valid]),
                    i * _BATCH + valid,
                )
            )
        if not sum(len(r[0]) for r in rows):
            raise UserError("no image of the data can be read; look at the warnings above")
        self.embeddings, self.layouts, self.statistics, self.places = (
            np.concatenate(part) for part in zip(*rows, strict=True)
        )
