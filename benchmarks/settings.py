"""What every benchmark is told."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """``threads`` of each side, and whether to measure ``quick``: smaller and fewer rounds."""

    threads: int
    quick: bool = False
