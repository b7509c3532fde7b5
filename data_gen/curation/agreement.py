"""Whether an image and its text belong together, by a CLIP of ours."""

import dataclasses
from collections.abc import Sequence

from data_gen.curation.candidate import Candidate
from data_gen.phantom.base import Phantom
from medvlp_jax.core.fields import Cosine, Size


@dataclasses.dataclass(frozen=True)
class AgreementConfig:
    """How image and text are compared.

    Attributes:
      checkpoint: of a CLIP of ours: a workdir or a checkpoint; empty compares nothing.
      minimum: the share of unrelated texts that an image's own text must beat. The share is
        uniform where image and text have nothing to do with each other, so this also is about the
        part of wrong pairs that is found. (A CLIP trained on 6000 procedural studies: at 0.2, 28 %
        of shuffled pairs and 1 % of right ones are refused; at 0.3, 40 % and 2 %.)
      batch_size: images at a time.
    """

    checkpoint: str = ""
    minimum: Cosine = 0.2
    batch_size: Size = 32

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= 1:
            raise ValueError(f"agreement.minimum={self.minimum} must be 0 to 1")
        if self.batch_size < 1:
            raise ValueError(f"agreement.batch_size={self.batch_size} must be positive")


class Agreement:
    """Ranks an image's own text among texts of other studies, by cosine."""

    def __init__(self, config: AgreementConfig, phantom: Phantom) -> None:
        from data_gen.curation.encoders.towers import open_clip_of_ours

        self._phantom = phantom
        self._clip = open_clip_of_ours(config.checkpoint, config.batch_size)

    def shares(self, candidates: Sequence[Candidate]) -> list[float | None]:
        """Per candidate the share of unrelated texts that its own beats; None without a text."""
        images, texts = [c.image for c in candidates], [c.text for c in candidates]
        return self._clip.beaten(images, texts, self._phantom)
