"""Records of one matched figure, and what became of every panel and part that is in none."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.curation.rejects import RejectRow
from data_gen.pipelines.pubmed.base import Pair
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from data_gen.pipelines.pubmed.match.words import body_text
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from data_gen.pipelines.pubmed.records.pixels import (
    as_png,
    crop,
    encode,
    pixels_of,
    rectangle,
)
from data_gen.pipelines.pubmed.records.texts import panel_texts, whole_texts
from data_gen.sources.importing.base import patient_split
from medvlp_jax.data.images.base import ImageError, Pixels
from medvlp_jax.data.images.decoding import sniff
from medvlp_jax.data.store.record import Image, Record, Text, with_content_hash

STAGE = "records"
#: Why a pair is no record.
UNREADABLE = "unreadable image"
OTHER_SIZE = "image of another size"
SMALL = "sub-figure too small"
NO_WORDS = "no words of its own"
NOT_WANTED = "status not wanted"
WEAK = "score too low"


@dataclasses.dataclass(frozen=True)
class Built:
    """What one figure came to; ``rows`` is the number of its panels, parts and wholes."""

    rows: int
    records: tuple[Record, ...]
    rejects: tuple[RejectRow, ...]


def rows_of(pairs: Sequence[Pair]) -> int:
    """What has to become a record or a reject: panels, labels without one, whole figures."""
    panels = {panel for pair in pairs for panel in pair.panels}
    return len(panels) + sum(not pair.panels for pair in pairs)


def build(
    figure: MatchedFigure,
    data: bytes,
    config: RecordsConfig | None = None,
    modalities: Mapping[int, str] | None = None,
) -> Built:
    """The records of a figure: one a panel, or one for the whole.

    A panel of several parts has the words of all of them. Rows = records + rejects.

    Args:
      data: the file of the image.
      modalities: panel -> modality, where the image screen knows it; -1 is the whole figure.
    """
    config = config or RecordsConfig()
    maker = _Maker(figure, data, config, modalities or {})
    rows = rows_of(figure.pairs)
    try:
        maker.pixels = pixels_of(data)
    except ImageError as error:
        return Built(rows, (), tuple(maker.all_rejected(UNREADABLE, str(error))))
    height, width = maker.pixels.shape[:2]
    known = (figure.separated.width, figure.separated.height)
    if (width, height) != known:
        said = f"{width} x {height}, separated as {known[0]} x {known[1]}"
        return Built(rows, (), tuple(maker.all_rejected(OTHER_SIZE, said)))
    made = [maker.whole(pair) for pair in figure.pairs if not pair.panels]
    made += [maker.panel(panel) for panel in _panels(figure.pairs)]
    records = tuple(one for one in made if isinstance(one, Record))
    rejects = tuple(one for one in made if isinstance(one, RejectRow))
    return Built(rows, records, rejects)


def build_raw(
    figure: MatchedFigure,
    data: bytes,
    config: RecordsConfig | None = None,
    modality: str = "",
) -> Built:
    """The same figure as it was published: all of the image with all of the caption.

    What training is compared with; it has the split of the sub-figures.
    """
    reason = "raw"
    pair = Pair((), -1, "whole_figure", reason)
    raw = dataclasses.replace(figure, pairs=(pair,))
    return build(raw, data, config, {-1: modality})


def _panels(pairs: Sequence[Pair]) -> list[int]:
    return sorted({panel for pair in pairs for panel in pair.panels})


class _Maker:
    """Makes records of one figure."""

    pixels: Pixels

    def __init__(
        self,
        figure: MatchedFigure,
        data: bytes,
        config: RecordsConfig,
        modalities: Mapping[int, str],
    ) -> None:
        self.figure, self.data, self.config = figure, data, config
        self.modalities = modalities
        stem = figure.graphic.rsplit(".", 1)[0]
        name = figure.folder.replace(".", "-")
        self.id = "_".join(part.replace("/", "-") for part in (name, figure.figure.id, stem))

    def all_rejected(self, reason: str, detail: str) -> list[RejectRow]:
        """A reject for every row."""
        names = [f"{self.id}_p{panel}" for panel in _panels(self.figure.pairs)]
        names += [self._part_id(pair) for pair in self.figure.pairs if not pair.panels]
        return [RejectRow(name, STAGE, (reason,), detail) for name in names]

    def whole(self, pair: Pair) -> Record | RejectRow:
        """Of a pair without panels: the whole image with all of the caption, or with one part."""
        reject = self._refusal(pair)
        if reject is not None:
            return reject
        split, name = self.figure.split, self._part_id(pair)
        if pair.part < 0:
            labels = [label for part in split.parts for label in part.labels]
            texts = whole_texts(split, self.figure.figure, self.config)
        else:
            labels = list(split.parts[pair.part].labels)
            texts = panel_texts(split, (pair.part,), labels, self.figure.figure, self.config)
        if not texts:
            return self._reject(name, pair, NO_WORDS)
        height, width = self.pixels.shape[:2]
        kind = sniff(self.data)
        if kind in ("png", "jpeg"):
            image, form = self.data, kind
        else:
            image, form = as_png(self.pixels), "png"
        more = {"rectangle": [0, 0, width, height], "panel": -1, "labels": labels}
        return self._record(
            name, image, form, (width, height), texts, (pair,), more, self._modality(-1)
        )

    def panel(self, panel: int) -> Record | RejectRow:
        """Of a panel, with all pairs that have it."""
        pairs = [pair for pair in self.figure.pairs if panel in pair.panels]
        name = f"{self.id}_p{panel}"
        kept = [pair for pair in pairs if self._refusal(pair) is None]
        if not kept:
            refusal = self._refusal(pairs[0])
            assert refusal is not None
            return dataclasses.replace(refusal, id=name)
        height, width = self.pixels.shape[:2]
        rect = rectangle(self.figure.separated.panels[panel], width, height)
        size = (rect[2] - rect[0], rect[3] - rect[1])
        if min(size) < self.config.min_side:
            said = f"{size[0]} x {size[1]} pixels"
            return RejectRow(name, STAGE, (SMALL,), said)
        parts = sorted({pair.part for pair in kept})
        split = self.figure.split
        labels = list(dict.fromkeys(x for part in parts for x in split.parts[part].labels))
        texts = panel_texts(split, parts, labels, self.figure.figure, self.config)
        if not texts:
            return self._reject(name, kept[0], NO_WORDS)
        image, form = encode(crop(self.pixels, rect), self.data, self.config)
        more = {"rectangle": list(rect), "panel": panel, "labels": labels}
        modality = self._modality(panel)
        return self._record(name, image, form, size, texts, kept, more, modality)

    def _modality(self, panel: int) -> str:
        return self.modalities.get(panel, "") or self.config.modality

    def _refusal(self, pair: Pair) -> RejectRow | None:
        """Why a pair is no record; None for one that may be."""
        name = self._part_id(pair)
        if pair.status == "rejected":
            reason = reasons.kind(pair.reason)
            detail = pair.reason[len(reason) + 2 :]
            return RejectRow(name, "match", (reason,), detail, text=self._words(pair))
        if pair.status not in self.config.statuses:
            return self._reject(name, pair, NOT_WANTED)
        if pair.score < self.config.min_score:
            return self._reject(name, pair, WEAK)
        return None

    def _reject(self, name: str, pair: Pair, reason: str) -> RejectRow:
        detail = f"{pair.status}: {pair.reason}"
        scores = {"match/score": pair.score}
        return RejectRow(name, STAGE, (reason,), detail, scores=scores, text=self._words(pair))

    def _words(self, pair: Pair) -> str:
        return body_text(self.figure.split, pair.part) if pair.part >= 0 else ""

    def _part_id(self, pair: Pair) -> str:
        if pair.part < 0:
            return self.id
        return f"{self.id}_part{pair.part}"

    def _record(
        self,
        name: str,
        image: bytes,
        form: str,
        size: tuple[int, int],
        texts: tuple[Text, ...],
        pairs: Sequence[Pair],
        more: dict[str, Any],
        modality: str,
    ) -> Record:
        figure, article = self.figure, self.figure.article
        worst = min(pairs, key=lambda pair: pair.score)
        provenance = {
            "source": "pubmed",
            "pmcid": article.pmcid,
            "version": article.version,
            "pmid": article.pmid,
            "doi": article.doi,
            "journal": article.journal,
            "year": article.year,
            # Equal for all sub-figures of one figure, which are no negatives of each other.
            "figure": f"{figure.folder}/{figure.figure.id}",
            "figure_label": figure.figure.label,
            "graphic": figure.graphic,
            "figure_size": [figure.separated.width, figure.separated.height],
            "licence": {
                "code": article.licence.code,
                "group": article.licence.group,
                "url": article.licence.url,
            },
            "status": worst.status,
            "reason": worst.reason,
            "score": worst.score,
            "separated_by": figure.separated.method,
            "text": self.config.text,
            "source_url": figure.source_url,
            "retrieved": figure.retrieved,
            "split_name": f"hash of the article, seed {self.config.split_seed}",
            **more,
        }
        record = Record(
            id=name,
            images=(Image(image, form, "", modality, *size),),
            texts=texts,
            patient_id=article.pmcid,
            split=patient_split(
                article.pmcid, dict(self.config.split_fractions), self.config.split_seed
            ),
            provenance=provenance,
        )
        return with_content_hash(record)
