"""``config.eval.suites``: which sets are averaged."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SuiteConfig:
    """A list of sets whose zero-shot scores are averaged, over the sets and over the modalities.

    Attributes:
      sets: names, in the order of the table. One that is not in ``eval.sets`` is absent: it is
        named and counted beside every mean.
      modalities: of the images of each set.
      multilabel: sets of these whose records have several classes, so that no accuracy is defined.
    """

    sets: tuple[str, ...]
    modalities: tuple[str, ...]
    multilabel: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("a suite has at least one set")
        if len(self.modalities) != len(self.sets) or len(set(self.sets)) != len(self.sets):
            raise ValueError(
                f"a suite names each set once, and its modality: {len(self.sets)} sets, "
                f"{len(self.modalities)} modalities"
            )
        if unknown := [name for name in self.multilabel if name not in self.sets]:
            raise ValueError(f"multilabel={unknown[0]!r} is not one of {', '.join(self.sets)}")
