"""What the evaluators that train on the tower are told."""

import dataclasses
from typing import Literal

from medvlp_jax.core.fields import Count, Extent, Fraction, NonNegative, Share, Size
from medvlp_jax.core.optim import OptimConfig
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.models.segmenter import WIDTHS
from medvlp_jax.tasks.supervised import Uncertain

#: The tower of the checkpoint, or the same network untrained.
Start = Literal["pretrained", "random"]
STARTS: tuple[Start, ...] = ("pretrained", "random")


@dataclasses.dataclass(frozen=True)
class TuneConfig:
    """The length of one training run and what may end it early.

    Attributes:
      steps: of one training run.
      batch_size: rows of a batch.
      eval_every: steps between evaluations on validation data; the best checkpoint is tested.
      patience: evaluations without improvement after which a run ends; 0 = never.
      optim: see :class:`medvlp_jax.core.optim.OptimConfig`.
    """

    steps: Size = 3000
    batch_size: Size = 64
    eval_every: Count = 100
    patience: Count = 10
    optim: OptimConfig = dataclasses.field(
        default_factory=lambda: OptimConfig(lr=1e-4, warmup_steps=50, weight_decay=1e-6)
    )


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """The linear probe.

    Attributes:
      l2: strengths that validation chooses from: factors of ½‖w‖² beside the mean cross-entropy,
        on features of unit variance.
    """

    l2: tuple[NonNegative, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

    def __post_init__(self) -> None:
        if not self.l2 or min(self.l2) <= 0:
            raise ValueError(f"probe.l2={self.l2} must hold positive strengths")


@dataclasses.dataclass(frozen=True)
class FewShotConfig:
    """Few labelled images a class, and the linear probe on all of them.

    Attributes:
      shots: labelled images of each class.
      seeds: subsets of each of these numbers.
      features: ``tower``: pooled vectors before the projection, which cost a pass of their own over
        the test set; ``projected``: the image embeddings that zero-shot has.
      l2: strengths that validation chooses from, as in :class:`ProbeConfig`.
    """

    shots: tuple[Size, ...] = (1, 2, 4, 8, 16)
    seeds: Size = 5
    features: Literal["tower", "projected"] = "tower"
    l2: tuple[NonNegative, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

    def __post_init__(self) -> None:
        if not self.l2 or min(self.l2) <= 0:
            raise ValueError(f"few_shot.l2={self.l2} must hold positive strengths")
        if len(set(self.shots)) != len(self.shots):
            raise ValueError(f"few_shot.shots={self.shots} names a number twice")


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(TuneConfig):
    """Fine-tuning for classification.

    Attributes:
      frozen: train the linear layer alone, by gradient descent with augmentation (the published
        linear probes do); the tower then runs as in evaluation.
      uncertain: what labels of -1 are taken for in training; in tests they are left out.
    """

    frozen: bool = False
    uncertain: Uncertain = "ignore"


@dataclasses.dataclass(frozen=True)
class SegmentConfig(TuneConfig):
    """Segmentation.

    Attributes:
      loss: see ``tasks.segmentation.SegmentationConfig``.
      frozen: train the expanding path alone (MGCA); otherwise all (GLoRIA, MedKLIP).
      widths: channels of the expanding path.
      stride: pixels a side of a position of the map whose logits are enlarged to the image.
      pictures: records shown per mask.
    """

    loss: Literal["focal_dice", "bce_dice"] = "focal_dice"
    frozen: bool = True
    widths: tuple[Extent, ...] = WIDTHS
    stride: Size = 1
    pictures: Count = 1


@dataclasses.dataclass(frozen=True)
class DetectConfig(TuneConfig):
    """Detection.

    Attributes:
      frozen: train pyramid and head alone (MGCA).
      width: channels of pyramid and head.
      candidates: predictions an image keeps before suppression.
      confidence: smaller scores are dropped. Low, as average precision ranks what is left.
      nms: IoU above which the weaker of two detections of a class goes.
    """

    frozen: bool = False
    width: Extent = 128
    candidates: Size = 100
    confidence: Fraction = 0.02
    nms: Fraction = 0.5


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
      few_shot: few images a class, one class an image.
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
    few_shot: FewShotConfig = dataclasses.field(default_factory=FewShotConfig)
    finetune: FinetuneConfig = dataclasses.field(default_factory=FinetuneConfig)
    segmentation: SegmentConfig = dataclasses.field(default_factory=SegmentConfig)
    detection: DetectConfig = dataclasses.field(default_factory=DetectConfig)

    def __post_init__(self) -> None:
        for name in ("fractions", "dense_fractions", "starts"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it must name at least one")
