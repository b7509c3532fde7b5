"""Samples a folder of pictures from prompts or records: resumable, with a grid for the eye.

The folder holds ``images/*.png``, ``images.jsonl`` (a line per finished picture), ``settings.json``
and, when all are there, ``images.csv`` (which ``configs/data_gen/csv.py`` imports as records) and
``grid.png``.
"""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import cv2

from data_gen.images.base import ImageMaker, ImageMakerConfig, ImageRequest
from data_gen.images.registry import make_maker
from data_gen.jobs import sampling
from data_gen.jobs.job import Runner
from data_gen.jobs.on_ray import Needs
from data_gen.jobs.preview import write_preview
from data_gen.jobs.sampling import Line, input_lines
from data_gen.phantom.base import Picture
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Count, Seed, Size, Workers
from medvlp_jax.core.files.replacing import replacing
from medvlp_jax.data.images.decoding import to_gray
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Image, Record, Text

IMAGES, TABLE, GRID = "images", "images.csv", "grid.png"
#: Pictures that a worker takes at a time, where there are several.
_PER_SHARD = 64


@dataclasses.dataclass(frozen=True)
class SampleImagesConfig:
    """What to sample.

    Attributes:
      prompts: a text file with one prompt a line, or a JSONL file with ``prompt`` and, if wanted,
        ``id``, ``seed`` and ``labels``.
      records: a data folder instead; each record with such a text is a prompt.
      split: of the records.
      sections: of the records' texts, the first that there is.
      limit: at most so many prompts; 0 takes all.
      copies: pictures per prompt.
      seed: another seed gives other pictures of the same prompts.
      gray: store one channel, as a radiograph has.
      grid: pictures on the grid; 0 makes none.
      maker: the back end.
      processes: 1 works in this process, on whatever device JAX has; 0 is one per CPU core.
      ray: what a worker takes of a Ray cluster, if the pictures are made on one.
    """

    prompts: str = ""
    records: str = ""
    split: str = "train"
    sections: tuple[str, ...] = ("impression", "caption", "findings", "report")
    limit: Count = 0
    copies: Size = 1
    seed: Seed = 0
    gray: bool = False
    grid: Count = 24
    maker: ImageMakerConfig = dataclasses.field(default_factory=ImageMakerConfig)
    processes: Workers = 1
    ray: Needs = dataclasses.field(default_factory=Needs)

    def __post_init__(self) -> None:
        if bool(self.prompts) == bool(self.records):
            raise ValueError("give prompts (a file) or records (a data folder), one of the two")
        if self.copies < 1 or self.limit < 0 or self.grid < 0:
            raise ValueError("copies must be at least 1, limit and grid at least 0")


@dataclasses.dataclass(frozen=True)
class Sampled:
    """What :func:`sample_images` did: pictures made now, and found from an earlier run."""

    made: int
    found: int


def requests(config: SampleImagesConfig) -> list[ImageRequest]:
    """All pictures to make, in order; a picture's seed follows from its id and ``config.seed``.

    Raises:
      UserError: the file or folder cannot be read, holds no prompt, or has an id twice.
    """
    source = _from_records(config) if config.records else _from_file(pathlib.Path(config.prompts))
    found: list[ImageRequest] = []
    for base in itertools.islice(source, config.limit or None):
        for copy in range(config.copies):
            name = base.id if config.copies == 1 else f"{base.id}-{copy}"
            seed = base.seed + copy if base.seed >= 0 else _seed(config.seed, name)
            found.append(dataclasses.replace(base, id=name, seed=seed % 2**32))
    if not found:
        raise UserError(f"{config.records or config.prompts} holds no prompt")
    ids: dict[str, str] = {}
    for request in found:
        file = _file_name(request.id)
        if file in ids:
            raise UserError(
                f"the ids {ids[file]!r} and {request.id!r} give one file, {file}; rename one"
            )
        ids[file] = request.id
    return found


def _seed(run: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{run}/{name}".encode(), digest_size=4).digest())


def _from_file(path: pathlib.Path) -> Iterator[ImageRequest]:
    for number, line in input_lines(path):
        name = f"{number:06d}"
        if path.suffix != ".jsonl":
            yield ImageRequest(name, line.strip(), -1)
            continue
        try:
            given = json.loads(line)
            labels = {str(k): int(v) for k, v in given.get("labels", {}).items()}
            seed = int(given.get("seed", -1))
            yield ImageRequest(str(given.get("id", name)), str(given["prompt"]), seed, labels)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}, line {number}: a JSON object with prompt is needed, and id, seed, labels "
                f"are possible ({error!r})"
            ) from error


