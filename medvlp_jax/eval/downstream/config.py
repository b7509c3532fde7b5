"""What the evaluators that train on the tower are told, and the four of them by name."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import Share, Size
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.eval.downstream.detection import DetectConfig, Detection
from medvlp_jax.eval.downstream.efficiency import Shares
from medvlp_jax.eval.downstream.finetune import Finetune, FinetuneConfig
from medvlp_jax.eval.downstream.probe import Probe, ProbeConfig
from medvlp_jax.eval.downstream.segmentation import Segmentation, SegmentConfig
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import STARTS, Start, Tower
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.protocol import Evaluator, PredictFn

#: Evaluators that train; the words of a config.
TRAINS = ("probe", "finetune", "segmentation", "detection")


@dataclasses.dataclass(frozen=True)
class DownstreamConfig:
    """``config.eval.downstream``, and the heart of ``launch/finetune.py``'s config.

    Attributes:
      train: labelled training data; empty = what the run was trained on.
      classes: labels to classify; empty = those that are scored zero-shot.
      masks: regions to segment; needed by ``segmentation``.
      boxes: labels to detect; empty = ``classes`` without "no finding".
      fractions: shares of the training patients for probe and fine-tuning.
      dense_fractions: the same for segmentation and detection.
      seeds: subsets of a share, and runs where a run draws more than the subset.
      starts: ``pretrained``, the checkpoint's tower; ``random``, the same network untrained.
      probe: the linear probe.
      finetune: full fine-tuning.
      segmentation: the segmentation of ``masks``.
      detection: the detection of ``boxes``.
    """

    train: tuple[SourceConfig, ...] = ()
    classes: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    fractions: tuple[Share, ...] = (0.01, 0.1, 1.0)
    dense_fractions: tuple[Share, ...] = (1.0,)
    seeds: Size = 1
    starts: tuple[Start, ...] = STARTS
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    finetune: FinetuneConfig = dataclasses.field(default_factory=FinetuneConfig)
    segmentation: SegmentConfig = dataclasses.field(default_factory=SegmentConfig)
    detection: DetectConfig = dataclasses.field(default_factory=DetectConfig)

    def __post_init__(self) -> None:
        for name in ("fractions", "dense_fractions", "starts"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it must name at least one")


def make_downstream(
    word: str,
    sets: Sets,
    config: DownstreamConfig,
    classes: Sequence[str],
    *,
    tower: Callable[[PredictFn], Tower],
    bootstrap: Bootstrap,
    image_labels: Sequence[str],
    folder: pathlib.Path | None = None,
) -> Evaluator:
    """One of :data:`TRAINS`.

    Args:
      classes: used where the config names none.
      image_labels: all labels of the data, which say where a missing mask is an empty one.
      folder: keeps checkpoints; None: none are kept.

    Raises:
      ConfigError: ``segmentation`` without masks, or no class at all.
      EvalError: a name that the training data never holds.
    """
    classes = config.classes or tuple(classes)
    common = {"tower": tower, "bootstrap": bootstrap}

    def shares(labels: Sequence[str], fractions: Sequence[float]) -> Shares:
        if not labels:
            raise ConfigError(
                f"set {sets.name!r}: {word} has no class: no label of the run has a positive and a "
                "negative record there; name some in config.eval.downstream"
            )
        return Shares(tuple(labels), tuple(fractions), config.seeds, config.starts)

    if word in ("probe", "finetune"):
        sets.require("label", classes, classes)
    if word == "probe":
        return Probe(sets, shares(classes, config.fractions), config=config.probe, **common)
    if word == "finetune":
        return Finetune(
            sets, shares(classes, config.fractions), config=config.finetune, folder=folder, **common
        )
    if word == "segmentation":
        if not config.masks:
            raise ConfigError(
                "segmentation needs config.eval.downstream.masks, the names of the regions"
            )
        sets.require("mask", config.masks, image_labels)
        return Segmentation(
            sets, config.masks, shares(image_labels, config.dense_fractions),
            config=config.segmentation, folder=folder, **common,
        )  # fmt: skip
    boxes = config.boxes or tuple(c for c in classes if c != "no finding")
    sets.require("box", boxes, boxes)
    return Detection(
        sets, shares(boxes, config.dense_fractions), config=config.detection, folder=folder,
        **common,
    )  # fmt: skip
