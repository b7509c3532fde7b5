"""What a phantom is: studies drawn from two numbers, with pictures, reports and truth that agree.

A modality is one folder beside this file that implements :class:`Phantom`, and a line in
:mod:`data_gen.phantom.registry`. Jobs, image makers, report writers and the gate of curation work
with any of them and know no organ.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import UInt8

from medvlp_jax.core.fields import Fraction, NonNegative


@dataclasses.dataclass(frozen=True)
class FindingMix:
    """How ill the patients are; nothing about the patient or the film depends on it.

    Attributes:
      normal: probability that a study has no finding (it may still have devices).
      count: relative weights of one, two and three findings in the others.
      severity: relative weights of mild, moderate and severe.
    """

    normal: Fraction = 0.28
    count: tuple[NonNegative, NonNegative, NonNegative] = (0.50, 0.32, 0.18)
    severity: tuple[NonNegative, NonNegative, NonNegative] = (0.38, 0.36, 0.26)

    def __post_init__(self) -> None:
        if not 0 <= self.normal <= 1:
            raise ValueError(f"normal={self.normal} is a probability")
        for name in ("count", "severity"):
            weights = getattr(self, name)
            if min(weights) < 0 or sum(weights) <= 0:
                raise ValueError(f"{name}={weights} must be weights, at least one above 0")


class Finding(Protocol):
    """One thing that a study shows; a dataclass of JSON values."""

    @property
    def name(self) -> str: ...


class Study(Protocol):
    """One patient, one exposure, and what is wrong.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: what is to be seen, in an order that boxes, masks and phrases refer to.
      view: as in a record's image.
    """

    @property
    def seed(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def view(self) -> str: ...

    def labels(self) -> dict[str, int]:
        """Labels by name: 1 positive, 0 negative, -1 uncertain."""
        ...


@dataclasses.dataclass(frozen=True)
class Report:
    """Two sections of text, and a short phrase per finding.

    Attributes:
      findings, impression: the sections, without their headings.
      phrases: index in ``study.findings`` -> e.g. ``"moderate left pleural effusion"``.
    """

    findings: str
    impression: str
    phrases: dict[int, str]


class Switched(NamedTuple):
    """The counterfactual of a study.

    Attributes:
      study: the same patient, film and noise, with one finding switched.
      label: the label of that finding, which is 1 in one of the two studies and 0 in the other.
      present: whether ``study`` shows it.
    """

    study: Study
    label: str
    present: bool


class PhantomBox(NamedTuple):
    """A box in fractions of the picture, origin top left, and the finding that it encloses."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    finding: int


class Rendered(NamedTuple):
    """Pictures and truth.

    Attributes:
      images: uint8 [b, s, s], or [b, s, s, 3] of red, green, blue.
      masks: name -> uint8 [b, s, s] of 0 and 1: organs by their names, and ``"finding 0"``,
        ``"finding 1"``, ... (the study's i-th finding); empty if not asked for.
      boxes: per study, the boxes of its findings; what lies outside the picture has none.
    """

    images: np.ndarray
    masks: dict[str, np.ndarray]
    boxes: list[list[PhantomBox]]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known about a picture that was drawn.

    Attributes:
      study: the patient, the film and the findings.
      boxes: of the findings, in fractions of the picture.
      masks: an organ, or ``"finding 0"``, ... -> uint8 [y, x] of 0 and 1.
    """

    study: Study
    boxes: tuple[PhantomBox, ...]
    masks: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ReportPrompt:
    """How a language model is asked for a report.

    Attributes:
      system: what it is told to be.
      examination: what the study is called in a sentence ("chest X-ray").
      entities, view, report: an example of what is given, and of what is wanted.
    """

    system: str
    examination: str
    entities: tuple[str, ...]
    view: str
    report: str


@dataclasses.dataclass(frozen=True)
class Question:
    """What a judge of pictures is asked; yes is good. ``reason`` is that of a no."""

    key: str
    text: str
    reason: str


@dataclasses.dataclass(frozen=True)
class PictureReview:
    """What curation has to know of a modality's pictures.

    Attributes:
      system: what a vision language model is told to be.
      questions: what it is asked.
      sentences: key of a question -> what says yes, and what says no, for a CLIP.
      layout: file of the subspace that upright pictures lie near
        (:func:`data_gen.curation.layout.learn`); None where pictures have no one layout, which
        curation then does not check.
      other_views: upper-case views that are laid out in another way and not compared with it.
      reasons: reason -> what it means here, in the words of a page.
    """

    system: str
    questions: tuple[Question, ...]
    sentences: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    layout: pathlib.Path | None
    other_views: frozenset[str]
    reasons: Mapping[str, str]


class Phantom(Protocol):
    """A modality that can be drawn; it holds no state and is cheap to make.

    Attributes:
      name: as configs name it.
      title: what its pictures are called, in the plural.
      modality: as in a record's image.
      no_finding: the label of a study that shows nothing.
      prompt: how a language model is asked for its reports.
      review: how its pictures are judged.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def no_finding(self) -> str: ...
    @property
    def prompt(self) -> ReportPrompt: ...
    @property
    def review(self) -> PictureReview: ...

    def sample(self, seed: int, index: int, mix: FindingMix | None = None) -> Study:
        """Study ``index`` of the data set ``seed``; patient and film stay under every mix."""
        ...

    def restore(self, provenance: Mapping[str, Any]) -> Study:
        """The study that a record was made from."""
        ...

    def requested(
        self,
        id: str,
        seed: int,
        labels: Mapping[str, int],
        findings: Sequence[Finding] | None = None,
    ) -> Study:
        """A study that shows ``findings``, or without that list what the labels name.

        Patient and film are drawn by the seed, and so is what the labels leave open.

        Raises:
          UserError: nothing to draw, unknown labels, or findings that cannot be seen together; the
            message names the request ``id``.
        """
        ...

    def switched(self, study: Study) -> Switched:
        """The study with one finding fewer, or with one more where it shows none.

        A function of the study alone. What a finding does not touch stays: patient, anatomy,
        exposure and noise are those of ``study``.
        """
        ...

    def report(self, study: Study, seed: int) -> Report:
        """The report of a study; another seed gives other words."""
        ...

    def render(self, studies: Sequence[Study], size: int, masks: bool = True) -> Rendered:
        """Pictures of ``size`` pixels a side with their truth, each of its study alone."""
        ...

    def parameters(self, study: Study) -> dict[str, Any]:
        """JSON values about patient and exposure that a record keeps."""
        ...


#: One channel, or RGB.
Picture = UInt8[np.ndarray, "y x"] | UInt8[np.ndarray, "y x 3"]
