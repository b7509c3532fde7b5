"""The pictures that synthetic figures are put together from, drawn once into a data folder.

To draw a phantom takes longer than to lay out a figure of twenty; so a job draws some thousands of
panels, and every article takes its own from them. The pool has the splits of the articles: what an
article of the test split shows is in no article of the training split.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import JobError, Runner, Shard
from data_gen.phantom.base import FindingMix, Phantom, Study
from data_gen.phantom.job import SPLIT_START
from data_gen.phantom.records import encode
from data_gen.phantom.registry import find_phantom
from data_gen.pipelines.pubmed.base import as_json, from_json
from data_gen.pipelines.pubmed.drawings.registry import draw
from data_gen.pipelines.pubmed.synthetic.panel import (
    KINDS,
    Kind,
    Panel,
    panel_of,
    shown_in,
    technique_of,
)
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.fields import Extent, Inside, Seed, Size
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Box, Image, Record, with_content_hash

INDEX = "panels.jsonl"
_TRIES = 64  # studies among which one of the wanted region is found
_ILL = FindingMix(normal=0.12)


@dataclasses.dataclass(frozen=True)
class PoolConfig:
    """How many pictures there are to choose from.

    Attributes:
      size: longer side in pixels.
      brain: pictures each of brain MRI and CT.
      others: pictures of every other kind.
      held_out: share of each that only articles of the validation split show, and as many again
        that only those of the test split do.
      per_shard: of which one is made, and resumed, at a time.
    """

    size: Extent = 256
    brain: Size = 1200
    others: Size = 100
    held_out: Inside = 0.12
    per_shard: Size = 100

    def __post_init__(self) -> None:
        if not 0.01 <= self.held_out <= 0.4:
            raise ValueError(f"held_out={self.held_out} must be 0.01 to 0.4")
        if self.size < 64:
            raise ValueError(f"size={self.size} must be at least 64 pixels")


@dataclasses.dataclass(frozen=True)
class PoolJob:
    """Implements :class:`data_gen.jobs.job.Job`.

    Attributes:
      config: of the pool.
      seed: of the pictures.
    """

    config: PoolConfig
    seed: Seed = 0

    @property
    def description(self) -> str:
        return f"Panels of synthetic figures, made by medvlp_jax {medvlp_jax.__version__}."

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, "panels", to_plain(self.config), self.seed)

    def _pieces(self, split: str) -> list[tuple[Kind, int, int]]:
        c, out = self.config, []
        for kind in KINDS.values():
            count = c.brain if kind.brain else c.others
            held = max(1, round(c.held_out * count))
            mine = held if split != "train" else max(1, count - 2 * held)
            for start in range(0, mine, c.per_shard):
                out.append((kind, start, min(start + c.per_shard, mine)))
        return out

    def shards(self) -> list[Shard]:
        out = []
        for split in SPLIT_START:
            pieces, start = self._pieces(split), 0
            for i, (_, first, last) in enumerate(pieces):
                name = ShardName("panels", split, i, len(pieces))
                out.append(Shard(name, start, start + last - first))
                start += last - first
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The panels of a shard, all of one kind."""
        split = shard.name.split
        kind, start, stop = self._pieces(split)[shard.name.index]
        places = range(start, stop)
        if kind.phantom:
            yield from self._drawn_by_phantom(kind, split, places)
        else:
            yield from self._drawn(kind, split, places)

    def _drawn_by_phantom(self, kind: Kind, split: str, places: range) -> Iterator[Record]:
        phantom = find_phantom(kind.phantom)
        for start in range(places.start, places.stop, 16):
            some = range(start, min(start + 16, places.stop))
            studies = [self._study(phantom, kind, SPLIT_START[split] + i * _TRIES) for i in some]
            rendered = phantom.render(studies, self.config.size, masks=False)
            for i, study, pixels, boxes in zip(
                some, studies, rendered.images, rendered.boxes, strict=True
            ):
                shown = shown_in(phantom, study, boxes)
                told = {
                    "kind": kind.name,
                    "technique": technique_of(study),
                    "shown": [as_json(one) for one in shown],
                }
                yield self._record(kind, split, i, pixels, told, study.labels())

    def _study(self, phantom: Phantom, kind: Kind, first: int) -> Study:
        for index in range(first, first + _TRIES):
            study = phantom.sample(self.seed, index, _ILL)
            if _site(study).startswith(kind.site):
                return study
        raise JobError(f"no {kind.name} among {_TRIES} studies; use another seed")

    def _drawn(self, kind: Kind, split: str, places: range) -> Iterator[Record]:
        for i in places:
            # Wider than high, as most charts are; the shape is a function of the place.
            rng = np.random.default_rng([self.seed, SPLIT_START[split] + i, len(kind.name)])
            width = self.config.size
            height = int(width * rng.uniform(0.6, 1.0))
            drawing = kind.drawings[int(rng.integers(len(kind.drawings)))]
            # Drawn large and made small, as figures are when they are looked at.
            large = draw(drawing, int(rng.integers(2**31)), (2 * height, 2 * width))
            pixels = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
            told = {"kind": kind.name, "technique": "", "shown": []}
            yield self._record(kind, split, i, pixels, told, {})

    def _record(
        self,
        kind: Kind,
        split: str,
        place: int,
        pixels: np.ndarray,
        told: dict[str, Any],
        labels: dict[str, int],
    ) -> Record:
        height, width = pixels.shape[:2]
        data = encode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
        boxes = tuple(
            Box(b["x0"], b["y0"], b["x1"], b["y1"], one["name"], one["phrases"][0])
            for one in told["shown"]
            for b in one["boxes"]
        )
        return with_content_hash(
            Record(
                id=f"{kind.name}-{split}-{place:06d}",
                images=(Image(data, "png", "", kind.modality, width, height),),
                split=split,
                boxes=boxes,
                labels=labels,
                provenance={"generator": "pubmed panels", "seed": self.seed, "panel": told},
            )
        )


