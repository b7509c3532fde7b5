"""Which pictures are medical: a figure without panels, or each of its panels."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.screen.classes import expand
from medvlp_jax.core.fields import Fraction, Size

Pixels = UInt8[np.ndarray, "h w 3"]
#: Class of a back end that tells pictures from drawings alone; it is always kept.
PICTURE = "picture"


@dataclasses.dataclass(frozen=True)
class ImageScreenConfig:
    """How pictures are screened.

    Attributes:
      backend: ``classifier``, a small network for the classes of
        :data:`data_gen.pipelines.pubmed.screen.classes.CLASSES`; ``clip``, zero-shot by a model of
        images and texts; ``rule``, which needs no training and tells drawings on paper from
        all else; ``none`` keeps all.
      model: of ``classifier`` a run of ``configs/brain/screen.py`` or a folder that
        ``launch/convert.py --layout=compact`` wrote, "" for the one that ships with the package; of
        ``clip`` what ``medvlp_jax.load`` opens.
      prompts: of ``clip``: a JSON file, class -> sentences; "" for those of the package.
      keep: classes and groups (``radiology``, ``microscopy``, ``photography``) that are kept.
      least: share of the kept classes in a picture's probabilities from which on it is kept.
      compound: the same for a figure that is not yet taken apart: a picture among charts has little
        of it. Each of its panels, or the figure itself where it has but one, then needs ``least``.
      batch: pictures that the model sees at once.
    """

    backend: Literal["classifier", "clip", "rule", "none"] = "classifier"
    model: str = ""
    prompts: str = ""
    keep: tuple[str, ...] = ("radiology", "microscopy", "photography")
    least: Fraction = 0.5
    compound: Fraction = 0.1
    batch: Size = 32

    def __post_init__(self) -> None:
        expand(self.keep)
        if not self.keep:
            raise ValueError(
                "keep is empty, so that no picture would stay; name a class or a group"
            )
        if self.compound > self.least:
            raise ValueError(
                f"compound={self.compound} is above least={self.least}: a figure needs more than "
                "each of its panels; lower compound"
            )
        if self.backend == "clip" and not self.model:
            raise ValueError("backend='clip' needs model: a run or published weights of a CLIP")


@dataclasses.dataclass(frozen=True)
class PictureVerdict:
    """Whether to keep a picture.

    Attributes:
      keep: the verdict.
      kind: the most probable class, "" where no back end looked.
      score: share of the kept classes, 0 to 1.
      reason: in a few words, for counts.
      scores: class -> probability, of those above 0.01.
    """

    keep: bool
    kind: str
    score: float
    reason: str
    scores: dict[str, float] = dataclasses.field(default_factory=dict)


class Backend(Protocol):
    """Something that knows the classes of pictures."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def probabilities(self, pictures: Sequence[Pixels]) -> Float[np.ndarray, "n k"]:
        """Rows that sum to 1."""
        ...


class ImageScreen:
    """Judges pictures by a back end."""

    def __init__(self, config: ImageScreenConfig, backend: Backend | None) -> None:
        """``backend``: None only where the config says ``none``."""
        self.config, self.backend = config, backend
        kept = {*expand(config.keep), PICTURE}
        self._kept = [] if backend is None else [name in kept for name in backend.classes]

    def screen(
        self, pictures: Sequence[Pixels], least: float | None = None
    ) -> list[PictureVerdict]:
        """A verdict for each picture, whole figures or panels cut from them.

        Args:
          pictures: uint8 [h, w, 3], of any sizes.
          least: instead of the config's.
        """
        if self.backend is None:
            return [PictureVerdict(True, "", 1.0, "pictures not screened") for _ in pictures]
        if not pictures:
            return []
        found = self.backend.probabilities(pictures)
        least = self.config.least if least is None else least
        return [self._verdict(row, least) for row in found]

    def _verdict(self, row: Float[np.ndarray, "k"], least: float) -> PictureVerdict:
        assert self.backend is not None
        names = self.backend.classes
        score = float(row[self._kept].sum())
        keep = score >= least
        # The best of the classes that the verdict speaks for.
        order = np.argsort(-row, kind="stable")
        kind = names[next((i for i in order if self._kept[i] == keep), order[0])]
        scores = {names[i]: round(float(row[i]), 4) for i in order if row[i] > 0.01}
        return PictureVerdict(keep, kind, score, kind if keep else f"shows a {kind}", scores)


def crops(figure: Pixels, panels: Sequence[Region]) -> list[Pixels]:
    """The panels of a figure as pictures; the whole figure where there are none.

    A panel is at least a pixel wide and high.
    """
    height, width = figure.shape[:2]
    out = []
    for panel in panels:
        x0 = min(max(int(panel.x0 * width), 0), width - 1)
        y0 = min(max(int(panel.y0 * height), 0), height - 1)
        x1, y1 = max(x0 + 1, round(panel.x1 * width)), max(y0 + 1, round(panel.y1 * height))
        out.append(figure[y0:y1, x0:x1])
    return out or [figure]
