"""The stage ``separate``: panels and their printed labels, and what each panel shows."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

import medvlp_jax
from data_gen.pipelines.pubmed.base import Separated, as_json
from data_gen.pipelines.pubmed.figures.config import FiguresConfig
from data_gen.pipelines.pubmed.figures.models import SHIPPED
from data_gen.pipelines.pubmed.figures.separate import Separator
from data_gen.pipelines.pubmed.figures.xy_cut import xy_cut
from data_gen.pipelines.pubmed.records.pixels import crop, pixels_of, rectangle
from data_gen.pipelines.pubmed.screen.classifier import SHIPPED as LOOKS
from data_gen.pipelines.pubmed.screen.images import ImageScreenConfig
from data_gen.pipelines.pubmed.stages import screening
from data_gen.pipelines.pubmed.stages.lines import Line, Row, dropped, gone
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import fingerprint

NAME = "separate"
_BATCH = 16  # figures in memory at a time


@dataclasses.dataclass(frozen=True)
class Separating:
    """Implements :class:`data_gen.pipelines.pubmed.stages.lines.Stage`: ``images``, those that the
    image screen let through, each with ``separated``, ``modalities`` and ``unwanted`` panels.

    Attributes:
      config: of the separator.
      images: of the image screen, which looks at every panel.
      compare: also what the rule without training finds, as ``xy_cut``.
    """

    config: FiguresConfig
    images: ImageScreenConfig
    compare: bool = False
    name: str = NAME
    label: str = "separating"
    needs: tuple[str, ...] = (screening.NAME,)

    @property
    def fingerprint(self) -> str:
        settings = [to_plain(self.config), to_plain(self.images), self.compare]
        models = [*_weights(self.config), screening.weights_digest(self.images.model or LOOKS)]
        return fingerprint(medvlp_jax.__version__, NAME, settings, models)

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """The images of each article, taken apart."""
        todo = [(row, i, one) for row in rows for i, one in screening.numbered(row) if one["keep"]]
        done: dict[str, list[Line]] = {row.item.name: [] for row in rows}
        for start in range(0, len(todo), _BATCH):
            some = todo[start : start + _BATCH]
            pixels = [
                screening.rgb(pixels_of((r.folder / o["graphic"]).read_bytes())) for r, _, o in some
            ]
            separated = _separator(self.config).separate(pixels)
            for (row, i, _), image, found in zip(some, pixels, separated, strict=True):
                done[row.item.name].append(self._line(i, image, found))
        for row in rows:
            why = gone(row)
            yield dropped(row, why) if why else {"id": row.item.name, "images": done[row.item.name]}

    def _line(self, number: int, image: np.ndarray, found: Separated) -> Line:
        line: Line = {
            "image": number,
            "separated": as_json(found),
            "modalities": {},
            "unwanted": {},
        }
        crops = [crop(image, rectangle(p, found.width, found.height)) for p in found.panels]
        for i, seen in enumerate(screening.look(self.images, crops)):
            line["modalities"][str(i)] = screening.modality_of(seen)
            if not seen.keep:
                line["unwanted"][str(i)] = seen.kind
        if self.compare:
            line["xy_cut"] = [as_json(panel) for panel in xy_cut(image)]
        return line


def _weights(config: FiguresConfig) -> list[str]:
    """Digests of both nets."""
    return [
        screening.weights_digest(path or SHIPPED / name)
        for name, path in (("panels", config.panels), ("labels", config.labels))
    ]


@functools.lru_cache(maxsize=1)
def _separator(config: FiguresConfig) -> Separator:
    return Separator(config)


def release() -> None:
    """Gives up the models that this process holds."""
    _separator.cache_clear()
    screening.release()