def _from_records(config: SampleImagesConfig) -> Iterator[ImageRequest]:
    source = open_dataset(config.records, config.split)
    for i in range(len(source)):
        record = source[i]
        texts = {t.section: t.text for t in reversed(record.texts)}
        said = next((texts[s] for s in config.sections if texts.get(s)), "")
        if said:
            yield ImageRequest(record.id, " ".join(said.split()), -1, record.labels)


class ImageSampler:
    """Implements :class:`data_gen.jobs.sampling.Sampler`."""

    unit, lines, failures = "images", "images.jsonl", ""
    mend = "delete the line: its picture is made again"

    def __init__(self, config: SampleImagesConfig) -> None:
        self.config = config
        self._listed: list[ImageRequest] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_listed": None}

    @property
    def per_shard(self) -> int:
        """Whole batches."""
        size = self.config.maker.batch_size
        return size * max(1, _PER_SHARD // size)

    def total(self) -> int:
        return len(self._list())

    def items(self, start: int, stop: int) -> Iterator[ImageRequest]:
        return iter(self._list()[start:stop])

    def _list(self) -> list[ImageRequest]:
        if self._listed is None:
            self._listed = requests(self.config)
        return self._listed

    def load(self) -> ImageMaker:
        return make_maker(self.config.maker)

    def settings(self, backend: ImageMaker) -> dict[str, Any]:
        return {
            "maker": backend.name,
            "gray": self.config.gray,
            "fingerprint": backend.fingerprint,
        }

    def is_done(self, line: Line, item: ImageRequest, folder: pathlib.Path) -> bool:
        """A changed prompt is made again, and so is a picture that somebody deleted."""
        same = (line["prompt"], line["seed"], line["labels"]) == (
            item.prompt,
            item.seed,
            dict(item.labels),
        )
        return same and (folder / line["file"]).exists()

    def check_line(self, line: Line) -> None:
        for key in ("prompt", "seed", "labels", "file", "maker"):
            line[key]

    def sample(
        self, backend: ImageMaker, items: Iterator[ImageRequest], folder: pathlib.Path
    ) -> Iterator[Line]:
        """Writes each picture, then gives its line: a line says that the picture is whole."""
        (folder / IMAGES).mkdir(exist_ok=True)
        while some := list(itertools.islice(items, backend.batch_size)):
            for request, picture in zip(some, backend.make(some), strict=True):
                picture = to_gray(picture) if self.config.gray else picture
                file = f"{IMAGES}/{_file_name(request.id)}"
                with replacing(folder / file) as temporary:
                    temporary.write_bytes(encode_png(picture))
                yield {
                    "id": request.id,
                    "file": file,
                    "prompt": request.prompt,
                    "seed": request.seed,
                    "labels": dict(request.labels),
                    "maker": backend.name,
                }

    def finish(self, folder: pathlib.Path, result: sampling.Sampled) -> None:
        """The table, and the grid."""
        lines = [result.lines[request.id] for request in self._list()]
        _write_table(folder, lines)
        if self.config.grid:
            _write_grid(folder, lines[: self.config.grid])


def sample_images(
    config: SampleImagesConfig,
    maker: ImageMaker | None,
    out: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> Sampled:
    """Makes the pictures that ``out`` lacks, then the table and the grid.

    Args:
      config: what to sample.
      maker: the back end of ``config.maker``, if it is loaded.
      out: empty, or where the same command was interrupted.
      progress: a line on stderr, if that is a terminal.
      runner: where, instead of ``config.processes`` processes of this machine.

    Raises:
      UserError: see :func:`data_gen.jobs.sampling.sample`; or the maker refuses a request.
      KeyboardInterrupt: Ctrl-C; its message says how many pictures are finished.
    """
    done = sampling.sample(ImageSampler(config), out, maker, config.processes, progress, runner)
    return Sampled(done.made, done.found)


def encode_png(picture: Picture) -> bytes:
    """An RGB or gray PNG."""
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", stored)
    if not done:
        raise RuntimeError(f"OpenCV cannot encode an array of {picture.shape} as PNG")
    return data.tobytes()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name) + ".png"


def _write_table(folder: pathlib.Path, lines: Sequence[dict[str, Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(("id", "path", "prompt", "findings", "maker", "seed"))
    for line in lines:
        there = "|".join(sorted(name for name, value in line["labels"].items() if value == 1))
        writer.writerow(
            (line["id"], line["file"], line["prompt"], there, line["maker"], line["seed"])
        )
    with replacing(folder / TABLE) as temporary:
        temporary.write_bytes(stream.getvalue().encode())


def _write_grid(folder: pathlib.Path, lines: Sequence[dict[str, Any]]) -> None:
    records = [
        Record(
            id=line["id"],
            images=(Image((folder / line["file"]).read_bytes(), "png"),),
            texts=(Text(line["prompt"], "caption"),),
        )
        for line in lines
    ]
    write_preview(records, folder / GRID, len(records))
