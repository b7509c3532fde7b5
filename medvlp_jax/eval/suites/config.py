"""``config.eval.suites``: which sets are averaged."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SuiteConfig:
    """A list of sets whose zero-shot scores are averaged, over the sets and over the modalities.

    Attributes:
      sets: set -> modality of its images, in the order of the table. One that is not in
        ``eval.sets`` is absent: it is named and counted beside every mean.
      multilabel: sets of these whose records have several classes, so that no accuracy is defined.
    """

    sets: dict[str, str]
    multilabel: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("a suite has at least one set")
        if unknown := [name for name in self.multilabel if name not in self.sets]:
            raise ValueError(f"multilabel={unknown[0]!r} is not one of {', '.join(self.sets)}")