def _site(study: Any) -> str:
    return str(getattr(study, "site", "") or getattr(study, "region", ""))


def make_pool(
    config: PoolConfig,
    seed: int,
    folder: str | os.PathLike[str],
    processes: int = 0,
    progress: bool = True,
    runner: Runner | None = None,
) -> None:
    """Draws the panels that ``folder`` lacks; see :func:`data_gen.jobs.run.run_job`."""
    jobs.run_job(PoolJob(config, seed), folder, processes, progress, runner)
    index = pathlib.Path(folder, INDEX)
    if not index.exists():
        lines = []
        for split in SPLIT_START:
            source = open_dataset(folder, split)
            panels = (panel_of(source[i], i) for i in range(len(source)))
            lines += [jsonl.line(as_json(panel)) for panel in panels]
        replace(index, "".join(lines))


class Pool:
    """Panels by split and kind, and their pixels; safe for several threads.

    Attributes:
      panels: (split, kind) -> panels, in order.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """``folder``: where :func:`make_pool` was brought to its end.

        Raises:
          JobError: it was not.
        """
        self._folder = pathlib.Path(folder)
        mend = "delete the folder and repeat the command"
        with one_net(self._folder / INDEX, mend, JobError):
            lines = jsonl.read(self._folder / INDEX, mend, JobError)
            found = [from_json(Panel, line) for line in lines]
        self.panels: dict[tuple[str, str], list[Panel]] = {}
        for panel in found:
            self.panels.setdefault((panel.split, panel.kind), []).append(panel)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_sources"}

    @functools.cached_property
    def _sources(self) -> Mapping[str, Any]:
        return {split: open_dataset(self._folder, split) for split in SPLIT_START}

    def pixels(self, panel: Panel) -> np.ndarray:
        """uint8 [h, w] or [h, w, 3] in red, green, blue."""
        image = self._sources[panel.split][panel.position].images[0]
        return decode(image.data, image.format)


def digest(panels: Sequence[Panel]) -> str:
    """Of what a pool holds, for fingerprints."""
    return fingerprint(json.dumps([as_json(panel) for panel in panels]))
