"""What a data set from the literature is: a group for every stage."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from data_gen.jobs.on_ray import Needs
from data_gen.pipelines.pubmed.collect.config import FREE as COLLECT_FREE
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.figures.config import FiguresConfig
from data_gen.pipelines.pubmed.match.config import MatchConfig
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from data_gen.pipelines.pubmed.screen.images import ImageScreenConfig
from data_gen.pipelines.pubmed.screen.text import TextScreenConfig
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig
from medvlp_jax.core.config import ConfigError, group, parse, to_plain
from medvlp_jax.core.fields import Folder, Fraction, Size, Workers

#: Keys that change no byte: an interrupted run may go on with others.
FREE = (
    "processes",
    "ray",
    "update",
    "until",
    "faults",
    *(f"collect.{key}" for key in COLLECT_FREE),
)


@dataclasses.dataclass(frozen=True)
class PubMedConfig:
    """What a data set from PubMed Central is.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      library: where articles come from: as ``collect`` says, or a ``synthetic`` PubMed that a mock
        of both services serves here, of which the truth is known, so that every stage is scored.
      synthetic: that library.
      faults: share of the mock's answers that fail, in every way in which services do.
      collect: what is collected, from the services, archives or a folder.
      text: which articles and figures go on by what they say, before images are fetched.
      images: which images go on by what they show.
      figures: how they are taken apart: panels and labels.
      compare: also takes figures apart by the rule without training, to score it beside.
      medical_only: panels that the image screen does not want become rejects.
      match: panels and parts of captions.
      records: what becomes a record.
      corrected: figures that a person set right (launch/label_studio.py); they take the place of
        ours in the records. It may be given to a folder that is finished.
      raw: also writes the figures as they were published, with whole captions, to the folder
        ``raw``: what training on sub-figures is compared with.
      truth: also writes what is true of the held-out articles of the synthetic library, to the
        folder ``truth``: sub-figures and figures with labels and boxes, to measure models on.
      until: the last stage; ``collect`` ends with the articles.
      update: collects what is new and takes back what was retracted or relicensed, then makes
        again what that touched.
      articles_per_shard: of which each stage makes, and resumes, one at a time.
      rows_per_shard: sub-figures of a shard of records, at least.
      shown: figures on the page, of each status.
      processes: 0 is one per CPU core; 1 works in the main process, on JAX's own device.
      ray: what a worker takes of a Ray cluster, if the stages run on one.
    """

    generator: Literal["pubmed"] = "pubmed"
    name: str = "pubmed"
    library: Literal["collect", "synthetic"] = "collect"
    synthetic: SyntheticConfig = dataclasses.field(default_factory=SyntheticConfig)
    faults: Fraction = 0.0
    collect: CollectConfig = dataclasses.field(default_factory=CollectConfig)
    text: TextScreenConfig = dataclasses.field(default_factory=TextScreenConfig)
    images: ImageScreenConfig = dataclasses.field(default_factory=ImageScreenConfig)
    figures: FiguresConfig = dataclasses.field(default_factory=FiguresConfig)
    compare: bool = False
    medical_only: bool = True
    match: MatchConfig = dataclasses.field(default_factory=MatchConfig)
    records: RecordsConfig = dataclasses.field(default_factory=RecordsConfig)
    corrected: Folder = ""
    raw: bool = False
    truth: bool = False
    until: Literal["collect", "records"] = "records"
    update: bool = False
    articles_per_shard: Size = 100
    rows_per_shard: Size = 500
    shown: Size = 24
    processes: Workers = 0
    ray: Needs = dataclasses.field(default_factory=Needs)

    def __post_init__(self) -> None:
        if self.library == "synthetic" and self.collect.source != "service":
            raise ValueError(
                f"library='synthetic' is served as the services are, and collect.source="
                f"{self.collect.source!r} reads a disk; set one of the two"
            )
        if self.truth and self.library != "synthetic":
            raise ValueError("truth=True, but only library='synthetic' knows any")


def read(config: Mapping[str, Any]) -> PubMedConfig:
    """Parses a config; the synthetic library needs no word about itself.

    Raises:
      ConfigError: see :func:`medvlp_jax.core.config.parse`.
    """
    plain: dict[str, Any] = to_plain(config)
    collect = group(plain, "collect")
    if plain.get("library", "collect") == "collect":
        source = collect.get("source", "service")
        if source == "service" and not (collect.get("term") or collect.get("ids")):
            raise ConfigError(
                "config.collect.term is empty: say what to search for, or give config.collect.ids, "
                "a file of PMCIDs; configs/data_gen/pubmed.py:demo needs neither"
            )
        if source != "service" and not collect.get("path"):
            raise ConfigError(f"config.collect.path is empty: give the folder with the {source}")
    return parse(PubMedConfig, plain)
