"""Glyphs for the label reader: letters on pictures, found as they are found in figures."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

import medvlp_jax
from data_gen.jobs import run as jobs
from data_gen.jobs.job import Runner, Shard, cut_splits
from data_gen.jobs.run import JobResult
from data_gen.phantom.job import SPLIT_START, SplitCounts
from data_gen.pipelines.pubmed.compose import paint
from data_gen.pipelines.pubmed.compose.config import PoolSizes
from data_gen.pipelines.pubmed.compose.content import window
from data_gen.pipelines.pubmed.compose.faces import FACES, draw_face, ink
from data_gen.pipelines.pubmed.compose.job import make_pools, opened_pool, part_of
from data_gen.pipelines.pubmed.compose.layouts import Rect
from data_gen.pipelines.pubmed.compose.lettering import roman
from data_gen.pipelines.pubmed.compose.pool import Pool
from data_gen.pipelines.pubmed.figures.alphabet import SIGNS, labels_of
from data_gen.pipelines.pubmed.figures.glyphs import LEVELS, Glyph, crop, find_glyphs, strokes
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.fields import Seed, Size, Workers
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Image, Record, with_content_hash

#: Glyphs that one scene gives at most, and those of them that are no letter.
_PER_SCENE, _OTHERS = 8, 3
_WIDTH, _HEIGHT = 420, 170
_NO_SIGNS = "*+=%&µαβγδΔ<>#/-:→↑?!@"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True)
class LettersConfig:
    """Glyphs as a data folder: one small picture a record, its sign in the labels.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      seed: another seed gives other glyphs.
      pool: pictures that letters stand on.
      splits: glyphs per split.
      per_shard: of which one is made, and resumed, at a time.
      processes: of this machine; 0 is one per core.
    """

    generator: Literal["letters"] = "letters"
    name: str = "letters"
    seed: Seed = 0
    pool: PoolSizes = dataclasses.field(default_factory=PoolSizes)
    splits: SplitCounts = dataclasses.field(default_factory=SplitCounts)
    per_shard: Size = 4000
    processes: Workers = 0


Found = tuple[UInt8[np.ndarray, "s s"], str]


def draw_scene(rng: np.random.Generator, pool: Pool) -> list[Found]:
    """Glyphs of one scene, as the reader sees them, each with what it is ("" for no sign)."""
    canvas = _ground(rng, pool)
    longer = int(rng.integers(600, 1800))
    written: list[tuple[Rect, str, str, int]] = []
    x = 6.0
    while x < _WIDTH - 30:
        text = _text(rng)
        face, pixels = draw_face(rng), int(rng.integers(11, 58))
        width, height = paint.text_size(text, face, pixels)
        if x + width > _WIDTH - 4:
            break
        y = rng.uniform(4, max(_HEIGHT - height - 4, 5))
        colour = None if rng.random() < 0.8 else _colour(rng, canvas, x, y, width, height)
        if rng.random() < 0.2:
            light = bool(rng.random() < 0.75)
            edge = int(rng.integers(2, 9))
            ground = paint.WHITE if light else paint.BLACK
            paint.plate(
                canvas, Rect(x - edge, y - edge, x + width + edge, y + height + edge), ground
            )
            colour = paint.BLACK if light else paint.WHITE
        box = paint.put_text(canvas, text, (x, y), face, pixels, colour)
        written.append((box, text, face, pixels))
        x += width + rng.uniform(14, 50)
    for _ in range(rng.poisson(0.6)):
        paint.arrow(canvas, rng, Rect(0, 0, _WIDTH, _HEIGHT))
    canvas = _compressed(rng, canvas)
    ink_of = strokes(canvas, longer)
    signs: list[Found] = []
    others: list[Found] = []
    for glyph in _once(find_glyphs(ink_of)):
        sign = _sign(glyph, ink_of.of(glyph), written)
        if sign is not None:
            (signs if sign else others).append((crop(ink_of, glyph), sign))
    rng.shuffle(signs)
    rng.shuffle(others)
    return [*signs[:_PER_SCENE], *others[:_OTHERS]]


def _once(glyphs: list[Glyph]) -> list[Glyph]:
    """Without those that were found at several levels alike."""
    alike = {dataclasses.replace(g, level=0, apart=False): g for g in glyphs}
    return list(alike.values())


def _text(rng: np.random.Generator) -> str:
    kind = rng.random()
    letter = _LETTERS[rng.integers(26)]
    letter = letter.upper() if rng.random() < 0.5 else letter
    if kind < 0.1:
        letter = str(rng.integers(0, 21))
    elif kind < 0.2:
        letter = roman(int(rng.integers(1, 13)))
        letter = letter.upper() if rng.random() < 0.5 else letter
    elif kind < 0.3:
        letter = f"{letter}{rng.integers(1, 10)}"
    elif kind < 0.38:
        return "".join(_NO_SIGNS[i] for i in rng.integers(len(_NO_SIGNS), size=2))
    elif kind < 0.46:
        return "".join(_LETTERS[i] for i in rng.integers(26, size=4))
    wraps = ("{}", "({})", "{})", "{}.")
    return wraps[rng.choice(4, p=(0.6, 0.22, 0.09, 0.09))].format(letter)


def _ground(rng: np.random.Generator, pool: Pool) -> paint.Canvas:
    """White, black, or a part of a picture."""
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    kind = rng.random()
    if kind < 0.2:
        return canvas
    if kind < 0.3:
        canvas[:] = int(rng.choice([0, 0, 230]))
        return canvas
    name = pool.names[rng.integers(len(pool.names))]
    part = window(rng, pool.take(rng, name).pixels(), _WIDTH / _HEIGHT)
    out = cv2.resize(np.ascontiguousarray(part), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    noise = rng.normal(0, rng.uniform(0, 9), out.shape[:2])[..., None]
    return np.clip(out + noise, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, canvas, x: float, y: float, width: int, height: int):
    """A colour that stands out there, or None."""
    area = canvas[round(y) : round(y) + height, round(x) : round(x) + width]
    dark = area.mean() < 128
    bright = ((255, 255, 0), (255, 60, 60), (0, 255, 255), (80, 255, 80), (255, 160, 0))
    deep = ((190, 0, 0), (0, 0, 190), (0, 110, 0), (90, 90, 90))
    colours = bright if dark else deep
    return colours[rng.integers(len(colours))]


def _compressed(rng: np.random.Generator, canvas: paint.Canvas) -> paint.Canvas:
    quality = int(rng.integers(55, 96))
    _, data = cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    out = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert out is not None
    return np.ascontiguousarray(out[..., ::-1])


def _sign(
    glyph: Glyph, response: UInt8[np.ndarray, "h w"], written: list[tuple[Rect, str, str, int]]
) -> str | None:
    """What a glyph is: a sign, "" for nothing that is read, None where nobody can say."""
    cx, cy = (glyph.x0 + glyph.x1) / 2, (glyph.y0 + glyph.y1) / 2
    for box, text, face, pixels in written:
        if not (box.x0 - 2 <= cx <= box.x1 + 2 and box.y0 - 2 <= cy <= box.y1 + 2):
            continue
        cover = ink(text, face, pixels)
        start = 0
        for i, sign in enumerate(text):
            end = ink(text[: i + 1], face, pixels).shape[1]
            if box.x0 + start <= cx <= box.x0 + end:
                rows = np.flatnonzero(cover[:, start:end].max(1) > 90) if end > start else []
                if not len(rows):
                    return None
                tall, wide = rows[-1] - rows[0] + 1, end - start
                whole = 0.75 * tall - 1 <= glyph.height <= 1.25 * tall + 2
                alone = 0.6 * wide - 2 <= glyph.width <= 1.2 * wide + 3
                if whole and alone:
                    wanted = cover[:, start:end] > 128
                    x, y = round(box.x0) + start, round(box.y0)
                    seen = response[y : y + wanted.shape[0], x : x + wanted.shape[1]] > LEVELS[0]
                    if seen.shape != wanted.shape or (seen & wanted).sum() < 0.7 * wanted.sum():
                        return None  # the ground within a letter
                    return sign if sign.lower() in SIGNS else ""
                return "" if glyph.height < 0.6 * tall or glyph.width > 1.5 * wide + 3 else None
            start = end
        return None
    return ""


@dataclasses.dataclass(frozen=True)
class LettersJob:
    """Implements :class:`data_gen.jobs.job.Job`; ``pools`` is where the pictures lie."""

    config: LettersConfig
    pools: str

    @property
    def description(self) -> str:
        faces = len(FACES)
        return (
            f"Glyphs of {faces} typefaces on pictures, made by medvlp_jax {medvlp_jax.__version__}."
        )

    @property
    def fingerprint(self) -> str:
        settings = to_plain(self.config)
        del settings["processes"]
        return fingerprint(medvlp_jax.__version__, settings)

    def shards(self) -> list[Shard]:
        c = self.config
        return cut_splits(c.name, dataclasses.asdict(c.splits), c.per_shard)

    def records(self, shard: Shard) -> Iterator[Record]:
        """The glyphs of a shard: those of as many scenes as it takes."""
        c, split = self.config, shard.name.split
        pool = opened_pool(os.path.join(self.pools, part_of(split)))
        index = shard.start
        scene = 0
        while index < shard.stop:
            rng = np.random.default_rng((c.seed, SPLIT_START[split] + shard.start, scene))
            for pixels, sign in draw_scene(rng, pool)[: shard.stop - index]:
                yield _record(pixels, sign, f"{c.name}-{split}-{c.seed}-{index:07d}", split)
                index += 1
            scene += 1


def _record(pixels: np.ndarray, sign: str, id: str, split: str) -> Record:
    done, data = cv2.imencode(".png", pixels)
    assert done
    height, width = pixels.shape
    return with_content_hash(
        Record(
            id=id,
            patient_id=id,
            split=split,
            images=(Image(data.tobytes(), "png", "", "figure", width, height),),
            labels=labels_of(sign),
            provenance={"generator": "letters", "version": medvlp_jax.__version__, "sign": sign},
        )
    )


def generate(
    config: LettersConfig,
    directory: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> JobResult:
    """Makes the set ``config`` in ``directory``, or what of it is missing there.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`.
    """
    folder = jobs.make_folder(directory)
    home = make_pools(config, folder)
    return jobs.run_job(
        LettersJob(config, str(home.resolve())), folder, config.processes, progress, runner
    )
