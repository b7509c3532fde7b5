"""What a synthetic data set is: which words pick the back ends, and the groups beside them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from data_gen.chat.base import ChatConfig
from data_gen.curation.gate import GateConfig
from data_gen.entities.sampler import SamplerConfig
from data_gen.images.base import ImageMakerConfig
from data_gen.jobs.on_ray import Needs
from data_gen.phantom.job import SplitCounts
from data_gen.reports.base import ReportWriterConfig
from data_gen.reports.check import CheckConfig
from medvlp_jax.core.config import ConfigError, group, parse, to_plain
from medvlp_jax.core.fields import (
    Cosine,
    Count,
    ExtentOrNone,
    Fraction,
    NonNegative,
    Quality,
    Seed,
    Size,
    Workers,
)

Writer = Literal["grammar", "openai", "jax", "transformers"]
Images = Literal["phantom", "jax", "diffusers"]

#: Splits in the order of their rows, and so of their right to a picture that two of them have.
ORDER = ("test", "validation", "train")
#: Keys that change no byte: an interrupted run may go on with others.
_PACE = (
    *("url", "key_variable", "concurrency", "timeout", "max_bytes", "attempts", "backoff"),
    *("patience", "cache", "mesh"),
)
FREE = (
    "processes",
    "ray",
    "keep_work",
    "pictures",
    "maker.model",  # the model's files count, not where they lie
    "maker.batch_size",
    "gate.encoder.batch_size",
    "gate.agreement.batch_size",
    *(f"chat.{key}" for key in (*_PACE, "rows", "capacity")),
    *(f"gate.judge.chat.{key}" for key in _PACE),
)


@dataclasses.dataclass(frozen=True)
class RayNeeds:
    """What workers take of a Ray cluster: ``plain`` ones, and those that hold a model.

    Attributes:
      plain: of workers without a model.
      model: of workers that hold a model.
    """

    plain: Needs = dataclasses.field(default_factory=Needs)
    model: Needs = dataclasses.field(default_factory=Needs)


@dataclasses.dataclass(frozen=True)
class SynCXRConfig:
    """What a synthetic data set is.

    Attributes:
      generator: the word that picks this config.
      name: of the data set, in the names of its shards.
      seed: of the plan, the grammar and the pictures.
      splits: studies per split; no two share a row of the plan.
      spare: more rows than studies, as a share, to make up for what is refused for good. They are
        used only as far as they are needed.
      studies_per_shard: of which one is made, and resumed, at a time.
      size: longer side of the stored pictures in pixels, which the phantom draws and to which a
        diffusion model's are reduced; 0 leaves those as they are.
      image_format, quality: gray PNG, or gray JPEG of this quality (1 to 100).
      masks: store organs and findings of the phantom as masks too.
      bank: a file of entities (:class:`data_gen.entities.bank.EntityBank`); empty is the bank of
        the package.
      sampler: how many entities a study has, and how often one may be used.
      writer, chat: what writes the reports; ``chat`` is the language model's group.
      checker, report_attempts: what a report has to fulfil, and how often it is written.
      images, maker: what makes the images; ``maker`` is the diffusion model's group.
      image_attempts: how often an image is made, each with a seed of its own.
      gate: the checks of each image.
      curate: False keeps what the gate refuses, and near-duplicates, to see what they are worth;
        the verdicts stay in the provenance.
      same_above: cosine above which two images count as one; 0 is the encoder's own threshold.
      planted: share of studies whose first image is spoilt on purpose, to measure what share of
        them the gate finds. None of them gets into the data.
      pictures: small pictures of rejects to keep, per reason.
      keep_work: keep what lies between the stages when all is done.
      processes: 0 is one per CPU core; 1 works in the main process. Stages with a model of ours
        work in the main process, on JAX's own device.
      ray: what workers need of a Ray cluster, if the data are made on one.
    """

    generator: Literal["syncxr"] = "syncxr"
    name: str = "syncxr"
    seed: Seed = 0
    splits: SplitCounts = dataclasses.field(default_factory=SplitCounts)
    spare: NonNegative = 0.05
    studies_per_shard: Size = 250
    size: ExtentOrNone = 224
    image_format: Literal["jpeg", "png"] = "jpeg"
    quality: Quality = 92
    masks: bool = True
    bank: str = ""
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    writer: Writer = "grammar"
    chat: ChatConfig | None = None
    checker: CheckConfig = dataclasses.field(default_factory=CheckConfig)
    report_attempts: Size = 4
    images: Images = "phantom"
    maker: ImageMakerConfig = dataclasses.field(default_factory=ImageMakerConfig)
    image_attempts: Size = 4
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    curate: bool = True
    same_above: Cosine = 0.0
    planted: Fraction = 0.0
    pictures: Count = 24
    keep_work: bool = False
    processes: Workers = 0
    ray: RayNeeds = dataclasses.field(default_factory=RayNeeds)

    def __post_init__(self) -> None:
        if self.seed < 0 or self.processes < 0 or self.pictures < 0:
            raise ValueError("seed, processes and pictures must not be negative")
        if min(self.studies_per_shard, self.report_attempts, self.image_attempts) < 1:
            raise ValueError(
                "studies_per_shard, report_attempts and image_attempts must be positive"
            )
        if self.spare < 0 or not 0 <= self.planted <= 0.5:
            raise ValueError("spare must not be negative, and planted be 0 to 0.5")
        if not 0 <= self.same_above <= 1:
            raise ValueError(f"same_above={self.same_above} must be 0 to 1")
        if self.size < 0 or (self.images == "phantom" and self.size < 32):
            raise ValueError(f"size={self.size} must be at least 32 pixels for the phantom")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality} must be 1 to 100")

    @property
    def writer_config(self) -> ReportWriterConfig:
        """As the report writers take it."""
        if self.chat is None:
            return ReportWriterConfig(seed=self.seed)
        return ReportWriterConfig("chat", chat=self.chat)

    @property
    def rows(self) -> dict[str, range]:
        """Split -> its rows of the plan, spare ones included; empty splits are left out."""
        out, start = {}, 0
        for split in ORDER:
            count = getattr(self.splits, split)
            if count:
                more = count + math.ceil(count * self.spare)
                out[split] = range(start, start + more)
                start += more
        return out

    @property
    def model_writes(self) -> bool:
        """Whether the reports need a model in the process that writes them."""
        return self.chat is not None and self.chat.backend != "openai"

    @property
    def model_draws(self) -> bool:
        """Whether images, or the checks of them, need a model in the process."""
        gate = self.gate
        return (
            self.images != "phantom"
            or gate.encoder.kind in ("clip", "dinov2")
            or gate.judge.kind == "clip"
            or bool(gate.agreement.checkpoint)
        )


def read(config: Mapping[str, Any]) -> SynCXRConfig:
    """Parses a config whose words ``writer`` and ``images`` pick the back ends.

    The groups ``chat`` and ``maker`` hold the settings of all of them. The words decide which group
    is read; a model or server that is named without its word is an error, not a silent default.

    Raises:
      ConfigError: see :func:`medvlp_jax.core.config.parse`.
    """
    plain: dict[str, Any] = to_plain(config)
    writer, images = plain.get("writer", "grammar"), plain.get("images", "phantom")
    chat, maker = group(plain, "chat"), group(plain, "maker")
    plain = {k: v for k, v in plain.items() if k not in ("chat", "maker")}
    seed = plain.get("seed", 0)
    plain["sampler"] = {"seed": seed, **group(plain, "sampler")}
    if writer == "grammar":
        for key in ("url", "model"):
            if chat.get(key):
                raise ConfigError(
                    f"config.chat.{key}={chat[key]!r}, but config.writer='grammar' asks no model; "
                    "set config.writer=openai (or jax, transformers)"
                )
    elif writer in ("openai", "jax", "transformers"):
        plain["chat"] = {"seed": seed, **chat, "backend": writer}
        if writer == "openai" and not chat.get("url"):
            raise ConfigError(
                "config.writer='openai' needs config.chat.url, e.g. http://localhost:8000/v1"
            )
    if images == "phantom":
        if maker.get("model"):
            raise ConfigError(
                f"config.maker.model={maker['model']!r}, but config.images='phantom' has no model; "
                "set config.images=jax (or diffusers)"
            )
        plain["maker"] = {"backend": "phantom", "size": plain.get("size", 224)}
    elif images in ("jax", "diffusers"):
        plain["maker"] = {**maker, "backend": images}
    return parse(SynCXRConfig, plain)
