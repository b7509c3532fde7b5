"""Composites as a data job: shards of records with boxes."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard, cut_splits
from data_gen.jobs.run import JobResult
from data_gen.phantom.job import SPLIT_START
from data_gen.pipelines.pubmed.compose.config import CompositesConfig
from data_gen.pipelines.pubmed.compose.figure import Composite, compose
from data_gen.pipelines.pubmed.compose.layouts import RealLayout, Rect, read_layouts
from data_gen.pipelines.pubmed.compose.pool import (
    Part,
    Pool,
    PoolConfig,
    load_pool,
    make_pool,
    save_pool,
)
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Box, Image, Record, with_content_hash

#: ``provenance["generator"]`` of a composite.
GENERATOR = "composites"


@dataclasses.dataclass(frozen=True)
class CompositesJob:
    """Implements :class:`data_gen.jobs.job.Job`; ``pools`` is where the pictures lie."""

    config: CompositesConfig
    pools: str

    @property
    def description(self) -> str:
        return (
            "Compound figures of phantoms and drawings with boxes of panels, images and labels: "
            f"seed {self.config.seed}, made by medvlp_jax {medvlp_jax.__version__}."
        )

    @property
    def fingerprint(self) -> str:
        settings = to_plain(self.config)
        for key in ("processes", "layouts", "score"):
            del settings[key]
        layouts = [one.id for held in (False, True) for one in self._layouts(held)]
        return fingerprint(medvlp_jax.__version__, settings | {"layouts": layouts})

    def shards(self) -> list[Shard]:
        c = self.config
        return cut_splits(c.name, dataclasses.asdict(c.splits), c.per_shard)

    def records(self, shard: Shard) -> Iterator[Record]:
        for i in range(shard.start, shard.stop):
            yield self.make(shard.name.split, i)

    def make(self, split: str, index: int) -> Record:
        """The figure ``index`` of a split; a function of the config and the two alone."""
        c = self.config
        rng = np.random.default_rng((c.seed, SPLIT_START[split] + index))
        real = self._layouts(split != "train") if rng.random() < c.real else ()
        figure = compose(rng, self._pool(split), c.sizes, real, vary=split == "train")
        quality = int(rng.integers(c.quality[0], c.quality[1] + 1))
        return record_of(figure, f"{c.name}-{split}-{c.seed}-{index:07d}", split, quality)

    def _layouts(self, held_out: bool) -> tuple[RealLayout, ...]:
        return read_layouts(self.config.layouts, held_out) if self.config.layouts else ()

    def _pool(self, split: str) -> Pool:
        return opened_pool(os.path.join(self.pools, part_of(split)))


def part_of(split: str) -> Part:
    """Which pictures a split shows."""
    return "train" if split == "train" else "held_out"


@functools.lru_cache(maxsize=2)
def opened_pool(folder: str) -> Pool:
    """A pool that stays in memory."""
    return load_pool(folder)


def record_of(figure: Composite, id: str, split: str, quality: int) -> Record:
    """A figure as a record; what is written stands in the phrases of its boxes."""
    height, width = figure.pixels.shape[:2]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(".jpeg", figure.pixels[..., ::-1], options)
    assert done

    def box(rect: Rect, label: str, phrase: str = "") -> Box:
        x0, x1 = (min(max(x / width, 0.0), 1.0) for x in (rect.x0, rect.x1))
        y0, y1 = (min(max(y / height, 0.0), 1.0) for y in (rect.y0, rect.y1))
        return Box(x0, y0, x1, y1, label, phrase)

    boxes = []
    for panel in figure.panels:
        boxes.append(box(panel.box, "panel", panel.label))
        boxes += [box(rect, "image") for rect in panel.images]
        if panel.label_box is not None:
            boxes.append(box(panel.label_box, "label", panel.label))
    boxes += [box(rect, "decoy", text) for rect, text in figure.decoys]
    style = figure.lettering
    about = {
        "generator": GENERATOR,
        "version": medvlp_jax.__version__,
        "gutter": figure.gutter,
        "real_layout": figure.real,
        "quality": quality,
        "lettering": None if style is None else to_plain(style),
    }
    return with_content_hash(
        Record(
            id=id,
            patient_id=id,
            split=split,
            images=(Image(data.tobytes(), "jpeg", "", "figure", width, height),),
            labels={"compound": int(len(figure.panels) > 1)},
            boxes=tuple(boxes),
            provenance=about,
        )
    )


def make_pools(config: Any, folder: pathlib.Path) -> pathlib.Path:
    """The pools of a config (its ``seed``, ``pool``, ``splits``) below ``folder``; those that are
    there are kept."""
    pool = PoolConfig(config.pool.per_modality, config.pool.drawings, config.pool.side)
    key = fingerprint(medvlp_jax.__version__, to_plain(pool) | {"seed": config.seed})[:16]
    home = folder / f"pool-{key}"
    wanted = {part_of(s) for s, n in dataclasses.asdict(config.splits).items() if n}
    parts: tuple[Part, ...] = ("held_out", "train")
    for part in parts:
        if part in wanted and not (home / part / "pool.zip").exists():
            save_pool(make_pool(pool, part, config.seed), home / part)
    return home


def generate(
    config: CompositesConfig,
    directory: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> JobResult:
    """Makes the set ``config`` in ``directory``, or what of it is missing there.

    The pictures are drawn first, and stay in the folder for the next time.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`; the file of layouts cannot be read.
    """
    folder = jobs.make_folder(directory)
    home = make_pools(config, folder)
    job = CompositesJob(config, str(home.resolve()))
    return jobs.run_job(job, folder, config.processes, progress, runner)
