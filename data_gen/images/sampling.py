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
import tqdm

from data_gen.images.base import ImageMaker, ImageMakerConfig, ImageRequest
from data_gen.jobs.preview import write_preview
from data_gen.phantom.base import Picture
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.fields import Count, Seed, Size
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.images.decoding import to_gray
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Image, Record, Text

IMAGES, LINES, SETTINGS, TABLE, GRID = (
    "images",
    "images.jsonl",
    "settings.json",
    "images.csv",
    "grid.png",
)


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
    for number, line in enumerate(jsonl.text_lines(path), 1):
        if not line.strip():
            continue
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


def sample_images(
    config: SampleImagesConfig,
    maker: ImageMaker,
    out: str | os.PathLike[str],
    progress: bool = True,
) -> Sampled:
    """Makes the pictures that ``out`` lacks, then the table and the grid.

    Args:
      config: what to sample.
      maker: the back end of ``config.maker``, loaded.
      out: empty, or where the same command was interrupted.
      progress: a line on stderr, if that is a terminal.

    Raises:
      UserError: the prompts cannot be read, ``out`` holds pictures of other settings, or the maker
        refuses a request.
      KeyboardInterrupt: Ctrl-C; its message says how many pictures are finished.
    """
    wanted = requests(config)
    with workdir_lock(out, "sampling images") as folder:
        _check_settings(folder, config, maker)
        lines = _read_lines(folder)
        missing = [r for r in wanted if not _is_done(folder, lines.get(r.id), r)]
        bar = tqdm.tqdm(
            total=len(wanted),
            initial=len(wanted) - len(missing),
            unit=" images",
            desc=maker.name,
            disable=None if progress else True,
            dynamic_ncols=True,
        )
        made = 0
        with bar:
            try:
                for start in range(0, len(missing), maker.batch_size):
                    some = missing[start : start + maker.batch_size]
                    for request, picture in zip(some, maker.make(some), strict=True):
                        lines[request.id] = _store(folder, request, picture, maker, config.gray)
                        made += 1
                        bar.update()
            except KeyboardInterrupt:
                there = len(wanted) - len(missing) + made
                raise KeyboardInterrupt(
                    f"stopped: {there} of {len(wanted)} images are finished in {folder}; the same "
                    "command makes the others"
                ) from None
        _write_table(folder, [lines[r.id] for r in wanted])
        if config.grid:
            _write_grid(folder, [lines[r.id] for r in wanted[: config.grid]])
    return Sampled(len(missing), len(wanted) - len(missing))


def _check_settings(folder: pathlib.Path, config: SampleImagesConfig, maker: ImageMaker) -> None:
    """A folder is of one back end with one set of settings; more prompts may be added to it."""
    settings = {"maker": maker.name, "gray": config.gray, "fingerprint": maker.fingerprint}
    path = folder / SETTINGS
    if path.exists():
        before = json.loads(path.read_text())
        if before != settings:
            raise UserError(
                f"{folder} holds images of {before['maker']} with other settings than these of "
                f"{maker.name}: choose another folder, or delete it"
            )
        return
    _replace(path, json.dumps(settings, indent=1).encode())


def _read_lines(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    path = folder / LINES
    lines = jsonl.resumed(path, "delete the line: its picture is made again")
    with one_net(path, "delete the line that lacks an id"):
        return {line["id"]: line for line in lines}


def _is_done(folder: pathlib.Path, line: dict[str, Any] | None, request: ImageRequest) -> bool:
    if line is None:
        return False
    same = (line["prompt"], line["seed"], line["labels"]) == (
        request.prompt,
        request.seed,
        dict(request.labels),
    )
    return same and (folder / line["file"]).exists()


def _store(
    folder: pathlib.Path, request: ImageRequest, picture: Picture, maker: ImageMaker, gray: bool
) -> dict[str, Any]:
    """Writes one picture, then its line: a line says that the picture is whole."""
    picture = to_gray(picture) if gray else picture
    file = f"{IMAGES}/{_file_name(request.id)}"
    (folder / IMAGES).mkdir(exist_ok=True)
    _replace(folder / file, encode_png(picture))
    line = {
        "id": request.id,
        "file": file,
        "prompt": request.prompt,
        "seed": request.seed,
        "labels": dict(request.labels),
        "maker": maker.name,
    }
    with (folder / LINES).open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    return line


def encode_png(picture: Picture) -> bytes:
    """An RGB or gray PNG."""
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", stored)
    if not done:
        raise RuntimeError(f"OpenCV cannot encode an array of {picture.shape} as PNG")
    return data.tobytes()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name) + ".png"


def _replace(path: pathlib.Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _write_table(folder: pathlib.Path, lines: Sequence[dict[str, Any]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(("id", "path", "prompt", "findings", "maker", "seed"))
    for line in lines:
        there = "|".join(sorted(name for name, value in line["labels"].items() if value == 1))
        writer.writerow(
            (line["id"], line["file"], line["prompt"], there, line["maker"], line["seed"])
        )
    _replace(folder / TABLE, stream.getvalue().encode())


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
