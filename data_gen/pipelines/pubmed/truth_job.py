"""The truth of a synthetic library as data folders, to measure models that were trained on it.

``panels`` are the true sub-figures of the held-out articles with their true part of the caption,
``figures`` the whole figures with the whole caption; both have labels, and boxes of what is
abnormal with the words that the caption has for it.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Literal

import medvlp_jax
from data_gen.jobs.job import Shard
from data_gen.pipelines.pubmed.base import Region, as_json
from data_gen.pipelines.pubmed.captions.texts import label_text
from data_gen.pipelines.pubmed.config import PubMedConfig
from data_gen.pipelines.pubmed.records.pixels import as_png, crop, pixels_of, rectangle
from data_gen.pipelines.pubmed.served import HELD_OUT, library_of
from data_gen.pipelines.pubmed.synthetic.figures import FigurePlan
from data_gen.pipelines.pubmed.synthetic.library import SyntheticLibrary
from data_gen.pipelines.pubmed.synthetic.panel import KINDS
from data_gen.pipelines.pubmed.synthetic.truth import ArticleTruth, FigureTruth
from data_gen.sources.importing.base import patient_split
from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.data.store.manifest import ShardName, fingerprint
from medvlp_jax.data.store.record import Box, Image, Record, Text, with_content_hash

What = Literal["panels", "figures"]
_PER_SHARD = 20  # articles


@dataclasses.dataclass(frozen=True)
class TruthJob:
    """Implements :class:`data_gen.jobs.job.Job`.

    Attributes:
      config: of the run; its library is the synthetic one.
      work: folder with the panels.
      what: "panels" or "figures".
    """

    config: PubMedConfig
    work: pathlib.Path
    what: What

    @property
    def description(self) -> str:
        return (
            f"True {self.what} of a synthetic library, made by medvlp_jax {medvlp_jax.__version__}."
        )

    @property
    def fingerprint(self) -> str:
        c = self.config
        records = [c.records.split_fractions, c.records.split_seed]
        return fingerprint(medvlp_jax.__version__, self.what, to_plain(c.synthetic), records)

    def _ids(self) -> dict[str, list[str]]:
        """Split -> its articles."""
        library, records = _library(self.config, self.work), self.config.records
        found: dict[str, list[str]] = {split: [] for split in HELD_OUT}
        for pmcid in library.ids():
            fractions = dict(records.split_fractions)
            split = patient_split(pmcid, fractions, records.split_seed)
            if split in found and _wanted(library.truth(pmcid)):
                found[split].append(pmcid)
        return found

    def shards(self) -> list[Shard]:
        out = []
        for split, ids in self._ids().items():
            count = -(-len(ids) // _PER_SHARD)
            for i in range(count):
                name = ShardName(self.what, split, i, count)
                stop = min((i + 1) * _PER_SHARD, len(ids))
                out.append(Shard(name, i * _PER_SHARD, stop))
        return out

    def records(self, shard: Shard) -> Iterator[Record]:
        """The records of the articles of a shard."""
        library = _library(self.config, self.work)
        for pmcid in self._ids()[shard.name.split][shard.start : shard.stop]:
            article = library.truth(pmcid)
            for plan in library.plan(pmcid).figures:
                if not plan.truth.relevant:
                    continue
                data = library.file(plan)
                if self.what == "figures":
                    yield self._figure(article, plan, data, shard.name.split)
                else:
                    yield from self._panels(article, plan, data, shard.name.split)

    def _figure(self, article: ArticleTruth, plan: FigurePlan, data: bytes, split: str) -> Record:
        truth = plan.truth
        kind = "png" if truth.graphic.endswith(".png") else "jpeg"
        image = Image(data, kind, "", "", truth.width, truth.height)
        present = {name: 1 for panel in truth.panels for name in panel.present}
        labels = {name: 0 for panel in truth.panels for name in panel.absent} | present
        boxes = tuple(_box(one.box, one.name, one.phrase) for one in truth.findings)
        texts = _texts(truth.caption.text, truth.caption.text)
        return self._record(article, truth, split, "", image, texts, labels, boxes)

    def _panels(
        self, article: ArticleTruth, plan: FigurePlan, data: bytes, split: str
    ) -> Iterator[Record]:
        truth, pixels = plan.truth, pixels_of(data)
        for i, panel in enumerate(truth.panels):
            own = text = truth.caption.text
            if panel.name:
                own = label_text(truth.caption, panel.name, preface=False, suffix=False)
                text = label_text(truth.caption, panel.name)
            if not KINDS[panel.kind].brain or not (panel.name or len(truth.panels) == 1):
                continue
            rect = rectangle(panel.box, truth.width, truth.height)
            size = rect[2] - rect[0], rect[3] - rect[1]
            image = Image(as_png(crop(pixels, rect)), "png", "", panel.modality, *size)
            labels = dict.fromkeys(panel.absent, 0) | dict.fromkeys(panel.present, 1)
            boxes = tuple(
                _box(one.within, one.name, one.phrase) for one in truth.findings if one.panel == i
            )
            texts = _texts(own, text)
            yield self._record(article, truth, split, f"_p{i}", image, texts, labels, boxes)

    def _record(
        self,
        article: ArticleTruth,
        truth: FigureTruth,
        split: str,
        suffix: str,
        image: Image,
        texts: tuple[Text, ...],
        labels: dict[str, int],
        boxes: tuple[Box, ...],
    ) -> Record:
        stem = truth.graphic.rpartition(".")[0]
        return with_content_hash(
            Record(
                id=f"{article.pmcid}_{stem}{suffix}",
                images=(image,),
                texts=texts,
                labels=labels,
                boxes=boxes,
                patient_id=article.pmcid,
                split=split,
                provenance={
                    "generator": "pubmed truth",
                    "figure": f"{article.pmcid}/{stem}",
                    "licence": as_json(article.licence),
                },
            )
        )


def _wanted(article: ArticleTruth) -> bool:
    return article.relevant and any(figure.relevant for figure in article.figures)


def _texts(own: str, whole: str) -> tuple[Text, ...]:
    """The words about a panel alone, and with those about all panels: the sections of records."""
    return Text(own, "caption", "synthetic"), Text(whole, "report", "synthetic")


def _box(region: Region, label: str, phrase: str) -> Box:
    return Box(region.x0, region.y0, region.x1, region.y1, label, phrase)


def _library(config: PubMedConfig, work: pathlib.Path) -> SyntheticLibrary:
    return _library_of(json.dumps(to_plain(config)), work)


@functools.lru_cache(maxsize=1)  # a worker makes many shards of one library
def _library_of(config: str, work: pathlib.Path) -> SyntheticLibrary:
    return library_of(parse(PubMedConfig, json.loads(config)), work)
