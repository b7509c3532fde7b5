"""What a suite says of one of its sets."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SuiteSet:
    """A labelled set of a suite.

    Attributes:
      name: of the set, of its data folder, and of its prompt bank (``suites/NAME``).
      modality: of its images, as in a record.
      classes: labels of its records; their order is that of the published class numbers.
      test: records of the published test split; 0 where it is not published.
      per_class: of them, of each class; empty where that is not published.
      exclusive: whether a record has exactly one of the classes; accuracy is defined for these.
    """

    name: str
    modality: str
    classes: tuple[str, ...]
    test: int = 0
    per_class: tuple[int, ...] = ()
    exclusive: bool = True

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ValueError(f"set {self.name!r}: two or more classes, each once")
        if self.per_class and (
            len(self.per_class) != len(self.classes) or sum(self.per_class) != self.test
        ):
            raise ValueError(f"set {self.name!r}: counts of its classes do not add up to its size")
