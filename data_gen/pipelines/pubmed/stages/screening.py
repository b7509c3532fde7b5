"""The stage ``screen``: which figures go on by their text, and which images by what they show."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import medvlp_jax
from data_gen.pipelines.pubmed.base import Article, from_json
from data_gen.pipelines.pubmed.collect.choice import Wanted
from data_gen.pipelines.pubmed.jats.article import read_article
from data_gen.pipelines.pubmed.jats.graphics import find_graphic
from data_gen.pipelines.pubmed.records.pixels import pixels_of
from data_gen.pipelines.pubmed.screen.classifier import SHIPPED
from data_gen.pipelines.pubmed.screen.images import (
    ImageScreen,
    ImageScreenConfig,
    PictureVerdict,
)
from data_gen.pipelines.pubmed.screen.open import open_images
from data_gen.pipelines.pubmed.screen.text import TextScreen, TextScreenConfig
from data_gen.pipelines.pubmed.stages import reading
from data_gen.pipelines.pubmed.stages.lines import Line, Row, dropped, gone
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.shards import file_sha256
from medvlp_jax.run.conversion import compact

NAME = "screen"
#: Key word of the items that the text screen refused.
REFUSED = "screened out"
#: What is said of an article on the topic none of whose figures is.
NO_FIGURE = "no figure is of it"
_BATCH = 32  # images in memory at a time


@dataclasses.dataclass(frozen=True)
class ByText:
    """Implements :class:`data_gen.pipelines.pubmed.collect.choice.Choice`: articles that speak of
    what is looked for, and the images of those of their figures that do.

    Attributes:
      config: of the text screen.
    """

    config: TextScreenConfig

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, "text", to_plain(self.config))

    def wanted(self, name: str, xml: bytes) -> Wanted:
        """See :class:`data_gen.pipelines.pubmed.collect.choice.Choice`."""
        article = read_article(xml, f"{name}.xml")
        verdict = _text(self.config).screen(article)
        if not verdict.article.keep:
            return Wanted(f"{REFUSED}: {verdict.article.reason}")
        each = zip(article.figures, verdict.figures, strict=True)
        kept = [figure for figure, one in each if one.keep]
        if not kept:
            return Wanted(f"{REFUSED}: {NO_FIGURE}")
        return Wanted(graphics=frozenset(href for figure in kept for href in figure.graphics))


@dataclasses.dataclass(frozen=True)
class Screening:
    """Implements :class:`data_gen.pipelines.pubmed.stages.lines.Stage`: ``images``, one for every
    graphic of every figure, with ``keep`` or the reason against it.

    Attributes:
      text, images: of the two screens.
    """

    text: TextScreenConfig
    images: ImageScreenConfig
    name: str = NAME
    label: str = "screening"
    needs: tuple[str, ...] = (reading.NAME,)

    @property
    def fingerprint(self) -> str:
        settings = [to_plain(self.text), to_plain(self.images)]
        model = weights_digest(self.images.model or SHIPPED)
        return fingerprint(medvlp_jax.__version__, NAME, settings, model)

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """The verdict on every image."""
        found = {row.item.name: self._by_text(row) for row in rows if not gone(row)}
        todo = [
            (row, line) for row in rows for line in found.get(row.item.name, ()) if line["keep"]
        ]
        for start in range(0, len(todo), _BATCH):
            self._look(todo[start : start + _BATCH])
        for row in rows:
            if why := gone(row):
                yield dropped(row, why)
            else:
                yield {"id": row.item.name, "images": found[row.item.name]}

    def _by_text(self, row: Row) -> list[Line]:
        article = from_json(Article, row.before[reading.NAME]["article"])
        names = sorted(p.name for p in row.folder.iterdir() if p.is_file())
        out = []
        for number, figure in enumerate(article.figures):
            verdict = _text(self.text).figure(figure)
            for href in figure.graphics:
                line = _line(number, href)
                if not verdict.keep:
                    line["reason"] = f"text: {verdict.reason}"
                else:
                    try:
                        line["graphic"] = find_graphic(href, row.folder, names).name
                        line["keep"] = True
                    except UserError:
                        line["reason"] = "no picture: not among the files of the article"
                out.append(line)
        return out

    def _look(self, todo: Sequence[tuple[Row, Line]]) -> None:
        pictures: list[np.ndarray] = []
        lines: list[Line] = []
        for row, line in todo:
            try:
                with one_net(line["graphic"], "download it again"):
                    pixels = rgb(pixels_of((row.folder / line["graphic"]).read_bytes()))
            except UserError as error:
                line |= {"keep": False, "reason": f"unreadable picture: {reason(error)}"}
                continue
            pictures.append(pixels)
            lines.append(line)
        found = look(self.images, pictures, self.images.compound)
        for line, pixels, seen in zip(lines, pictures, found, strict=True):
            line |= {
                "class": seen.kind,
                "score": round(seen.score, 4),
                "modality": modality_of(seen),
                "keep": seen.keep,
                "width": int(pixels.shape[1]),
                "height": int(pixels.shape[0]),
            }
            if not seen.keep:
                line["reason"] = f"picture: {seen.reason}"


def _line(number: int, href: str) -> dict[str, Any]:
    return {
        "figure": number,
        "href": href,
        "graphic": "",
        "keep": False,
        "reason": "",
        "class": "",
        "score": 0.0,
        "modality": "",
    }


def numbered(row: Row) -> list[tuple[int, Line]]:
    """The images of an article with their numbers; none of one that was dropped."""
    return list(enumerate(row.before[NAME].get("images", [])))


def kept(line: Line) -> list[Line]:
    """The images of an article's line that go on."""
    return [image for image in line.get("images", ()) if image["keep"]]


@functools.lru_cache(maxsize=1)
def _text(config: TextScreenConfig) -> TextScreen:
    return TextScreen(config)


@functools.lru_cache(maxsize=1)
def _images(config: ImageScreenConfig) -> ImageScreen:
    return open_images(config)


def look(
    config: ImageScreenConfig, pictures: Sequence[np.ndarray], least: float | None = None
) -> list[PictureVerdict]:
    """What pictures (uint8 [h, w, 3]) show; the model stays in this process.

    Args:
      least: instead of the config's.
    """
    return _images(config).screen(pictures, least)


def modality_of(seen: PictureVerdict) -> str:
    """As a record says it; "" for what is not wanted."""
    return seen.kind if seen.keep else ""


def rgb(pixels: np.ndarray) -> np.ndarray:
    """Three channels, also of a gray picture."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def weights_digest(path: str | os.PathLike[str]) -> str:
    """Of a folder of small weights; of a run that is still in its workdir, where that is."""
    folder = pathlib.Path(path)
    files = [folder / compact.WEIGHTS, folder / compact.CARD]
    if not all(file.exists() for file in files):
        return str(folder)
    return fingerprint([file_sha256(file) for file in files])


def release() -> None:
    """Gives up the models that this process holds."""
    _images.cache_clear()
