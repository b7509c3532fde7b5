"""The stage ``match``: panels and parts of captions are put together."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import medvlp_jax
from data_gen.pipelines.pubmed.base import Pair, Separated, SplitCaption, as_json, from_json
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.match.several import match_images
from data_gen.pipelines.pubmed.stages import screening, separating, splitting
from data_gen.pipelines.pubmed.stages.lines import Line, Row, dropped, gone
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import fingerprint

NAME = "match"
#: Reason of a pair whose panel is no medical picture; what it is follows.
NOT_MEDICAL = "panel is no medical picture"


@dataclasses.dataclass(frozen=True)
class Matching:
    """Implements :class:`data_gen.pipelines.pubmed.stages.lines.Stage`: ``images`` with ``pairs``.

    Attributes:
      config: of the matching.
      medical_only: rejects pairs of panels that the image screen does not want.
    """

    config: MatchConfig
    medical_only: bool = True
    name: str = NAME
    label: str = "matching"
    needs: tuple[str, ...] = (screening.NAME, separating.NAME, splitting.NAME)

    @property
    def fingerprint(self) -> str:
        settings = [to_plain(self.config), self.medical_only]
        return fingerprint(medvlp_jax.__version__, NAME, settings)

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """The pairs of every image that was separated."""
        for row in rows:
            if why := gone(row):
                yield dropped(row, why)
                continue
            yield {"id": row.item.name, "images": self._images(row)}

    def _images(self, row: Row) -> list[Line]:
        """The pairs of each image; those of one figure are matched together."""
        of_figure: dict[int, list[Line]] = {}
        figures = {i: one["figure"] for i, one in screening.numbered(row)}
        for image in row.before[separating.NAME]["images"]:
            of_figure.setdefault(figures[image["image"]], []).append(image)
        found: dict[int, list[Any]] = {}
        for figure, images in of_figure.items():
            separated = [from_json(Separated, image["separated"]) for image in images]
            caption = row.before[splitting.NAME]["splits"][str(figure)]
            each = match_images(separated, from_json(SplitCaption, caption), self.config)
            for image, pairs in zip(images, each, strict=True):
                kept = without(pairs, image["unwanted"]) if self.medical_only else pairs
                found[image["image"]] = [as_json(pair) for pair in kept]
        return [{"image": image, "pairs": pairs} for image, pairs in sorted(found.items())]


def without(pairs: Sequence[Pair], unwanted: dict[str, str]) -> tuple[Pair, ...]:
    """The pairs with those of unwanted panels rejected.

    Args:
      unwanted: number of a panel -> what it is.
    """
    out: list[Pair] = []
    for pair in pairs:
        bad = [p for p in pair.panels if str(p) in unwanted]
        if pair.status == "rejected" or not bad:
            out.append(pair)
            continue
        good = tuple(p for p in pair.panels if p not in bad)
        if good:
            out.append(dataclasses.replace(pair, panels=good))
        for panel in bad:
            why = f"{NOT_MEDICAL}: {unwanted[str(panel)]}"
            out.append(Pair((panel,), pair.part, "rejected", why, 0.0))
    return tuple(out)
